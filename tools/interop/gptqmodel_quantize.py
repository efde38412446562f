#!/usr/bin/env python3
"""Quantize a model with GPTQModel on the CPU, to be scored and timed beside ours.

usage: gptqmodel_quantize.py MODEL OUT --text TEXT [--method gptq|awq] [--bits B] [--group G] [--asymmetric] [--windows N] [--length L]
"""

import argparse
import time
from pathlib import Path

from calibration import windows
from gptqmodel import GPTQModel, QuantizeConfig


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--method", choices=["gptq", "awq"], default="gptq")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group", type=int, default=64, help="-1: one scale per output channel")
    parser.add_argument("--asymmetric", action="store_true")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--length", type=int, default=2048)
    return parser.parse_args()


def main():
    options = arguments()
    calibration = windows(options.model, options.text, options.windows, options.length)
    extra = dict(method="awq", format="gemm") if options.method == "awq" else {}
    if options.group < 0:
        extra |= dict(act_group_aware=False)  # its default order is one of groups
    config = QuantizeConfig(
        bits=options.bits, group_size=options.group, sym=not options.asymmetric, device="cpu", **extra
    )
    model = GPTQModel.load(str(options.model), config)
    start = time.time()
    model.quantize(calibration)
    print(f"quantized in {time.time() - start:.0f} s", flush=True)
    model.save(str(options.out))


if __name__ == "__main__":
    main()
