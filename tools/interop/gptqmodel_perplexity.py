#!/usr/bin/env python3
"""Score a GPTQ or AWQ folder in GPTQModel on the CPU, and compare its logits with a dense float32 model.

usage: gptqmodel_perplexity.py MODEL TEXT [--context N] [--windows N] [--protocol plain]
                               [--tokenizer FOLDER] [--dense FOLDER] [--dtype float16|bfloat16]

Protocol plain: the text encoded at once without special tokens, cut into windows of `context` tokens that do not overlap,
the last partial one dropped, each scored alone; the mean over the context - 1 predictions of every window, exponentiated.
GPTQModel computes in float16 or bfloat16 only. --dense names the same weights restored to float32 (restore.py), which
transformers runs on the same windows. MODEL may lack tokenizer files if --tokenizer names a folder that has them.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--windows", type=int, help="score only the first N")
    parser.add_argument("--protocol", choices=["plain"], default="plain")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--dense", type=Path)
    parser.add_argument("--dtype", choices=["float16", "bfloat16"], default="float16")
    return parser.parse_args()


def windows_of(text, tokenizer, context, limit):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    count = len(ids) // context
    count = min(count, limit) if limit else count
    assert count, f"{len(ids)} tokens do not fill a window of {context}"
    return torch.tensor(ids[: count * context]).reshape(count, context)


def load_quantized(model, tokenizer, dtype):
    from gptqmodel import GPTQModel

    with tempfile.TemporaryDirectory() as together:
        # GPTQModel wants weights and tokenizer in one folder.
        for folder in (tokenizer, model):
            for path in folder.iterdir():
                link = Path(together) / path.name
                if path.name.startswith(("token", "special", "chat", "vocab", "merges")) or folder == model:
                    link.unlink(missing_ok=True)
                    link.symlink_to(path.resolve())
        loaded = GPTQModel.load(together, device="cpu", dtype=getattr(torch, dtype))
    inner = loaded.model.eval()
    kinds = {type(m).__name__ for m in inner.modules() if hasattr(m, "qweight")}
    print(f"GPTQModel runs it with {', '.join(sorted(kinds)) or 'no quantized linear at all'}")
    assert kinds
    return inner


def load_dense(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits_of(model, window):
    return model(input_ids=window[None], use_cache=False).logits[0].float()


def negative_log_likelihood(logits, window):
    return torch.nn.functional.cross_entropy(logits[:-1].double(), window[1:], reduction="sum").item()


class Comparison:
    """Of the quantized model's logits with the dense one's, over all positions."""

    def __init__(self):
        self.largest = self.divergence = self.agreeing = self.positions = 0

    def add(self, quantized, dense):
        p, q = dense.double().log_softmax(-1), quantized.double().log_softmax(-1)
        self.largest = max(self.largest, (quantized - dense).abs().max().item())
        self.divergence += (p.exp() * (p - q)).sum().item()
        self.agreeing += (quantized.argmax(-1) == dense.argmax(-1)).sum().item()
        self.positions += len(dense)

    def facts(self):
        return dict(
            largest_logit_difference=self.largest,
            mean_divergence=self.divergence / self.positions,
            same_first_choice=self.agreeing / self.positions,
        )


def main():
    options = arguments()
    torch.set_grad_enabled(False)
    tokenizer_folder = options.tokenizer or options.model
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    text = options.text.read_text(encoding="utf-8")
    windows = windows_of(text, tokenizer, options.context, options.windows)

    quantized = load_quantized(options.model, tokenizer_folder, options.dtype)
    dense = load_dense(options.dense) if options.dense else None
    sums, comparison = [0.0, 0.0], Comparison()
    for window in windows:
        logits = logits_of(quantized, window)
        assert torch.isfinite(logits).all(), "logits are not finite"
        sums[0] += negative_log_likelihood(logits, window)
        if dense:
            truth = logits_of(dense, window)
            sums[1] += negative_log_likelihood(truth, window)
            comparison.add(logits, truth)

    predictions = len(windows) * (options.context - 1)
    result = dict(protocol=options.protocol, context=options.context, windows=len(windows), dtype=options.dtype)
    result["perplexity"] = math.exp(sums[0] / predictions)
    if dense:
        result["dense_perplexity"] = math.exp(sums[1] / predictions)
        result |= comparison.facts()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
