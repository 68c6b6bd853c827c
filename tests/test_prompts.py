"""One prompt module: what the model sees, and where the response begins."""

import dataclasses

from stages.lib.params import Params, Policy
from stages.lib.policy import end_id, load_tokenizer, stop_ids
from stages.lib.prompts import encode, guided, plain


def test_plain_prompt_holds_the_problem_and_nothing_of_the_solution(params: Params) -> None:
    (message,) = plain("4 - 3 =", params.prompt)
    assert (
        message["role"] == "user" and message["content"].startswith("4 - 3 =\n") and "\\boxed{}" in message["content"]
    )


def test_guided_prompt_contains_the_plain_one_and_the_solution(params: Params) -> None:
    text = guided("4 - 3 =", "It is \\boxed{1}", params.prompt)[0]["content"]
    assert plain("4 - 3 =", params.prompt)[0]["content"] in text and "It is \\boxed{1}" in text


def test_braces_of_the_data_are_left_alone(params: Params) -> None:
    prompt = dataclasses.replace(
        params.prompt, instruction="{problem}|{problem}|{other}", guided="{instruction}#{solution}"
    )
    text = guided("{solution} {x}", "{problem}", prompt)[0]["content"]
    assert text == "{solution} {x}|{solution} {x}|{other}#{problem}"


def test_system_text(params: Params) -> None:
    prompt = dataclasses.replace(params.prompt, system="Be brief.")
    assert plain("1", prompt)[0] == {"role": "system", "content": "Be brief."}


def test_encoding_ends_where_the_response_begins(tiny_policy: Policy, params: Params) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    ids = encode(tokenizer, plain("1 + 1 =", params.prompt))
    assert tokenizer.decode(ids).endswith("<|end|><|assistant|>")
    assert ids.count(tokenizer.convert_tokens_to_ids("<|user|>")) == 1


def test_end_token_comes_from_the_template(tiny_policy: Policy) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    tokenizer.eos_token = "<|pad|>"  # as base models do: the chat ends with another token than the documents
    config = type("Config", (), {"eos_token_id": [tokenizer.convert_tokens_to_ids("<|system|>")]})
    assert end_id(tokenizer) == end
    assert set(stop_ids(tokenizer, config)) == {end, tokenizer.pad_token_id, *config.eos_token_id}
