#!/usr/bin/env python3
"""Tiny random models of the Llama class, one per family, with what transformers computes for them.

usage: families.py OUT [FAMILY ...]

Writes OUT/<family>/ as a Hugging Face directory in float32, and expected.safetensors beside the weights.
README.md in this folder says what each tensor is.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TOKENS = 40
PREFILL = 17  # tokens of the first cached step; the others follow one at a time
BATCH_LENGTHS = (7, 16, 11)
AGREEMENT = 1e-5  # between two float32 routes to the same logits


class Family:
    """How one model is made, and what is recorded besides the plain forward."""

    def __init__(self, config, model, *, seed, hidden=False, shard=None, old_rope=None, batch=BATCH_LENGTHS, short=None):
        self.config, self.model, self.seed = config, model, seed
        self.hidden = hidden  # record the output of every block
        self.shard = shard  # bytes per shard
        self.old_rope = old_rope  # "rope_type" or "type": rewrite config.json the way transformers 4 wrote it
        self.batch = batch
        self.short = short  # length of a second, shorter sequence


def llama(**changes):
    shape = dict(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0),
        bos_token_id=1,
        eos_token_id=2,
    )
    return shape | changes


def families():
    rope = lambda kind, theta=10000.0, **more: dict(rope_type=kind, rope_theta=theta, **more)
    llama31 = rope(
        "llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
    )
    return {
        "llama2": Family(
            LlamaConfig(**llama(num_key_value_heads=4)), LlamaForCausalLM, seed=1
        ),
        "llama3": Family(
            LlamaConfig(**llama(vocab_size=128, rope_parameters=rope("default", 500000.0))),
            LlamaForCausalLM, seed=2, hidden=True, shard=40_000,
        ),
        "llama31": Family(
            LlamaConfig(**llama(max_position_embeddings=256, rope_parameters=llama31)),
            LlamaForCausalLM, seed=3, old_rope="rope_type",
        ),
        "llama-linear": Family(
            LlamaConfig(**llama(rope_parameters=rope("linear", factor=2.0))),
            LlamaForCausalLM, seed=4, old_rope="type",
        ),
        "llama-dynamic": Family(
            LlamaConfig(**llama(max_position_embeddings=24, rope_parameters=rope("dynamic", factor=2.0))),
            LlamaForCausalLM, seed=5, batch=(7, 30, 11), short=20,
        ),
        "tinyllama": Family(
            LlamaConfig(**llama(num_hidden_layers=3, intermediate_size=40, num_attention_heads=8)),
            LlamaForCausalLM, seed=6,
        ),
        "smollm2": Family(
            LlamaConfig(**llama(
                hidden_size=54, intermediate_size=44, num_attention_heads=9, num_key_value_heads=3,
                tie_word_embeddings=True, rope_parameters=rope("default", 100000.0),
            )),
            LlamaForCausalLM, seed=7,
        ),
        "mistral": Family(
            MistralConfig(**llama(sliding_window=8, head_dim=8)), MistralForCausalLM, seed=8
        ),
        "qwen2": Family(
            Qwen2Config(**llama(vocab_size=160, tie_word_embeddings=True, rope_parameters=rope("default", 1000000.0))),
            Qwen2ForCausalLM, seed=9,
        ),
        "qwen3": Family(
            Qwen3Config(**llama(head_dim=12, tie_word_embeddings=True, rope_parameters=rope("default", 1000000.0))),
            Qwen3ForCausalLM, seed=10, hidden=True,
        ),
        "llama-headdim": Family(
            LlamaConfig(**llama(head_dim=12, attention_bias=True, mlp_bias=True)), LlamaForCausalLM, seed=11
        ),
    }


def fill(model, random):
    """Weights under which attention is far from uniform and the logits have a deviation of about one."""
    hidden = model.config.hidden_size
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if "norm" in name:
                values = random.uniform(0.5, 1.5, shape)
            elif name.endswith("bias"):
                values = random.normal(0, 0.5, shape)
            elif "embed_tokens" in name:
                values = random.normal(0, hidden**-0.5 if tied else 1.0, shape)
            elif "q_proj" in name or "k_proj" in name:
                values = random.normal(0, 1.4 * shape[1] ** -0.5, shape)
            else:
                values = random.normal(0, shape[1] ** -0.5, shape)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def load(folder):
    # A fresh model for every forward that counts: dynamic rope keeps its last frequencies in the module.
    # Eager attention applies sliding windows and masks in the plainest way.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def forward(folder, tokens):
    return load(folder)(input_ids=tokens[None], use_cache=False).logits[0]


def hidden_states(folder, tokens):
    model, outputs = load(folder), []
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _, __, out: outputs.append(out[0] if isinstance(out, tuple) else out))
    model(input_ids=tokens[None], use_cache=False)
    return {f"hidden.{i}": out.reshape(len(tokens), -1) for i, out in enumerate(outputs)}


def cached(folder, tokens):
    model = load(folder)
    cache, rows, start = DynamicCache(config=model.config), [], 0
    for end in range(PREFILL, len(tokens) + 1):
        rows.append(model(input_ids=tokens[None, start:end], past_key_values=cache, use_cache=True).logits[0])
        start = end
    return torch.cat(rows)


def padded(folder, tokens, lengths):
    mask = torch.arange(tokens.shape[1])[None] < torch.tensor(lengths)[:, None]
    return load(folder)(input_ids=tokens, attention_mask=mask.long(), use_cache=False).logits


def batch(folder, lengths, vocabulary, random):
    longest = max(lengths)
    tokens = torch.zeros(len(lengths), longest, dtype=torch.int64)
    logits = torch.zeros(len(lengths), longest, vocabulary)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.from_numpy(random.integers(3, vocabulary, length))
        logits[row, :length] = forward(folder, tokens[row, :length])
    return tokens, logits


def distance(a, b):
    return (a - b).abs().max().item()


def rewrite_rope(folder, key):
    """The spelling of transformers 4: rope_theta at the top, rope_scaling with `key` naming the kind, no head_dim."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (folder / "config-rope-parameters.json").write_text(path.read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = {key: scaling.pop("rope_type"), **scaling}
    config["torch_dtype"] = config.pop("dtype")
    config.pop("transformers_version")
    if config["head_dim"] == config["hidden_size"] // config["num_attention_heads"]:
        config.pop("head_dim")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save(model, family, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    model.save_pretrained(folder, **({"max_shard_size": family.shard} if family.shard else {}))


def make(name, family, folder):
    random = np.random.default_rng(family.seed)
    model = family.model(family.config).float()
    fill(model, random)
    save(model, family, folder)
    vocabulary = family.config.vocab_size
    tokens = torch.from_numpy(random.integers(3, vocabulary, TOKENS))
    logits = forward(folder, tokens)
    report = dict(deviation=logits.std().item())

    if family.old_rope:
        rewrite_rope(folder, family.old_rope)
        assert distance(forward(folder, tokens), logits) == 0, "the two spellings of rope differ"

    expected = dict(tokens=tokens, logits=logits)
    if family.hidden:
        expected |= hidden_states(folder, tokens)

    expected["cached.logits"] = cached(folder, tokens)
    report["cached"] = distance(expected["cached.logits"], logits)

    rows, row_logits = batch(folder, family.batch, vocabulary, random)
    expected |= {"batch.tokens": rows, "batch.lengths": torch.tensor(family.batch), "batch.logits": row_logits}
    together = padded(folder, rows, family.batch)
    report["padded"] = max(distance(together[i, :n], row_logits[i, :n]) for i, n in enumerate(family.batch))

    if family.short:
        expected["short.logits"] = forward(folder, tokens[: family.short])
        report["short"] = distance(expected["short.logits"], logits[: family.short])

    if name != "llama-dynamic":
        assert report["cached"] < AGREEMENT and report["padded"] < AGREEMENT, report
    assert 0.7 < report["deviation"] < 1.4, report
    check_the_family_shows(name, folder, tokens, logits, report)

    integers = lambda t: t.to(torch.int32) if t.dtype == torch.int64 else t
    save_file({k: integers(v).contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    print(name, json.dumps(report), sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KiB")


def check_the_family_shows(name, folder, tokens, logits, report):
    """What sets a family apart must move its logits, or the test would pass without it."""
    model = load(folder)
    if name == "mistral":
        model.config.sliding_window = None
    elif name in ("llama31", "llama-linear", "llama-dynamic"):
        plain = load(folder).config
        plain.rope_parameters = dict(rope_type="default", rope_theta=plain.rope_parameters["rope_theta"])
        model.model.rotary_emb = type(model.model.rotary_emb)(plain)
    elif name in ("qwen2", "qwen3", "llama-headdim"):
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith("bias"):
                    parameter.zero_()
                elif "q_norm" in parameter_name or "k_norm" in parameter_name:
                    parameter.fill_(1.0)
    else:
        return
    report["without"] = distance(model(input_ids=tokens[None], use_cache=False).logits[0], logits)
    assert report["without"] > 0.05, report


def main(out, *names):
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name, family in families().items():
        if not names or name in names:
            make(name, family, Path(out) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
