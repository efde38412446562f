#!/usr/bin/env python3
"""Load a quantized folder in the tool that its format comes from, and compare logits with the same weights in float32.

usage: load_elsewhere.py MODEL... [--dtype float16|bfloat16]

GPTQ and AWQ folders are loaded in GPTQModel, which computes in float16 or bfloat16 (--dtype); compressed-tensors folders in
transformers with compressed-tensors, which computes in float32 here. Either must be installed. The float32 weights are what
restore.py makes of the folder, run by transformers without any quantization package. One JSON line for each folder, on the
logits of one fixed prompt. Where the folder asks for rounded inputs, they are first left alone, so that only the weights are
compared, and then rounded as asked (the figures under "rounded_inputs"). A folder may bring logits that Halftone computed, with
the tokens they are for, in halftone_logits.json; then those of the other tool, inputs rounded if the folder asks for it, are
compared with them too (the figures under "against_halftone").
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from gptqmodel_perplexity import Comparison, load_dense, load_quantized, logits_of
from restore import restore_folder
from tokenizers import Tokenizer

PROMPT = "Once upon a time, a little fox lived at the edge of a dark forest. One morning she found a small red door in a tree."


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--dtype", choices=["float16", "bfloat16"], default="float16")
    return parser.parse_args()


def load_compressed(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    schemes = {scheme.format for module in model.modules() if (scheme := getattr(module, "quantization_scheme", None))}
    print(f"compressed-tensors runs {', '.join(sorted(map(str, schemes))) or 'no quantized linear at all'}")
    assert schemes
    return model


def round_inputs(model, enabled):
    """Whether linears with a scheme for their inputs follow it. Their weights stay what they are."""
    for module in model.modules():
        if hasattr(module, "quantization_scheme"):
            module.quantization_enabled = enabled


def compare(quantized, dense, ids):
    comparison = Comparison()
    logits = logits_of(quantized, ids)
    assert torch.isfinite(logits).all(), "logits are not finite"
    comparison.add(logits, logits_of(dense, ids))
    return comparison.facts()


def compare_with_ours(quantized, folder):
    run = json.loads((folder / "halftone_logits.json").read_text())
    ids = torch.tensor(run["tokens"])
    comparison = Comparison()
    comparison.add(logits_of(quantized, ids), torch.tensor(run["logits"]).reshape(len(ids), -1))
    return comparison.facts()


def figures(folder, dtype):
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    method = config["quant_method"]
    ids = torch.tensor(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROMPT, add_special_tokens=False).ids)
    with tempfile.TemporaryDirectory() as restored:
        restore_folder(folder, Path(restored))
        dense = load_dense(restored)
    result = dict(model=folder.name, method=method, tokens=len(ids))
    if method != "compressed-tensors":
        return result | dict(dtype=dtype) | compare(load_quantized(folder, folder, dtype), dense, ids)
    quantized = load_compressed(folder)
    logits_of(quantized, ids)  # the first pass decompresses
    round_inputs(quantized, False)
    result |= dict(dtype="float32") | compare(quantized, dense, ids)
    if any(group["input_activations"] for group in config["config_groups"].values()):
        round_inputs(quantized, True)
        result["rounded_inputs"] = compare(quantized, dense, ids)
    if (folder / "halftone_logits.json").exists():
        result["against_halftone"] = compare_with_ours(quantized, folder)
    return result


def main():
    options = arguments()
    torch.set_grad_enabled(False)
    for folder in options.models:
        print(json.dumps(figures(folder, options.dtype)), flush=True)


if __name__ == "__main__":
    main()
