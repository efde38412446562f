#!/usr/bin/env python3
"""GPTQ in plain float64, one column at a time: an oracle for solvers that block, reorder or use float32.

usage: gptq.py OUT_FOLDER

Writes gptq-cases.safetensors and gptq-cases.json. README.md in this folder states the rules.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

DAMPING = 0.01
TOKENS = 512

# name: (out, in, bits, group size, symmetric, order)
CASES = {
    "w4-g32-sym": (32, 96, 4, 32, True, "natural"),
    "w4-g64-asym": (40, 128, 4, 64, False, "natural"),
    "w4-channel-sym": (24, 64, 4, -1, True, "natural"),
    "w3-g32-asym": (32, 96, 3, 32, False, "natural"),
    "w2-g32-asym": (32, 64, 2, 32, False, "natural"),
    "w2-g64-sym": (24, 128, 2, 64, True, "natural"),
    "w8-channel-asym": (24, 64, 8, -1, False, "natural"),
    "w8-g32-sym": (24, 64, 8, 32, True, "natural"),
    "w4-g64-asym-ragged": (32, 96, 4, 64, False, "natural"),
    "w4-g32-sym-static": (32, 96, 4, 32, True, "static"),
    "w4-g64-asym-static": (40, 128, 4, 64, False, "static"),
    "w3-g32-asym-static": (24, 64, 3, 32, False, "static"),
    "w4-channel-asym-static": (24, 64, 4, -1, False, "static"),
    "w4-g32-asym-group-aware": (32, 96, 4, 32, False, "group-aware"),
    "w3-g64-sym-group-aware": (40, 128, 3, 64, True, "group-aware"),
    "w2-g32-asym-group-aware": (24, 64, 2, 32, False, "group-aware"),
    "w4-g32-asym-odd-groups": (24, 64, 4, 32, False, "natural"),
    "w4-g32-sym-odd-groups": (24, 64, 4, 32, True, "natural"),
    "w4-g32-asym-dead-columns": (24, 64, 4, 32, False, "natural"),
}


class Margins:
    """How near any decision came to a tie: in steps of the grid, in units of the last place of a float16 scale."""

    def __init__(self):
        self.code = self.zero = self.scale = self.choice = np.inf

    def of_codes(self, position, maximum):
        # Beyond the ends of the grid both sides of a tie clamp to the same code.
        inside = position[(position > 0) & (position < maximum)]
        self.code = min(self.code, distance_to_tie(inside))

    def of_zeros(self, position, unrounded):
        # Whether the scale divides before or after its own rounding must not matter.
        agree = (np.rint(position) == np.rint(unrounded)).all()
        self.zero = min(self.zero, distance_to_tie(position), distance_to_tie(unrounded)) if agree else 0

    def of_scales(self, exact, down):
        # What decides is a tie when rounding to the nearest, and a number that float16 holds when rounding down.
        places = exact / np.spacing(exact.astype(np.float16)).astype(float)
        self.scale = min(self.scale, distance_to_tie(places + 0.5 * down))

    def of_choices(self, one, other):
        # Two errors of which the smaller one decides; that of zeros is none on either grid.
        some = one + other > 0
        self.choice = min(self.choice, (np.abs(one - other)[some] / (one + other)[some]).min(initial=np.inf))

    def too_small(self, bits):
        # A step of 8 bits is small against the weight, so float32 errs by more of it.
        code = self.code < (1e-3 if bits == 8 else 1e-4)
        return code or self.zero < 1e-3 or self.scale < 1e-2 or self.choice < 1e-4


def distance_to_tie(values):
    return np.abs(values - np.floor(values) - 0.5).min(initial=np.inf)


def grid(columns, bits, symmetric, margins):
    """Scale [out], representable in float16, and zero point [out] of one group."""
    maximum = 2**bits - 1
    low = np.minimum(columns.min(axis=1), 0)
    high = np.maximum(columns.max(axis=1), 0)
    nothing = (low == 0) & (high == 0)
    low, high = np.where(nothing, -1, low), np.where(nothing, 1, high)
    exact = (2 * np.maximum(-low, high) if symmetric else high - low) / maximum
    margins.of_scales(exact, down=symmetric)
    if symmetric:
        return below(exact).astype(columns.dtype), np.full(len(exact), (maximum + 1) // 2)
    scale = exact.astype(np.float16).astype(columns.dtype)
    margins.of_zeros((-low / scale)[~nothing], (-low / exact)[~nothing])
    return scale, np.clip(np.rint(-low / scale), 1, maximum).astype(int)


def below(exact):
    """The largest float16 that is not above each of the positive numbers."""
    nearest = exact.astype(np.float16)
    return np.where(nearest > exact, np.nextafter(nearest, np.float16(0)), nearest)


def codes_of(column, scale, zero, bits, margins):
    position = column / scale + zero
    margins.of_codes(position, 2**bits - 1)
    return np.clip(np.rint(position), 0, 2**bits - 1)


def processing_order(diagonal, group, order):
    if order == "natural":
        return np.arange(len(diagonal))
    if order == "static":
        return np.argsort(-diagonal, kind="stable")
    groups = [np.arange(start, min(start + group, len(diagonal))) for start in range(0, len(diagonal), group)]
    groups.sort(key=lambda columns: -diagonal[columns].max())
    return np.concatenate([columns[np.argsort(-diagonal[columns], kind="stable")] for columns in groups])


def gptq(weight, moments, bits, group, symmetric, order, margins, precision=np.float64):
    live, moments = weight.astype(precision), moments.astype(precision)
    outputs, inputs = weight.shape
    group = inputs if group < 0 else group
    dead = np.diag(moments) == 0
    moments[dead, dead] = 1
    live[:, dead] = 0

    groups = -(-inputs // group)
    scales, zeros = np.zeros((outputs, groups), precision), np.zeros((outputs, groups), int)
    columns_of = lambda g: slice(g * group, min((g + 1) * group, inputs))
    if order == "static":
        for g in range(groups):
            scales[:, g], zeros[:, g] = grid(live[:, columns_of(g)], bits, symmetric, margins)

    columns = processing_order(np.diag(moments), group, order)
    damped = moments + DAMPING * np.diag(moments).mean() * np.eye(inputs, dtype=precision)
    inverse = np.linalg.inv(damped[np.ix_(columns, columns)])
    upper = np.linalg.cholesky(inverse).T  # inverse = upperᵀ · upper

    codes, reached = np.zeros((outputs, inputs), np.uint8), set()
    for i, column in enumerate(columns):
        g = column // group
        if order != "static" and g not in reached:
            reached.add(g)
            scales[:, g], zeros[:, g] = grid(live[:, columns_of(g)], bits, symmetric, margins)
        code = codes_of(live[:, column], scales[:, g], zeros[:, g], bits, margins)
        codes[:, column] = code
        error = (live[:, column] - scales[:, g] * (code - zeros[:, g])) / upper[i, i]
        live[:, columns[i:]] -= np.outer(error, upper[i, i:])
    return codes, scales, zeros, columns


def turned(columns, bits, margins):
    """Scale [out] of the symmetric grid whose first code is the value farthest from zero of its row."""
    low, high = np.minimum(columns.min(axis=1), 0), np.maximum(columns.max(axis=1), 0)
    extreme = np.where(high > -low, high, low)
    exact = np.where(extreme == 0, 1, -extreme / 2 ** (bits - 1))
    margins.of_scales(np.abs(exact), down=False)
    return exact.astype(np.float16).astype(columns.dtype)


def round_to_nearest(weight, bits, group, symmetric, margins, precision=np.float64):
    weight = weight.astype(precision)
    inputs = weight.shape[1]
    group = inputs if group < 0 else group
    codes, scales, zeros = np.zeros(weight.shape, np.uint8), [], []
    for start in range(0, inputs, group):
        columns = weight[:, start : start + group]
        scale, zero = grid(columns, bits, symmetric, margins)
        code = codes_of(columns, scale[:, None], zero[:, None], bits, margins)
        if symmetric:
            other_scale = turned(columns, bits, margins)
            other = codes_of(columns, other_scale[:, None], zero[:, None], bits, margins)
            missed = ((columns - scale[:, None] * (code - zero[:, None])) ** 2).sum(axis=1)
            missed_other = ((columns - other_scale[:, None] * (other - zero[:, None])) ** 2).sum(axis=1)
            margins.of_choices(missed, missed_other)
            better = missed_other < missed
            scale, code = np.where(better, other_scale, scale), np.where(better[:, None], other, code)
        codes[:, start : start + group] = code
        scales.append(scale)
        zeros.append(zero)
    return codes, np.stack(scales, 1), np.stack(zeros, 1)


def objective(weight, moments, codes, scales, zeros, group):
    group = weight.shape[1] if group < 0 else group
    of_column = np.arange(weight.shape[1]) // group
    restored = scales[:, of_column] * (codes.astype(float) - zeros[:, of_column])
    difference = weight.astype(np.float64) - restored
    return float(np.einsum("oi,ij,oj->", difference, moments.astype(np.float64), difference))


def data(name, outputs, inputs, random):
    """A weight, and the moments of inputs that share a few directions and have some loud columns."""
    directions = random.normal(size=(inputs // 8, inputs))
    x = random.normal(size=(TOKENS, inputs // 8)) @ directions + 0.7 * random.normal(size=(TOKENS, inputs))
    x *= np.exp(0.6 * random.normal(size=inputs))
    weight = 0.05 * random.normal(size=(outputs, inputs)) * np.exp(0.3 * random.normal(size=(outputs, 1)))
    if "odd-groups" in name:
        weight[1, :32] = 0  # live grids of a first group see no feedback: this one stays all zero
        weight[2, :32] = np.abs(weight[2, :32])  # zero point would be 0, and is 1
        weight[3, :32] = -np.abs(weight[3, :32])  # zero point is the largest code
        weight[4, :31] = 0
    if "dead" in name:
        x[:, [5, 40]] = 0
    moments = x.T @ x / TOKENS
    return weight.astype(np.float32), ((moments + moments.T) / 2).astype(np.float32)


def attempt(name, seed):
    outputs, inputs, bits, group, symmetric, order = CASES[name]
    weight, moments = data(name, outputs, inputs, np.random.default_rng(seed))
    margins = Margins()
    rtn_codes, rtn_scales, rtn_zeros = round_to_nearest(weight, bits, group, symmetric, margins)
    if margins.too_small(bits):
        return None
    codes, scales, zeros, columns = gptq(weight, moments, bits, group, symmetric, order, margins)
    if margins.too_small(bits):
        return None
    single, single_scales, single_zeros, _ = gptq(
        weight, moments, bits, group, symmetric, order, Margins(), np.float32
    )
    if (single != codes).any() or (single_scales != scales).any() or (single_zeros != zeros).any():
        return None
    tensors = {
        "weight": weight,
        "moments": moments,
        "codes": codes,
        "scales": scales.astype(np.float32),
        "zeros": zeros.astype(np.int32),
        "order": columns.astype(np.int32),
        "rtn.codes": rtn_codes,
        "rtn.scales": rtn_scales.astype(np.float32),
        "rtn.zeros": rtn_zeros.astype(np.int32),
    }
    facts = dict(
        name=name,
        out=outputs,
        bits=bits,
        group_size=group,
        symmetric=symmetric,
        order=order,
        damping=DAMPING,
        seed=seed,
        objective=objective(weight, moments, codes, scales, zeros, group),
        rtn_objective=objective(weight, moments, rtn_codes, rtn_scales, rtn_zeros, group),
        code_margin=float(margins.code),
        zero_margin=float(margins.zero) if not symmetric else None,
        scale_margin=float(margins.scale),
    )
    facts["in"] = inputs
    return facts, tensors


def main(out):
    all_facts, all_tensors = [], {}
    for name in CASES:
        seed, result = 0, None
        while result is None:
            seed += 1
            result = attempt(name, seed)
        facts, tensors = result
        all_facts.append(facts)
        all_tensors |= {f"{name}.{key}": value for key, value in tensors.items()}
        print(f"{name:26} seed {seed:5} rtn/gptq {facts['rtn_objective'] / facts['objective']:.2f} "
              f"margins {facts['code_margin']:.1e} {facts['zero_margin']} {facts['scale_margin']:.3f}", flush=True)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(all_tensors, folder / "gptq-cases.safetensors")
    lines = ",\n".join(json.dumps(facts) for facts in all_facts)
    (folder / "gptq-cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
