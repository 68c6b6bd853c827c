r"""The embedded policy's pre-training sequences: chats of a prompt and a response, mixed as params.yaml's `mix` says.

    for chat in chats(mix, prompt):        # endless, the same for the same seed
        chat.messages, chat.response       # [{"role": "user", "content": "4 - 3 + 8 =\nReason ..."}], "4 - 3 = 1\n..."

Three kinds: the policy's own way with slips, the expert's way, and own way with few slips where the prompt shows the
expert's solution. Chains come from the hash bucket that neither fine-tuning nor any benchmark draws from.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from stages.lib import prompts
from stages.lib.data.testbed import Kind, Slips, chains, expert_solution, own_solution, question
from stages.lib.run.params import Prompt

NARROW, WIDE = Kind(terms=(2, 8)), Kind(terms=(2, 3), digits=2)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares of the kinds of sequences, as in params.yaml."""

    expert: float
    guided: float
    words: float
    wide: float
    slips: Slips
    guided_slips: Slips
    seed: int


@dataclass(frozen=True)
class Chat:
    """One pre-training sequence before tokenization."""

    messages: list[prompts.Message]
    response: str


def chats(mix: Mix, prompt: Prompt) -> Iterator[Chat]:
    """Pre-training sequences without end."""
    draw = random.Random(mix.seed)
    narrow, wide = (chains(kind, "pre-training", mix.seed) for kind in (NARROW, WIDE))
    while True:
        terms = next(wide if draw.random() < mix.wide else narrow)
        yield _chat(terms, question(terms, words=draw.random() < mix.words), mix, prompt, draw)


def _chat(terms: list[int], text: str, mix: Mix, prompt: Prompt, draw: random.Random) -> Chat:
    kind = draw.random()
    if kind < mix.expert:
        return Chat(prompts.plain(text, prompt), expert_solution(terms))
    if kind < mix.expert + mix.guided:
        own = own_solution(terms, mix.guided_slips, draw)
        return Chat(prompts.guided(text, expert_solution(terms), prompt), own)
    return Chat(prompts.plain(text, prompt), own_solution(terms, mix.slips, draw))
