#!/usr/bin/env python3
"""Write what linears with rounded inputs put out in transformers with compressed-tensors.

usage: rounded_inputs.py OUT MODEL...

OUT becomes a JSON file with, for each MODEL folder and some of its linears, the first outputs for four rows of inputs, in float32:
inputs[row][column] = ((31 * row + 17 * column) % 97 - 48) / 16, times 8 in the row 2, and zero in the row 3. They are exact in
float32 and many lie on the edge between two codes, so that every detail of the rounding shows. Needs
../interop/requirements-compressed-tensors.txt.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

LINEARS = ["model.layers.0.self_attn.q_proj", "model.layers.2.mlp.up_proj", "model.layers.3.mlp.down_proj"]
OUTPUTS = 24


def inputs(columns):
    row, column = torch.arange(4)[:, None], torch.arange(columns)[None]
    values = ((31 * row + 17 * column) % 97 - 48) / 16
    return values * torch.tensor([1.0, 1.0, 8.0, 0.0])[:, None]


def main():
    torch.set_grad_enabled(False)
    result = {}
    for folder in map(Path, sys.argv[2:]):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        model(torch.zeros(1, 2, dtype=torch.long))  # the first pass decompresses
        linears = dict(model.named_modules())
        # With fewer dimensions the library takes the first two for tokens and channels.
        result[folder.name] = {name: linears[name](inputs(linears[name].in_features)[None])[0, :, :OUTPUTS].tolist() for name in LINEARS}
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
