"""Do we restore GGUF blocks as the gguf package does? Puts random blocks in the place of a model's linears.

    gguf_restore.py MODEL.gguf OUT.gguf            # writes OUT.gguf, one type of block after another
    gguf_restore.py --check OUT.gguf DENSE         # DENSE is what `halftone convert OUT.gguf DENSE --to dense --dtype F32` wrote

MODEL.gguf is any export of ours whose linears have whole blocks of 256 columns. The check prints, for each type, how many tensors
were compared and the largest difference, which must be 0.
"""

import argparse
from collections import defaultdict

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

TYPES = [Type.Q4_K, Type.Q6_K, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.F16, Type.BF16]
# Places of the float16 numbers in a block, which must not be NaN.
STEPS = {Type.Q4_K: [0, 2], Type.Q6_K: [208], Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2]}
LINEARS = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def random_blocks(kind, shape, random):
    if kind in (Type.F16, Type.BF16):
        return gguf.quants.quantize(random.normal(size=shape).astype(np.float32), kind)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, size=(shape[0] * shape[1] // elements, size), dtype=np.uint8)
    for at in STEPS[kind]:
        steps = random.normal(size=(len(blocks), 1)).astype(np.float16)
        blocks[:, at : at + 2] = steps.view(np.uint8)
    return blocks.reshape(shape[0], -1)


def write(model, out):
    reader = gguf.GGUFReader(model)
    writer = gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        part = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=part)
    random = np.random.default_rng(1)
    linears = 0
    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        if tensor.name.split(".")[-2] in LINEARS:
            kind = TYPES[linears % len(TYPES)]
            linears += 1
            writer.add_tensor(tensor.name, random_blocks(kind, shape, random), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(path, dense):
    from safetensors.numpy import load_file

    ours = load_file(f"{dense}/model.safetensors")
    reader = gguf.GGUFReader(path)
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    found = defaultdict(lambda: [0, 0.0])
    for tensor in reader.tensors:
        part = tensor.name.split(".")[-2]
        if part not in LINEARS:
            continue
        theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if part in heads:
            # GGUF lays the halves of a rotary pair side by side.
            count = int(reader.fields[heads[part]].contents())
            theirs = theirs.reshape(count, -1, 2, theirs.shape[1]).swapaxes(1, 2).reshape(theirs.shape)
        layer = tensor.name.split(".")[1]
        mine = ours[f"model.layers.{layer}.{LINEARS[part]}.weight"]
        entry = found[tensor.tensor_type.name]
        entry[0] += 1
        entry[1] = max(entry[1], float(np.abs(mine - theirs).max()))
    for kind, (count, largest) in found.items():
        print(f"{kind}: {count} tensors, largest difference {largest}")


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--check", action="store_true")
parser.add_argument("paths", nargs=2)
options = parser.parse_args()
(check if options.check else write)(*options.paths)
