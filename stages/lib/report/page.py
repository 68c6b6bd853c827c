"""The page reports/index.html and reports/gap.md: tables, figures and sentences put together.

The page is one file that loads nothing: figures are inlined, every text from data is escaped by the template engine.
"""

import base64
import importlib.metadata
import itertools
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.lib.records import SOURCES, Merged, Problem, TrainingRow, read
from stages.lib.report import notes, tables
from stages.lib.report.formatting import Table, markdown
from stages.lib.rewriting.soundness import row_flaw
from stages.lib.run.params import Params, Report, Verify

PACKAGES = (
    *("torch", "transformers", "datasets", "peft", "accelerate", "reasoning-gym", "numpy", "scipy", "math-verify"),
    *("latex2sympy2_extended", "antlr4-python3-runtime", "sympy", "mpmath"),
)
MANY = 8  # responses to a problem from which on pass@k is drawn
CAPTIONS = {
    "accuracy": "Accuracy per benchmark, from the easiest for the base to the hardest, and on average; bars: intervals "
    "over problems and order seeds; dashed: the base.",
    "decoding": "Average accuracy at each sampling temperature. Where lines cross, the answer to which arm is best "
    "depends on decoding.",
    "ways": "In whose way the policies solve.",
    "pass_at_k": "pass@k and maj@k against k, average over benchmarks.",
    "ladder": "The ladder of data sets, average accuracy; dashed: the base.",
    "logp": "Log-probabilities under the base: how many tokens are improbable, how probable responses are. Fallback: "
    "the expert's responses to the problems that rewriting did not solve.",
    "paired": "Each problem's two responses under the base. Above the line, and right of 0: the rewritten one is more "
    "probable.",
    "source": "The gap per token by who wrote the rewritten response; both marks of a group stand for the same "
    "problems. Kept: the expert's response stands on both sides.",
    "length": "The same by response length, in groups of equally many responses.",
    "training": "Along training, on the probe set of each arm's own data: mean over seeds, band from the lowest to the "
    "highest seed.",
    "gain": "Left: the gap of training problems by how readily the policy's own samples solve them. Right: the gain on "
    "held-out problems by their gap, equally many problems of each benchmark in each group. The axes are "
    "unrelated.",
}


def gap_markdown(table: pd.DataFrame, paired: pd.DataFrame, report: Report) -> str:
    """reports/gap.md."""
    parts = {
        "All problems": tables.gap_all(table),
        "By source of the rewritten response": tables.gap_sources(table),
        "Paired, per token": tables.gap_paired(paired),
        "Where the behaviour density is known": tables.gap_known(table),
    }
    sections = [f"### {title}\n\n{markdown(part)}" for title, part in parts.items() if part.rows]
    return "\n".join([*sections, notes.gap_note(report)]) + "\n"


def page(sections: Mapping[str, Any], figures: Path, params: Params) -> str:
    """The whole page; `sections` are the template's variables, `figures` the folder of SVGs."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = [name for name in CAPTIONS if (figures / f"{name}.svg").exists()]
    images = {name: picture(figures / f"{name}.svg") for name in drawn}
    return environment.get_template("page.html").render(
        **sections, captions=CAPTIONS, images=images, settings=settings(params), versions=versions()
    )


def picture(path: Path) -> str:
    """An SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def settings(params: Params) -> Table:
    """Every param but the machine's, as dotted keys."""
    shown: dict[str, Any] = {
        "policy": params.policy,
        "prompt": params.prompt,
        "problems": params.problems,
        "benchmarks": params.benchmarks,
        "sample": params.sample,
        "verify": params.verify,
        "resolve": params.resolve,
        "copy": params.copy,
        "merge": params.merge,
        "grid": params.grid,
        "loss": params.loss,
        "train": params.train,
        "evaluate": params.evaluate,
        "report": params.report,
    }
    values = dotted({name: asdict(section) for name, section in shown.items()})
    return Table(["param", "value"], [[key, json.dumps(value, ensure_ascii=False)] for key, value in values])


def dotted(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def versions() -> Table:
    """Of Python and of the packages that a number can depend on."""
    rows = [["Python", platform.python_version()]]
    rows += [[name, importlib.metadata.version(name)] for name in PACKAGES]
    return Table(["package", "version"], rows)


def counts(folder: Path) -> Table:
    """What the earlier stages counted, file by file."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        rows += list(tables.counts(json.loads(path.read_text(encoding="utf-8")), path.stem))
    return Table(["count", ""], rows)


def examples(
    data: Path, merged: Mapping[str, Merged], problems: Mapping[str, Problem], n: int, verify: Verify
) -> list[dict[str, str]]:
    """The first n problems of each source: problem, expert's and rewritten response, and a flaw in its steps."""
    wanted = {id_ for source in SOURCES
              for id_ in itertools.islice((row.id for row in merged.values() if row.source == source), n)}  # fmt: skip
    rows = [row for row in read(TrainingRow, data / "train" / "rewritten.jsonl") if row.id in wanted]
    rows.sort(key=lambda row: SOURCES.index(row.source))
    return [
        {"id": row.id, "source": row.source, "problem": row.problem, "answer": row.answer, "rewritten": row.response,
         "expert": problems[row.id].solution or "", "right": right(merged[row.id]),
         "flaw": row_flaw(verify, row) or ""}
        for row in rows
    ]  # fmt: skip


def right(row: Merged) -> str:
    """How many responses were right on the way."""
    guided = f", {row.resolved_correct} of {row.resolved} guided ones" if row.resolved else ""
    return f"{row.samples_correct} of {row.samples} samples right{guided}"
