"""Training rows made up for the tests of training."""

import random
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from stages.lib.records import TrainingRow

ROWS = 24


def rows(tokenizer: PreTrainedTokenizerBase, source: str) -> Iterator[TrainingRow]:
    """Expert rows as text, self rows as sampled; lengths differ."""
    rng = random.Random(source)
    for number in range(ROWS):
        text = "".join(rng.choices("0123456789+- ", k=rng.randint(3, 25)))
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id] if source == "self" else None
        logprobs = [rng.uniform(-2, 0) for _ in ids] if ids else None
        yield TrainingRow(
            id=f"t-{number}", source=source, index=None, problem=f"{number} + 1 =", answer="1", response=text,
            token_ids=ids, logprobs=logprobs,
        )  # fmt: skip
