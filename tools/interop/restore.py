#!/usr/bin/env python3
"""Restore a quantized folder (GPTQ, AWQ gemm, compressed-tensors integers) into a dense float32 one, with numpy alone.

usage: restore.py MODEL OUT [--expected EXPECTED.json]

OUT becomes a Hugging Face folder that transformers loads without any quantization package. With --expected, each restored
weight must have the SHA-256 given there under restored_weight_sha256. Activations stay float, whatever the scheme says of them.
"""

import argparse
import hashlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np

TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1"}
AWQ_NIBBLE_OF_COLUMN = [0, 4, 1, 5, 2, 6, 3, 7]


def read_tensors(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            data = file.read()
        header.pop("__metadata__", None)
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            array = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
            if entry["dtype"] == "BF16":
                array = (array.astype("<u4") << 16).view("<f4")
            tensors[name] = array
    return tensors


def write_tensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, array in tensors.items():
        header[name] = dict(dtype="F32", shape=list(array.shape), data_offsets=[offset, offset + array.nbytes])
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, "<f4").tobytes())


def unpack_rows(words, bits, count):
    """Each row of int32 words is a little-endian stream of codes; the first `count` of each, as int64."""
    stream = np.unpackbits(np.ascontiguousarray(words, "<i4").view(np.uint8), axis=1, bitorder="little")
    digits = stream[:, : count * bits].reshape(len(words), count, bits).astype(np.int64)
    return digits @ (1 << np.arange(bits))


def product(difference, scale):
    return (difference.astype(np.float32) * scale.astype(np.float32)).astype(np.float32)


def restore_gptq(parts, v2):
    qweight, scales = parts["qweight"], parts["scales"]
    groups, outputs = scales.shape
    bits = parts["qzeros"].shape[1] * 32 // outputs
    inputs = qweight.shape[0] * 32 // bits
    codes = unpack_rows(qweight.T, bits, inputs)  # [out, in]
    zeros = unpack_rows(parts["qzeros"], bits, outputs).T + (0 if v2 else 1)  # [out, groups]
    group = parts.get("g_idx", np.arange(inputs) // -(-inputs // groups))
    return product(codes - zeros[:, group], scales.T[:, group])


def restore_awq(parts):
    scales = parts["scales"]
    groups, outputs = scales.shape
    inputs = len(parts["qweight"])
    nibble = np.arange(outputs) // 8 * 8 + np.tile(AWQ_NIBBLE_OF_COLUMN, outputs // 8)
    codes = unpack_rows(parts["qweight"], 4, outputs)[:, nibble].T
    zeros = unpack_rows(parts["qzeros"], 4, outputs)[:, nibble].T
    group = np.arange(inputs) // (inputs // groups)
    return product(codes - zeros[:, group], scales.T[:, group])


def restore_compressed(parts):
    scale = parts["weight_scale"].reshape(len(parts["weight_scale"]), -1)
    if "weight_packed" in parts:
        outputs, inputs = parts["weight_shape"]
        bits = parts["weight_packed"].shape[1] * 32 // inputs
        assert parts["weight_packed"].shape[1] == -(-inputs * bits // 32), "not a dense stream of codes"
        codes = unpack_rows(parts["weight_packed"], bits, inputs) - (1 << bits - 1)
    else:
        codes = parts["weight"].astype(np.int64)
        outputs, inputs = codes.shape
    zeros = parts.get("weight_zero_point", np.zeros(scale.shape, np.int64))
    if zeros.shape != scale.shape:
        zeros = unpack_rows(zeros.T, bits, outputs).T - (1 << bits - 1)
    size = -(-inputs // scale.shape[1])
    group = parts.get("weight_g_idx", np.arange(inputs) // size)
    return product(codes - zeros[:, group], scale[:, group])


def restore(tensors, config):
    method = config["quant_method"]
    dense, linears = {}, {}
    marker = {"gptq": "qweight", "awq": "qweight", "compressed-tensors": "weight_scale"}[method]
    names = {name.rpartition(".")[0] for name in tensors if name.endswith("." + marker)}
    for name, array in tensors.items():
        linear, _, part = name.rpartition(".")
        if linear in names and part != "bias":
            linears.setdefault(linear, {})[part] = array
        else:
            dense[name] = array.astype(np.float32)
    for linear, parts in linears.items():
        if method == "gptq":
            weight = restore_gptq(parts, config.get("checkpoint_format", config.get("format")) == "gptq_v2")
        elif method == "awq":
            weight = restore_awq(parts)
        else:
            weight = restore_compressed(parts)
        dense[linear + ".weight"] = weight
    return dense, [linear + ".weight" for linear in linears]


def check(dense, restored, expected):
    hashes = json.loads(expected.read_text())["restored_weight_sha256"]
    assert set(hashes) == set(restored), set(hashes) ^ set(restored)
    for name in restored:
        found = hashlib.sha256(np.ascontiguousarray(dense[name], "<f4").tobytes()).hexdigest()
        assert found == hashes[name], f"{name}: {found} is not {hashes[name]}"
    print(f"{len(restored)} weights have the expected hashes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--expected", type=Path)
    options = parser.parse_args()

    config = json.loads((options.model / "config.json").read_text())
    quantization = config.pop("quantization_config", None)
    if quantization is None:
        quantization = json.loads((options.model / "quantize_config.json").read_text())
    dense, restored = restore(read_tensors(options.model), quantization)
    print(f"{len(restored)} weights restored from {quantization['quant_method']}")
    if options.expected:
        check(dense, restored, options.expected)

    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.model.iterdir():
        if path.name.startswith(("token", "special", "chat", "generation", "vocab", "merges")):
            shutil.copyfile(path, options.out / path.name)
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_tensors(options.out / "model.safetensors", dense)


if __name__ == "__main__":
    main()
