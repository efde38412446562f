#!/usr/bin/env python3
"""Quantize a model with llm-compressor on the CPU, to be scored beside ours.

usage: llmcompressor_quantize.py MODEL OUT --text TEXT [--smooth S] [--awq] [--gptq] [--bits B [--group G] [--asymmetric]
                                 [--activations]] [--windows N] [--length L]

OUT is a dense folder in float32 with the weights as their codes restore, or, with --activations, a W8A8 folder as llm-compressor
saves it; `halftone perplexity` scores either. Without --bits the model is only smoothed. AWQ is given more windows or longer ones at
the price of hours.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from calibration import windows
from datasets import Dataset
from transformers import AutoModelForCausalLM
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines import cache
from safetensors.torch import save_file


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--smooth", type=float)
    parser.add_argument("--awq", action="store_true")
    parser.add_argument("--gptq", action="store_true")
    parser.add_argument("--bits", type=int)
    parser.add_argument("--group", type=int, default=64, help="-1: one scale per output channel")
    parser.add_argument("--asymmetric", action="store_true")
    parser.add_argument("--activations", action="store_true", help="round inputs per token to 8 bits as well")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--length", type=int, default=2048)
    return parser.parse_args()


def recipe(options):
    if not options.bits:
        return [SmoothQuantModifier(smoothing_strength=options.smooth)]
    strategy = dict(strategy="channel") if options.group < 0 else dict(strategy="group", group_size=options.group)
    scheme = QuantizationScheme(
        targets=["Linear"],
        weights=QuantizationArgs(num_bits=options.bits, type="int", symmetric=not options.asymmetric, **strategy),
        input_activations=QuantizationArgs(num_bits=8, type="int", strategy="token", dynamic=True, symmetric=True)
        if options.activations
        else None,
    )
    common = dict(config_groups={"group_0": scheme}, ignore=["lm_head"])
    steps = []
    if options.smooth is not None:
        steps.append(SmoothQuantModifier(smoothing_strength=options.smooth))
    if options.awq:
        steps.append(AWQModifier())
    if options.bits:
        steps.append(GPTQModifier(**common) if options.gptq else QuantizationModifier(**common))
    return steps


def restored(model):
    """All weights in float32, those with a scheme as their codes have them."""
    tensors = {}
    for name, module in model.named_modules():
        for key, value in module.named_parameters(recurse=False):
            full = f"{name}.{key}" if name else key
            if getattr(module, "quantization_scheme", None) is not None:
                if key != "weight":
                    continue
                value = fake_quantize(
                    value, module.weight_scale, module.weight_zero_point, module.quantization_scheme.weights
                )
            tensors[full] = value.detach().float().contiguous().clone()
    tensors.pop("lm_head.weight", None)
    return tensors


def main():
    options = arguments()
    cache.IntermediatesCache.pin_memory = lambda *args, **more: None  # there is no GPU to copy to
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    data = Dataset.from_list(windows(options.model, options.text, options.windows, options.length))
    steps = recipe(options)
    print(steps, flush=True)
    start = time.time()
    oneshot(model=model, dataset=data, recipe=steps, max_seq_length=options.length, num_calibration_samples=options.windows)
    print(f"oneshot {time.time() - start:.0f} s", flush=True)
    options.out.mkdir(parents=True)
    if options.activations:
        model.save_pretrained(options.out, save_compressed=True)
    else:
        save_file(restored(model), options.out / "model.safetensors", metadata=dict(format="pt"))
        config = json.loads((options.model / "config.json").read_text())
        config["dtype"] = config["torch_dtype"] = "float32"
        (options.out / "config.json").write_text(json.dumps(config))
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if (options.model / file).exists():
            shutil.copy(options.model / file, options.out)


if __name__ == "__main__":
    main()
