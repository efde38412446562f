"""The calibration windows of `halftone quantize --calibration`."""

from tokenizers import Tokenizer


def windows(model, text, count, length):
    """The first windows of the rows joined by a blank line, encoded at once without special tokens."""
    parts = text.read_text(encoding="utf-8").split("\n")
    rows = [p + "\n" for p in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    joined = "\n\n".join("" if not row.strip() else row for row in rows)
    ids = Tokenizer.from_file(str(model / "tokenizer.json")).encode(joined, add_special_tokens=False).ids
    return [dict(input_ids=ids[i * length : (i + 1) * length], attention_mask=[1] * length) for i in range(count)]
