"""Write the training sets as a data set for other trainers, or a trained cell as a model with a card.

    python -m tools.export data exports/data                 # parquet for `datasets`, JSON for LLaMA-Factory, a card
    python -m tools.export policy rewritten-dft-0 exports/policy
    python -m tools.export data exports/data --push USER/NAME   # and upload the folder to the hub

    exports/data/README.md                            the card, its counts taken from the rows
    exports/data/data/rewritten.parquet               one file, and one configuration of the card, per data variant
    exports/data/llama_factory/dataset_info.json      with a sharegpt and an alpaca file per data variant

A row of the parquet file is conversational (`prompt`, `completion`), as TRL reads it, and says where it comes from:

    {"id": "train-17", "prompt": [{"role": "user", ...}], "completion": [{"role": "assistant", ...}], "source": "self",
     "index": 2, "problem": "...", "answer": "9", "verdict": "equal", "extracted": "9", "guide": null,
     "token_ids": [...], "logprobs": [...], "policy": "models/micro/policy", "revision": null}

`logprobs` are those of the behaviour policy: the policy under the prompt that wrote the response, which is the guided
one where `guide` is not null. They are null for the expert's text, whose density is unknown. Run it after `dvc repro`.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value, disable_progress_bars
from httpx2 import HTTPError
from huggingface_hub import HfApi

from stages.lib import prompts
from stages.lib.records import RecordError, TrainingRow, Verdict, read
from stages.lib.run.errors import StageError
from stages.lib.run.exits import one_line_errors
from stages.lib.run.files import replacing, replacing_folder
from stages.lib.run.params import Params, load, root
from tools import cards

MESSAGES = List({"role": Value("string"), "content": Value("string")})
FEATURES = Features(
    {
        "id": Value("string"),
        "prompt": MESSAGES,
        "completion": MESSAGES,
        "source": Value("string"),
        "index": Value("int32"),
        "problem": Value("string"),
        "answer": Value("string"),
        "verdict": Value("string"),
        "extracted": Value("string"),
        "guide": Value("string"),
        "token_ids": List(Value("int32")),
        "logprobs": List(Value("float32")),
        "policy": Value("string"),
        "revision": Value("string"),
    }
)
Verdicts = dict[tuple[str, str, int], Verdict]  # by verdict file (sample, resolve-solution, expert), id and index


def main() -> None:
    words = arguments()
    params = load()
    disable_progress_bars()  # seconds of work
    out = Path(words.out)
    if words.what == "data":
        said = export_data(params, root() / "data", out)
    else:
        said = export_policy(params, words.cell, out)
    print(f"export: {said} -> {out}")
    if words.push:
        print(f"export: uploaded to {push(out, words.push, words.what, words.private)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.export", description=(__doc__ or "").partition("\n")[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    data, policy = kinds.add_parser("data"), kinds.add_parser("policy")
    policy.add_argument("cell", help="data set, loss and seed: rewritten-dft-0")
    for kind in (data, policy):
        kind.add_argument("out", help="the folder to write; an earlier export there is replaced")
        kind.add_argument("--push", metavar="USER/NAME", help="upload to this repository of the hub")
        kind.add_argument("--private", action="store_true", help="make a new repository private")
    return parser.parse_args()


def export_data(params: Params, data: Path, out: Path) -> str:
    """Write every data variant of data/train to `out`; returns what was written, in words.

    Raises:
        RecordError: fallback-merge has not run, or a row has no verdict.
        StageError: `out` holds something other than an earlier export.
    """
    files = sorted((data / "train").glob("*.jsonl"))
    if not files:
        raise RecordError(f"{data / 'train'}: no training sets; `dvc repro fallback-merge` makes them")
    check_place(out, "data")
    verdicts = read_verdicts(data / "verdicts")
    counts: dict[str, dict[str, int]] = {}
    with replacing_folder(out) as folder:
        for file in files:
            rows = list(exported(file, verdicts, params))
            counts[file.stem] = write_variant(rows, file.stem, folder)
        write_json({f"{name}_{form}": entry(name, form) for name in counts for form in ("sharegpt", "alpaca")},
                   folder / "llama_factory" / "dataset_info.json")  # fmt: skip
        cards.data_card(params, counts).save(folder / "README.md")
    return f"{len(counts)} training sets of {sum(sum(c.values()) for c in counts.values())} rows"


def check_place(out: Path, what: str) -> None:
    """Refuse to replace a folder that no export wrote."""
    mark = {"data": "llama_factory", "policy": "config.json"}[what]
    if out.exists() and any(out.iterdir()) and not ((out / "README.md").exists() and (out / mark).exists()):
        raise StageError(f"{out}: holds something other than an earlier export; name a new folder")


def read_verdicts(folder: Path) -> Verdicts:
    return {(file.stem, row.id, row.index): row for file in folder.glob("*.jsonl") for row in read(Verdict, file)}


def exported(file: Path, verdicts: Verdicts, params: Params) -> Iterator[dict[str, Any]]:
    """The rows of one training set, as FEATURES has them."""
    guide = "answer" if file.stem == "answer-hint" else params.resolve.guides[0]
    for row in read(TrainingRow, file):
        shown = guide if row.source == "resolved" else None
        name = {"self": "sample", "resolved": f"resolve-{guide}"}.get(row.source, row.source)
        verdict = verdicts.get((name, row.id, row.index or 0))
        if verdict is None:
            raise RecordError(f"{file}: row {row.id!r} has no verdict in data/verdicts/{name}.jsonl; run `dvc repro`")
        yield {
            "id": row.id,
            "prompt": prompts.plain(row.problem, params.prompt),
            "completion": [{"role": "assistant", "content": row.response}],
            "source": row.source,
            "index": row.index,
            "problem": row.problem,
            "answer": row.answer,
            "verdict": verdict.reason,
            "extracted": verdict.extracted,
            "guide": shown,
            "token_ids": row.token_ids,
            "logprobs": row.logprobs,
            "policy": None if row.source == "expert" else params.policy.name,
            "revision": None if row.source == "expert" else params.policy.revision,
        }


def write_variant(rows: list[dict[str, Any]], name: str, folder: Path) -> dict[str, int]:
    """The parquet file and both JSON files of one data variant; returns its rows per source."""
    parquet = folder / "data" / f"{name}.parquet"
    parquet.parent.mkdir(exist_ok=True)
    Dataset.from_list(rows, features=FEATURES).to_parquet(parquet)
    write_json([sharegpt(row) for row in rows], folder / "llama_factory" / f"{name}_sharegpt.json")
    write_json([alpaca(row) for row in rows], folder / "llama_factory" / f"{name}_alpaca.json")
    sources = [row["source"] for row in rows]
    return {source: sources.count(source) for source in dict.fromkeys(sources)}


def sharegpt(row: dict[str, Any]) -> dict[str, Any]:
    """LLaMA-Factory's `sharegpt` formatting with OpenAI's roles."""
    return {"messages": [*row["prompt"], *row["completion"]]}


def alpaca(row: dict[str, Any]) -> dict[str, Any]:
    """LLaMA-Factory's `alpaca` formatting: the instruction is the whole user turn."""
    system = next((message["content"] for message in row["prompt"] if message["role"] == "system"), "")
    return {
        "instruction": row["prompt"][-1]["content"],
        "input": "",
        "output": row["completion"][0]["content"],
        "system": system,
    }


def entry(name: str, form: str) -> dict[str, Any]:
    """What LLaMA-Factory's dataset_info.json says of a file."""
    if form == "alpaca":
        columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
        return {"file_name": f"{name}_alpaca.json", "columns": columns}
    tags = {"role_tag": "role", "content_tag": "content"}
    roles = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    columns = {"messages": "messages"}
    return {"file_name": f"{name}_sharegpt.json", "formatting": "sharegpt", "columns": columns, "tags": tags | roles}


def export_policy(params: Params, cell: str, out: Path) -> str:
    """Copy a trained cell to `out` and write its model card; returns what was written, in words.

    Raises:
        StageError: no such cell, or `out` holds something other than an earlier export.
    """
    source = root() / "models" / "cells" / cell
    if not any((source / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise StageError(f"{source}: no trained policy; `dvc repro train@{cell}` makes it")
    check_place(out, "policy")
    with replacing_folder(out) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        cards.model_card(params, cell, root()).save(folder / "README.md")
    return f"policy {cell}"


def push(folder: Path, name: str, what: str, private: bool) -> str:
    """Upload a folder to the hub (HF_ENDPOINT and HF_TOKEN as for every Hugging Face tool); returns its address.

    Raises:
        StageError: the hub refuses, or is out of reach.
    """
    kind = "dataset" if what == "data" else "model"
    try:
        address = HfApi().create_repo(name, repo_type=kind, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=name, repo_type=kind, folder_path=folder, commit_message=f"Upload {folder.name}")
    except (HTTPError, OSError) as error:
        raise StageError(
            f"upload to {name} failed ({error}); check HF_TOKEN (`hf auth login`) and the name; {folder} is whole"
        ) from error
    return str(address)


def write_json(value: Any, path: Path) -> None:
    with replacing(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    one_line_errors(main)
