r"""Guides: what is shown of a solution; a shortened one leaves the rest of the prompt whole and within its limits."""

import dataclasses
import importlib.util
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from stages import score
from stages.lib import prompts
from stages.lib.records import Problem, TrainingRow
from stages.lib.rewriting import guides
from stages.lib.rewriting.guides import CUT, Guided, GuideError, first_half, shortened
from stages.lib.run.params import Params, load
from stages.lib.verifier.extract import extract
from tests.conftest import CHAT

ROOT = Path(__file__).parents[2]
PARAMS = load(ROOT / "params.yaml")
REAL = YAML(typ="safe").load((ROOT / "presets" / "guided.yaml").read_text())["prompt"]["guided"]
FIXED = (
    "<|user|>",
    "What is 1/2 of 8?",
    "\\boxed{}",
    "Below is a worked",
    "[end of the worked solution]",
    "<|assistant|>",
)


def trained() -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer trained on random words: merges that reach over letters, digits and spaces."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdeé0123456789", k=draw.randint(1, 9))) for _ in range(300)]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([" ".join(draw.choices(words, k=40)) for _ in range(100)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


TOKENIZERS = {"micro": AutoTokenizer.from_pretrained(ROOT / "models" / "micro" / "policy"), "trained": trained()}
TEXTS = st.text(st.sampled_from("abcdeé0123456789  \n.=+日本🙂\u0301"), max_size=300)


def problem(solution: str | None, answer: str = "4") -> Problem:
    return Problem(id="p-1", problem="What is 1/2 of 8?", answer=answer, solution=solution)


def make(
    tokenizer: PreTrainedTokenizerBase, context: int | None, most: int | None = None, kind: str = "solution"
) -> Guided:
    prompt = dataclasses.replace(PARAMS.prompt, guided=REAL)
    return Guided(kind, tokenizer, prompt, dataclasses.replace(PARAMS.resolve, guide_tokens=most), context)


def rendered(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    prompt = dataclasses.replace(PARAMS.prompt, guided=REAL)
    return prompts.encode(tokenizer, prompts.guided("What is 1/2 of 8?", text, prompt))


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS, room=st.integers(0, 200))
def test_a_prompt_fits_the_context_and_only_the_guide_is_cut(name: str, text: str, room: int) -> None:
    tokenizer = TOKENIZERS[name]
    context = len(rendered(tokenizer, "")) + PARAMS.resolve.max_new_tokens + room
    made = make(tokenizer, context)(problem(text))
    assert len(made.ids) + PARAMS.resolve.max_new_tokens <= context
    assert made.shortened == (len(rendered(tokenizer, text)) + PARAMS.resolve.max_new_tokens > context)
    # What was shown is the whole, nothing, or one of the marked prefixes, inside the prompt's own words.
    candidates = ["", text, *(shortened(text, end) for end in range(len(text)))]
    shown = next(part for part in reversed(candidates) if rendered(tokenizer, part) == made.ids)
    assert text.startswith(shown.removesuffix(CUT))
    assert (shown == text) or made.shortened


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100, deadline=None)
@given(text=TEXTS, most=st.integers(1, 60))
def test_guide_tokens_limit_the_guide_alone(name: str, text: str, most: int) -> None:
    tokenizer = TOKENIZERS[name]
    made = make(tokenizer, None, most)(problem(text))
    count = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert made.shortened == (count > most)
    candidates = {part: len(tokenizer(part, add_special_tokens=False)["input_ids"])
                  for part in ("", text, *(shortened(text, end) for end in range(len(text))))}  # fmt: skip
    assert any(rendered(tokenizer, part) == made.ids for part, size in candidates.items() if size <= most)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_shortened_guide_uses_its_room(name: str) -> None:
    tokenizer, text = TOKENIZERS[name], "1 + 2 = 3. " * 100
    for most in (40, 100, 200):
        made = make(tokenizer, None, most)(problem(text))
        assert len(made.ids) >= len(rendered(tokenizer, "")) + most - 15


def test_the_scaffold_the_problem_and_the_instruction_stay() -> None:
    tokenizer = TOKENIZERS["trained"]
    context = len(rendered(tokenizer, "")) + PARAMS.resolve.max_new_tokens + 30
    text = tokenizer.decode(make(tokenizer, context)(problem("one two three " * 200)).ids)
    assert all(part in text for part in FIXED)
    assert "[worked solution]\none two" in text and "...\n[end of the worked solution]" in text


@pytest.mark.parametrize("kind", ["solution", "half", "answer"])
def test_a_prompt_that_cannot_fit_is_an_error_with_the_problems_id(kind: str) -> None:
    tokenizer = TOKENIZERS["trained"]
    context = len(rendered(tokenizer, "")) + PARAMS.resolve.max_new_tokens - 1
    with pytest.raises(GuideError, match=r"p-1: guided prompt of .* exceed the context window"):
        make(tokenizer, context, kind=kind)(problem("one two"))


def test_an_answer_is_never_cut() -> None:
    tokenizer = TOKENIZERS["trained"]
    made = make(tokenizer, None, 2, kind="answer")(problem(None, "12345678"))
    assert "\\boxed{12345678}" in tokenizer.decode(made.ids) and not made.shortened


@pytest.mark.parametrize(
    ("end", "kept"),
    [(0, ""), (1, ""), (2, "It"), (4, "It"), (8, "It is"), (11, "It is"), (12, "It is 12.345"), (14, "It is 12.345")],
)
def test_words_and_numbers_are_not_cut(end: int, kept: str) -> None:
    assert shortened("It is 12.345 km \\boxed{2}", end) == (kept + CUT if kept else "")


def test_a_text_without_spaces_is_cut_somewhere() -> None:
    assert shortened("日本" * 40, 60) == "日本" * 10 + CUT


def test_guides_show_what_they_say() -> None:
    row = problem("One is 1. Two is 2. Three is 3. So \\boxed{4}.")
    assert {kind: guides.guide(kind, row) for kind in guides.GUIDES} == {
        "solution": row.solution,
        "answer": "The answer is \\boxed{4}.",
        "half": "One is 1.",
    }


@pytest.mark.parametrize(
    ("solution", "half"),
    [
        ("", ""),
        ("   \n", ""),
        ("word", ""),
        ("two words", "two"),
        ("\\boxed{5} it is, by symmetry of both sides.", ""),
        ("It is \\boxed{5}. For 2 + 3 = 5, as one can see by counting on.", "It is"),
        ("2 + 3 = 5\n5 + 4 = 9\n9 + 1 = 10\n#### 10", "2 + 3 = 5"),
        ("We have 1.5 + 1.5 = 3. Now 3 + 1 = 4 and so on it goes", "We have 1.5 + 1.5 = 3."),
        ("The answer is 7. We check this: 3 + 4 = 7 and 7 - 4 = 3.", "The"),
    ],
)
def test_first_half_by_hand(solution: str, half: str) -> None:
    assert first_half(solution) == half


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(
    ["so", "x", "=", "3.", "\\boxed{3}", "\\fbox{3}", "####", "The answer is 3.", "Final answer: 3", "\n", "Answer: 3",
     "the correct option is B", "<answer>3</answer>", "答案是3", "  "]
), max_size=30).map(" ".join))  # fmt: skip
def test_half_gives_no_final_answer(solution: str) -> None:
    half = first_half(solution)
    assert not extract(half, markers=True)
    assert solution.startswith(half) and len(half.split()) <= len(solution.split()) / 2


def test_the_real_prompt_asks_for_ones_own_way_and_no_mention(params: Params) -> None:
    assert "{instruction}" in REAL and "{solution}" in REAL and "{problem}" not in REAL
    assert all(words in REAL for words in ("understand", "again", "own way", "Do not copy", "do not mention"))


def test_presets_of_real_models_have_the_same_words() -> None:
    """The embedded policy's own wording stays the default: it was pre-trained on it."""
    spec = importlib.util.spec_from_file_location("apply", ROOT / "presets" / "apply.py")
    apply = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(apply)
    text = (ROOT / "params.yaml").read_text()
    for path in (ROOT / "presets").glob("*.yaml"):
        applied = apply.plain(YAML().load(apply.applied(text, path.read_text())))
        embedded = applied["policy"]["name"].startswith("models/micro") and path.stem != "guided"
        assert applied["prompt"]["guided"] == (PARAMS.prompt.guided if embedded else REAL), path


def test_default_prompt_is_the_one_of_pretraining() -> None:
    recipe = YAML(typ="safe").load((ROOT / "models" / "micro" / "params.yaml").read_text())
    assert recipe["prompt"]["guided"] == PARAMS.prompt.guided


def test_scoring_sees_the_shortened_prompt_that_re_solving_saw() -> None:
    guided, row = make(TOKENIZERS["trained"], None, 20), problem("one two three " * 50)
    fields = {"id": row.id, "problem": row.problem, "answer": "4", "response": "4", "token_ids": [1], "index": 0}
    jobs = {
        source: score.make_job(TrainingRow(source=source, **fields), {row.id: row}, guided)
        for source in ("resolved", "self")
    }
    assert guided(row).shortened and jobs["resolved"].guided == guided(row).ids and jobs["self"].guided is None


def test_a_system_text_stands_before_the_guided_prompt_too(params: Params) -> None:
    prompt = dataclasses.replace(params.prompt, system="Be brief.")
    with_text, without = (prompts.guided("1", "2", one) for one in (prompt, params.prompt))
    assert [message["role"] for message in with_text] == ["system", "user"] and with_text[1:] == without
