#!/usr/bin/env python3
"""What a tokenizer.json makes of awkward texts.

usage: tokenization.py OUT.json TOKENIZER.json
"""

import json
import sys

from tokenizers import Tokenizer

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    "\t",
    "\r\n",
    "a",
    "Hello",
    "Hello, world!",
    " Hello",
    "  Hello",
    "Hello ",
    "Hello  ",
    "Hello   world",
    "\nHello\n",
    "one\ntwo\r\nthree\rfour",
    "tab\tseparated\t\tvalues",
    " \n \t \n ",
    "trailing newline then spaces\n   ",
    "Once upon a time there was a little cat who lived in a red house.",
    "The quick brown fox jumps over the lazy dog.",
    "I'll you're we've they'd it's don't I'm HE'S 'tis",
    "UPPER lower MiXeD camelCase snake_case kebab-case",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "... --- *** === ///",
    "«quotes» “curly” ‘single’ — dash – en … ellipsis",
    "0",
    "42",
    "1234567890",
    "31415926535897932384626433832795028841971693993751",
    "1,234,567.89 and -0.5e-10 and 0x1F and 50%",
    "٠١٢٣ ²³¹ ½ Ⅷ ①",
    "2024-07-26T09:05:03Z",
    "naïve café über Straße façade Ærøskøbing",
    "cafe\u0301 versus caf\u00e9",
    "Z\u0351\u036b\u0343\u036aA\u0317\u0323L\u0334G\u0328O\u031b",
    "Tiếng Việt có dấu",
    "Ελληνικά, Русский, Українська, Հայերեն, ქართული",
    "日本語のテキストです。",
    "中文文本,没有空格。",
    "한국어 텍스트",
    "ไทยไม่มีช่องว่าง",
    "हिन्दी में पाठ",
    "مرحبا بالعالم، كيف حالك؟",
    "שלום עולם",
    "\u202bright to left\u202c and \u200bzero\u200bwidth",
    "mixed English 日本語 and العربية together",
    "😀",
    "😀😃😄",
    "Nice 👍🏽 work 🎉!",
    "👨‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👩🏾‍🚀 astronaut, 🇫🇷 France, 1️⃣ keycap",
    "𝕄𝕒𝕥𝕙 𝒷𝑜𝓁𝒹 𐍈 𠜎",
    "\ufeffbyte order mark",
    "nul \u0000 bell \u0007 escape \u001b delete \u007f",
    "non\u00a0breaking\u2003em space\u3000ideographic",
    "line\u2028separator paragraph\u2029separator next\u0085line",
    "replacement \ufffd and private \ue000 and last \U0010fffd",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(3))\n",
    "public static void main(String[] args) {\n\tSystem.out.println(\"hi\");\n}\n",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\\n\"}}",
    "SELECT * FROM t WHERE a >= 10 AND b != 'x';",
    "<html><body class=\"a\">&amp;</body></html>",
    "https://example.org/path?query=1&other=two#fragment someone@example.org",
    "C:\\Users\\name\\file.txt /usr/local/bin",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "text<|im_end|>text",
    " <|im_end|> ",
    "<|im_end|><|im_end|>",
    "<|endoftext|>",
    "<|im_start|>",
    "almost <|im_start| > and <|im_start and |im_end|> and <|IM_END|>",
    "<s>not special here</s> [INST] nor here [/INST] <|unknown|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "                                                                ",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "=" * 100,
    "the " * 40,
]


def case(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    result = dict(
        text=text,
        ids=ids,
        decoded=tokenizer.decode(ids, skip_special_tokens=False),
        decoded_without_special=tokenizer.decode(ids, skip_special_tokens=True),
    )
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    if plain != ids:
        result["ids_with_special_tokens_as_text"] = plain
    with_defaults = tokenizer.encode(text).ids
    if with_defaults != ids:
        result["ids_with_template"] = with_defaults
    return result


def main(out, path):
    tokenizer = Tokenizer.from_file(path)
    cases = [case(tokenizer, text) for text in TEXTS]
    with open(out, "w", encoding="utf-8") as file:
        # ASCII with escapes: no editor or line-ending setting can change a text.
        lines = ",\n".join("  " + json.dumps(c) for c in cases)
        file.write(f'{{"vocab_size": {tokenizer.get_vocab_size()}, "cases": [\n{lines}\n]}}\n')
    changed = [c["text"] for c in cases if c["decoded"] != c["text"]]
    print(f"{len(cases)} texts, {len(changed)} not decoded to themselves: {changed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
