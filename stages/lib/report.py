"""The words around the numbers: reports/gap.md and the page reports/index.html."""

import base64
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from stages.lib import tables
from stages.lib.params import Params

FIGURES = {
    "accuracy": "Accuracy per benchmark and on average.",
    "logp": "Distribution of log p under the initial policy.",
    "paired": "Expert's and rewritten response of the same problem.",
    "source": "Gap figures by source of the rewritten response, on the same problems.",
    "length": "Gap figures by response length.",
    "training": "Along training, on the probe set of each arm's own data.",
}
NAMES = {"all": "All problems", "self": "Problems that a sample solved", "resolved": "Problems solved under guidance",
         "expert": "Problems where rewriting failed (the expert's response is kept)"}  # fmt: skip


def gap_markdown(table: pd.DataFrame, params: Params) -> str:
    """One table a subset of problems: figures down, expert, rewritten and difference across."""
    parts = [gap_note(params)]
    for subset, rows in table.groupby("problems", sort=False):
        parts.append(f"### {NAMES[subset]} ({rows['count'].iloc[0]})\n\n" + gap_rows(rows))
    return "\n".join(parts)


def gap_rows(rows: pd.DataFrame) -> str:
    lines = []
    for (level, behaviour, figure), part in rows.groupby(["level", "behaviour", "figure"], sort=False):
        cells = {row["data"]: gap_cell(row) for row in part.to_dict("records")}
        lines.append(
            [f"{figure}, per {level}, {behaviour}", *(cells.get(d, "–") for d in ("expert", "rewritten", "difference"))]
        )
    return tables.markdown(["figure", "expert", "rewritten", "difference"], lines)


def gap_cell(row: dict) -> str:
    return tables.interval(row["value"], row["low"], row["high"], 1 if row["figure"] == "tokens" else 3)


def gap_note(params: Params) -> str:
    return (
        f"The same problems on both sides; {100 * params.report.confidence:g} % intervals from a bootstrap over "
        "problems. *b = 1*: the unknown density of the author is taken as 1, so w = p. *known*: divided by the "
        "recorded density of the policy's own responses.\n"
    )


def page(params: Params, folder: Path, data: Path) -> str:
    """reports/index.html: figures inlined, everything escaped, nothing loaded."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
    images = {name: picture(folder / "figures" / f"{name}.svg") for name in FIGURES}
    return environment.get_template("index.html").render(captions=FIGURES, images=images)


def picture(path: Path) -> str:
    """An SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
