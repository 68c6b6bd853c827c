"""The embedded problems are right and held out; the embedded policy's folder is complete. Nothing is trained here."""

import itertools
import random
import re
import subprocess
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.micro import corpus, pretrain
from stages.lib import prompts
from stages.lib.data import testbed
from stages.lib.records import Problem, check_problem
from stages.lib.run import params

MICRO = Path("models/micro/policy")
MEGABYTE = 10**6


def everything(n: int = 50) -> list[Problem]:
    return [*testbed.problems(n, 0), *itertools.chain(*testbed.benchmarks(n, 1).values())]


def recomputed(text: str) -> int:
    """The problem's value: the sum of its signed terms."""
    signed = text.replace("plus", "+").replace("minus", "-").replace(" ", "")
    return sum(map(int, re.findall(r"[+-]?\d+", signed)))


def box(solution: str) -> str:
    (found,) = re.findall(r"\\boxed\{(-?\d+)\}", solution)
    return found


def canonical(text: str) -> str:
    """Two texts of one chain, in signs or in words, are the same."""
    return "".join(text.removesuffix("=").replace("plus", "+").replace("minus", "-").split())


def pretraining_texts(n: int) -> list[str]:
    recipe = pretrain.load()
    chats = itertools.islice(corpus.chats(recipe.mix, recipe.prompt), n)
    return [chat.messages[-1]["content"].splitlines()[0] for chat in chats]


def test_the_same_seed_gives_the_same_problems_and_another_seed_gives_others():
    assert testbed.problems(40, 3) == testbed.problems(40, 3)
    assert testbed.problems(40, 3) == testbed.problems(80, 3)[:40], "a larger n only adds"
    assert testbed.benchmarks(20, 3) == testbed.benchmarks(20, 3)
    texts = [{p.problem for p in testbed.problems(300, seed)} for seed in (0, 1)]
    assert len(texts[0] & texts[1]) < 15


def test_pretraining_sequences_are_the_same_each_time():
    assert pretraining_texts(50) == pretraining_texts(50)


def test_answers_are_right_and_demonstrations_end_in_them():
    for problem in everything():
        check_problem(problem, problem.id, need_solution=problem.id.startswith("train"))
        assert int(problem.answer) == recomputed(problem.problem), problem
        if problem.solution is not None:
            assert box(problem.solution) == problem.answer


def test_every_equation_of_a_demonstration_holds():
    for problem in testbed.problems(100, 0):
        for left, right in re.findall(r"(-?\d+(?: [+-] \d+)+) = (-?\d+)", problem.solution):
            assert recomputed(left) == int(right), problem.solution


def test_own_solutions_are_right_without_slips_and_consistent_with_them():
    draw, slips, wrong = random.Random(0), testbed.Slips(above=0.1, below=0.5), 0
    for terms in itertools.islice(testbed.chains(testbed.TRAINING, "fine-tuning", 0), 200):
        assert int(box(testbed.own_solution(terms))) == sum(terms)
        slipped = testbed.own_solution(terms, slips, draw)
        wrong += int(box(slipped)) != sum(terms)
        *steps, last = slipped.splitlines()
        results = [int(step.split(" = ")[1]) for step in steps]
        assert [int(step.split()[0]) for step in steps] == [terms[0], *results[:-1]]
        assert int(box(last)) == results[-1]
    assert 50 < wrong < 170


def test_the_expert_varies_in_words_but_not_from_one_asking_to_the_next():
    solutions = [problem.solution for problem in testbed.problems(100, 0)]
    assert len({re.sub(r"[-+=\d ]+", "#", solution) for solution in solutions}) > 10
    assert testbed.expert_solution([4, -3, 8]) == testbed.expert_solution([4, -3, 8])


def test_five_benchmarks_of_distinct_problems():
    sets = testbed.benchmarks(100, 1)
    assert len(sets) == 5
    for rows in sets.values():
        assert len({row.problem for row in rows}) == len({row.id for row in rows}) == 100


def test_benchmarks_training_and_pretraining_share_no_chain():
    held_out = {
        canonical(p.problem) for seed in (0, 1) for rows in testbed.benchmarks(200, seed).values() for p in rows
    }
    training = {canonical(p.problem) for seed in (0, 1) for p in testbed.problems(1000, seed)}
    pretraining = {canonical(text) for text in pretraining_texts(5000)}
    assert not held_out & training
    assert not held_out & pretraining
    assert not training & pretraining


def test_the_policy_loads_as_any_other_and_is_small():
    policy = AutoModelForCausalLM.from_pretrained(MICRO)
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    assert policy.num_parameters() < MEGABYTE
    assert policy.config.vocab_size == len(tokenizer)
    assert policy.generation_config.eos_token_id == tokenizer.eos_token_id == policy.config.eos_token_id
    assert policy.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_tracked_files_are_small():
    listed = subprocess.run(["git", "ls-files", MICRO], capture_output=True, text=True, check=True).stdout.split()
    assert "models/micro/policy/model.safetensors" in listed
    assert sum(Path(name).stat().st_size for name in listed) < 3 * MEGABYTE


def test_the_chat_template_renders_prompts_and_answers():
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    asked = [{"role": "system", "content": "S"}, {"role": "user", "content": "4 - 3 ="}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert prompt == "<|system|>S<|user|>4 - 3 =<|assistant|>"
    answered = [*asked, {"role": "assistant", "content": "1"}]
    assert tokenizer.apply_chat_template(answered, tokenize=False) == prompt + "1<|end|>"


@pytest.mark.parametrize("text", ["4 - 13 =\n\\boxed{-9}", "Größe: 3 €\t–\r\n", "\x00 𝛑 日本語", "  two  spaces "])
def test_any_text_survives_the_tokenizer_and_digits_stand_alone(text: str):
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not [piece for piece in map(tokenizer.decode, ids) if re.search(r"\d", piece) and len(piece) > 1]


def test_the_fixed_wordings_are_cheap():
    tokenizer, words = AutoTokenizer.from_pretrained(MICRO), params.load().prompt
    (problem,) = testbed.problems(1, 0)
    bare = len(tokenizer(problem.problem)["input_ids"])
    shown = len(tokenizer(problem.solution)["input_ids"])
    assert len(prompts.encode(tokenizer, prompts.plain(problem.problem, words))) <= bare + 8
    assert len(prompts.encode(tokenizer, prompts.guided(problem.problem, problem.solution, words))) <= bare + shown + 16


def test_the_token_limits_leave_room_for_every_solution():
    tokenizer, settings = AutoTokenizer.from_pretrained(MICRO), params.load()
    for problem in everything():
        terms = testbed.terms_of(problem.problem.removesuffix(" =").replace("plus", "+").replace("minus", "-"))
        own = len(tokenizer(testbed.own_solution(terms))["input_ids"]) + 1
        assert own < min(settings.sample.max_new_tokens, settings.evaluate.max_new_tokens), problem
        if problem.solution:
            shown = prompts.encode(tokenizer, prompts.plain(problem.problem, settings.prompt))
            assert len(shown) + len(tokenizer(problem.solution)["input_ids"]) < settings.train.max_length


def test_the_experiment_asks_in_the_words_that_the_policy_knows():
    assert pretrain.load().prompt == params.load().prompt
