"""Fill the generated blocks of README.md and docs/*.md from reports/, the pipeline and the presets.

    python -m tools.readme     # after dvc repro; tests/pipeline/test_readme.py fails where a page is out of date

A block is the text between <!-- NAME --> and <!-- /NAME -->. To add one: a function here, its line in `BLOCKS`, and the
two marks on one page.
"""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / "reports"


def pages() -> list[Path]:
    """The pages that may hold blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def report(name: str) -> str:
    """A Markdown file of reports/ as it stands."""
    return (REPORTS / f"{name}.md").read_text(encoding="utf-8").strip()


def headline() -> str:
    """Three sentences: the effects on accuracy, the composition of the rewritten set, the policy gap."""
    data, loss, both = (
        _interval(_row("effects.csv", contrast=contrast, benchmark="average"), digits=1)
        for contrast in ("data: rewritten − expert", "loss: dft − sft", "interaction: rewritten × dft")
    )
    shares = {
        source: float(_row("composition.csv", of=source, measure="share")["value"])
        for source in ("self", "resolved", "expert")
    }
    gap = {"problems": "all", "level": "token", "behaviour": "b = 1", "figure": "ESS/N"}
    before, after = (_interval(_row("gap.csv", **gap, data=data), digits=3) for data in ("expert", "rewritten"))
    return "\n".join(
        [
            f"Averaged over benchmarks, training on rewritten instead of expert data changes accuracy by {data} "
            f"points, DFT instead of SFT changes it by {loss}, and their interaction is {both}.",
            f"Of the rewritten responses, {shares['self']:.1f} % are the policy's own samples, "
            f"{shares['resolved']:.1f} % were re-solved under a guide, and {shares['expert']:.1f} % are the expert's.",
            f"The effective sample size of the token weights (ESS/N; 1 means no gap) is {before} on expert data and "
            f"{after} on rewritten data.",
        ]
    )


def near_copies() -> str:
    """The recall table of reports/benchmarks/near_copies.md, its first."""
    tables = re.findall(r"(?:^\|.*\n)+", report("benchmarks/near_copies"), re.M)
    return tables[0].strip()


def cost() -> str:
    """What the paper's setting costs, computed from its preset."""
    return _output("python", "presets/cost.py", "qwen2.5-math-7b").strip()


def graph() -> str:
    """`dvc dag --mermaid`; the cells of a matrix become one node, arrows that others imply are left out."""
    text = _output("dvc", "dag", "--mermaid")
    names = dict(re.findall(r'(node\d+)\["([^":]+)"\]', text))  # those of other dvc.yaml files have a colon
    kept = {node: name if name.startswith("verify@") else re.sub(r"@.*", "", name) for node, name in names.items()}
    edges = nx.DiGraph(
        (kept[a], kept[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", text) if {a, b} <= kept.keys()
    )
    lines = [f"    {a} --> {b}".replace("@", "_") for a, b in sorted(nx.transitive_reduction(edges).edges)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


BLOCKS: dict[str, Callable[[], str]] = {
    "headline": headline,
    "table": lambda: report("table"),
    "effects": lambda: report("effects"),
    "composition": lambda: report("composition"),
    "near-copies": near_copies,
    "cost": cost,
    "dag": graph,
}


def filled(page: str, texts: dict[str, str]) -> str:
    """A page's text with the blocks `texts` (name to text) in their places."""
    for name, text in texts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        page = pattern.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
    return page


def _row(file: str, **columns: str) -> dict[str, str]:
    """The one row of a CSV file under reports/ with these values.

    Raises:
        LookupError: no such row, or several.
    """
    with (REPORTS / file).open(encoding="utf-8", newline="") as lines:
        found = [row for row in csv.DictReader(lines) if columns.items() <= row.items()]
    if len(found) != 1:
        raise LookupError(f"reports/{file}: {len(found)} rows with {columns}; one is needed for the README's headline")
    return found[0]


def _interval(row: dict[str, str], digits: int) -> str:
    value, low, high = (f"{float(row[key]):.{digits}f}".replace("-", "−") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Rewrite every page in place."""
    texts = {name: text() for name, text in BLOCKS.items()}
    for path in pages():
        path.write_text(filled(path.read_text(encoding="utf-8"), texts), encoding="utf-8")


if __name__ == "__main__":
    main()
