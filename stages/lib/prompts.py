"""Builds every prompt of the project: sampling, scoring, training and evaluation use it.

    messages = plain("4 - 3 + 8 =", prompt)           # what training and evaluation see
    messages = guided("4 - 3 + 8 =", solution, prompt)  # what re-solving sees; never trained on
    ids = encode(tokenizer, messages)                 # token ids that end where the response begins
    prompts = plain_prompts(tokenizer, {"train-17": "4 - 3 + 8 ="}, prompt)   # [("train-17", ids)], all at once

The words are params (`prompt.*`), the scaffold around them is the model's own chat template.
"""

import re
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.lib.run.params import Prompt

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
    user's turn.
    """
    return _encode_all(tokenizer, [messages])[0]


def plain_prompts(
    tokenizer: "PreTrainedTokenizerBase", problems: Mapping[str, str], prompt: "Prompt"
) -> list[tuple[str, list[int]]]:
    """The plain prompt of every problem (id: text) as (id, token ids), in their order."""
    encoded = _encode_all(tokenizer, [plain(text, prompt) for text in problems.values()])
    return list(zip(problems, encoded, strict=True))


def control_words(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """The texts of the tokenizer's special tokens; of two that begin alike the longer first."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    words = sorted({*special, *tokenizer.all_special_tokens}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words)) or "(?!)")


def plain_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of text from outside: what looks like a special token is split like any other word."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def _encode_all(tokenizer: "PreTrainedTokenizerBase", chats: list[list[Message]]) -> list[list[int]]:
    """As `encode` of each: one call for all takes half the time."""
    words = control_words(tokenizer)
    aside = {place for place, chat in enumerate(chats) if any(words.search(message["content"]) for message in chat)}
    ordinary = [chat for place, chat in enumerate(chats) if place not in aside]
    texts = tokenizer.apply_chat_template(ordinary, tokenize=False, add_generation_prompt=True) if ordinary else []
    encoded = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])  # special: the template's
    return [_set_aside(tokenizer, chat, words) if place in aside else next(encoded) for place, chat in enumerate(chats)]


def _set_aside(tokenizer: "PreTrainedTokenizerBase", chat: list[Message], words: re.Pattern[str]) -> list[int]:
    """Token ids of a chat that holds control words: each is set aside while the template is rendered, and read on its
    own as plain text."""
    everything = "".join(message["content"] for message in chat)
    found = [word for message in chat for word in words.findall(message["content"])]
    mark = next(char for char in map(chr, range(0xE000, 0xF8FF)) if char not in everything)
    places = iter(range(len(found)))
    marked = [{**m, "content": words.sub(lambda _: f"{mark}{next(places)}{mark}", m["content"])} for m in chat]
    text = str(tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True))
    parts = re.split(f"{mark}(\\d+){mark}", text)
    ids = (
        plain_ids(tokenizer, found[int(part)]) if place % 2 else tokenizer(part, add_special_tokens=False)["input_ids"]
        for place, part in enumerate(parts)
    )
    return list(chain.from_iterable(ids))


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
