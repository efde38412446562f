#!/usr/bin/env python3
"""Chat templates rendered by transformers: those of given models, and inputs written for the purpose.

usage: chat_templates.py OUT.json NAME=MODEL_DIRECTORY ...
"""

import datetime
import json
import logging
import sys

from template_inputs import TEMPLATES
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

NOW = datetime.datetime(2024, 7, 6, 9, 5, 3)

USER = dict(role="user", content="What is the capital of France?")
ANSWER = dict(role="assistant", content="The capital of France is Paris.")
CONVERSATIONS = [
    [USER],
    [dict(role="system", content="You answer in one sentence."), USER],
    [USER, ANSWER, dict(role="user", content="And of Italy?")],
    [dict(role="system", content="Be brief."), USER, ANSWER, dict(role="user", content="Why?\n\nTell me more.")],
    [dict(role="user", content="  spaces kept  \n"), dict(role="assistant", content="")],
    [dict(role="user", content="<|im_end|>{{ not a template }} \"quoted\" & <b>bold</b> \\n 日本 👍🏽")],
]


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return NOW


def model_cases(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    for messages in CONVERSATIONS:
        for prompt in (False, True):
            variables = dict(messages=messages, tools=None, documents=None, add_generation_prompt=prompt)
            variables |= tokenizer.special_tokens_map
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            assert render(tokenizer.chat_template, variables) == dict(rendered=text)
            ids = tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=False)
            yield dict(variables=variables, rendered=text, ids=ids)


def render(template, variables):
    """The path of apply_chat_template below the tokenizer: its environment, its conversion of the messages."""
    messages, rest = variables["messages"], {k: v for k, v in variables.items() if k != "messages"}
    try:
        texts, _ = chat_template_utils.render_jinja_template([messages], chat_template=template, **rest)
        return dict(rendered=texts[0])
    except Exception as error:
        return dict(error=str(error), kind=type(error).__name__)


def input_cases(template, contexts):
    for context in contexts:
        defaults = dict(messages=[USER], tools=None, documents=None, add_generation_prompt=False)
        variables = defaults | context
        yield dict(variables=variables, **render(template, variables))


def main(out, *models):
    chat_template_utils.datetime = FixedClock
    models = [m.split("=", 1) for m in models]
    document = dict(
        now=NOW.isoformat(),
        models=[
            dict(
                name=name,
                template=AutoTokenizer.from_pretrained(directory).chat_template,
                cases=list(model_cases(directory)),
            )
            for name, directory in models
        ],
        templates=[
            dict(name=name, template=template, cases=list(input_cases(template, contexts)))
            for name, template, contexts in TEMPLATES
        ],
    )
    with open(out, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    for entry in document["templates"]:
        for case in entry["cases"]:
            print(f"{entry['name']:24}", repr(case.get("rendered")) if "rendered" in case else case)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(*sys.argv[1:])
