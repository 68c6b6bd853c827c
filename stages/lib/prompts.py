"""The prompts, the only place that builds any: sampling, scoring, training and evaluation all come here.

    messages = plain("4 - 3 + 8 =", prompt)           # what training and evaluation see
    messages = guided("4 - 3 + 8 =", solution, prompt)  # what re-solving sees; never trained on
    ids = encode(tokenizer, messages)                 # token ids that end where the response begins

The words are params (`prompt.*`), the scaffold around them is the model's own chat template.
"""

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.lib.params import Prompt

Message = dict[str, str]


def plain(problem: str, prompt: "Prompt") -> list[Message]:
    """The plain prompt: system text if any, then the problem with the instruction."""
    return _messages(_instruction(problem, prompt), prompt)


def guided(problem: str, solution: str, prompt: "Prompt") -> list[Message]:
    """The re-solving prompt: the plain prompt's text with the expert's solution (or another of `guides.GUIDES`)."""
    fields = {"problem": problem, "instruction": _instruction(problem, prompt), "solution": solution}
    return _messages(_fill(prompt.guided, fields), prompt)


def encode(tokenizer: "PreTrainedTokenizerBase", messages: list[Message]) -> list[int]:
    """Token ids of the rendered chat, up to and including the generation prompt.

    Control tokens come from the template alone: "<|im_end|>" in a problem or a solution is text, which cannot close the
    user's turn. Such a word is set aside while the template is rendered, and read on its own as plain text.
    """
    words = control_words(tokenizer)
    found = [word for message in messages for word in words.findall(message["content"])]
    everything = "".join(message["content"] for message in messages)
    mark = next(char for char in map(chr, range(0xE000, 0xF8FF)) if char not in everything) if found else ""
    places = iter(range(len(found)))
    aside = [{**m, "content": words.sub(lambda _: f"{mark}{next(places)}{mark}", m["content"])} for m in messages]
    text = tokenizer.apply_chat_template(aside, tokenize=False, add_generation_prompt=True)
    parts = re.split(f"{mark}(\\d+){mark}", text) if found else [text]
    ids = [
        plain_ids(tokenizer, found[int(part)])
        if place % 2
        else tokenizer(part, add_special_tokens=False)["input_ids"]  # the template writes its own special tokens
        for place, part in enumerate(parts)
    ]
    return list(chain.from_iterable(ids))


def control_words(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """The texts of the tokenizer's special tokens; of two that begin alike the longer first."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    words = sorted({*special, *tokenizer.all_special_tokens}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words)) or "(?!)")


def plain_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of text from outside: what looks like a special token is split like any other word."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def _instruction(problem: str, prompt: "Prompt") -> str:
    return _fill(prompt.instruction, {"problem": problem})


def _messages(user: str, prompt: "Prompt") -> list[Message]:
    system = [{"role": "system", "content": prompt.system}] if prompt.system is not None else []
    return [*system, {"role": "user", "content": user}]


def _fill(template: str, values: dict[str, str]) -> str:
    r"""Replace {name}s one pass long, so braces of \boxed{} and of the data stay as they are."""
    parts, rest = [], template
    while rest:
        found = [(rest.find("{" + key + "}"), key) for key in values]
        found = [(at, key) for at, key in found if at >= 0]
        if not found:
            break
        at, key = min(found)
        parts += [rest[:at], values[key]]
        rest = rest[at + len(key) + 2 :]
    return "".join([*parts, rest])
