"""What a later stage would refuse is refused before anything is sampled."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import MambaConfig

from stages.lib.rewriting.training_sets import VARIANTS, Ingredients, training_sets
from stages.lib.run.ahead import FIRST, check_ahead
from stages.lib.run.errors import StageError
from stages.lib.run.params import Params
from tests.report.synthetic import problem, training_row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ["rewriten"]}, r"grid\.data 'rewriten' is none of expert, .*; did you mean rewritten\?"),
        ({"data": ["answer-hint"]}, r"add answer to resolve\.guides"),
        ({"loss": ["sft", "dtf"]}, r"dtf"),
    ],
)
def test_a_name_that_there_is_not_is_refused_by_the_first_stage(
    params: Params, changes: dict[str, list[str]], message: str
) -> None:
    wrong = replace(params, grid=replace(params.grid, **changes))
    for script in FIRST:
        with pytest.raises(StageError, match=message):
            check_ahead(script, wrong)
    check_ahead("tabulate", wrong)
    check_ahead("prepare", params)


def test_the_names_of_the_data_sets_are_those_that_are_made() -> None:
    row = training_row(problem("p"), "self")
    rows = {"p": row}
    made = training_sets(Ingredients(rows, rows, rows, rows, rows), lambda row: None, 0, lambda row: 1)
    assert list(made) == list(VARIANTS)


def test_an_adapter_that_does_not_fit_is_refused_by_the_first_stage(
    params: Params, tiny_folder: Path, tmp_path: Path
) -> None:
    MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1).save_pretrained(tmp_path)
    train = replace(params.train, lora=replace(params.train.lora, rank=4))
    asked = replace(params, train=train, policy=replace(params.policy, name=str(tmp_path)))
    check_ahead("prepare", asked)
    with pytest.raises(StageError, match=r"train\.lora\.rank 4: peft puts no adapter on MambaForCausalLM"):
        check_ahead("sample", asked)
    check_ahead("sample", replace(asked, policy=replace(params.policy, name=str(tiny_folder))))
