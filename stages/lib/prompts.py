"""The prompts, the only place that builds any: sampling, scoring, training and evaluation all come here.

    messages = plain("4 - 3 + 8 =", prompt)           # what training and evaluation see
    messages = guided("4 - 3 + 8 =", solution, prompt)  # what re-solving sees; never trained on
    ids = encode(tokenizer, messages)                 # token ids that end where the response begins
    prompts = plain_prompts(tokenizer, {"train-17": "4 - 3 + 8 ="}, prompt)   # [("train-17", ids)], all at once

The words are params (`prompt.*`), the scaffold around them is the model's own chat template.
"""

from collections.abc import Mapping
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
    """Token ids of the rendered chat, up to and including the generation prompt."""
    return _encode_all(tokenizer, [messages])[0]


def plain_prompts(
    tokenizer: "PreTrainedTokenizerBase", problems: Mapping[str, str], prompt: "Prompt"
) -> list[tuple[str, list[int]]]:
    """The plain prompt of every problem (id: text) as (id, token ids), in their order."""
    encoded = _encode_all(tokenizer, [plain(text, prompt) for text in problems.values()])
    return list(zip(problems, encoded, strict=True))


def _encode_all(tokenizer: "PreTrainedTokenizerBase", chats: list[list[Message]]) -> list[list[int]]:
    """As `encode` of each: one call for all takes half the time."""
    texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    return tokenizer(texts, add_special_tokens=False)["input_ids"]  # the template writes its own special tokens


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
