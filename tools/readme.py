"""Fill the generated blocks of README.md and docs/*.md from reports/, the pipeline and the presets.

    python -m tools.readme     # after dvc repro; tests/pipeline/test_readme.py fails where a page is out of date

A block is the text between <!-- NAME --> and <!-- /NAME -->. To add one: a function here, its line in `BLOCKS`, and the
two marks on one page.
"""

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
    at = [f"at {name}" if "=" in name else f"{name} decoding" for name in cells("decoding", "contrast (points)")]
    data, loss = (cells("decoding", contrast) for contrast in ("data: rewritten − expert", "loss: dft − sft"))
    own, resolved, expert = (cells("composition", source)[1] for source in ("self", "resolved", "expert"))
    before, after = cells("gap", "ESS/N per token")[:2]
    return "\n".join(
        [
            f"Averaged over benchmarks, training on rewritten instead of expert data changes accuracy by {data[0]} "
            f"points ({at[0]}) and {data[-1]} points ({at[-1]}), DFT instead of SFT by {loss[0]} and "
            f"{loss[-1]} points.",
            f"Of the rewritten responses, {own} % are the policy's own samples, {resolved} % were re-solved under a "
            f"guide, and {expert} % are the expert's.",
            f"The effective sample size of the token weights (ESS/N; 1 means no gap) is {before} on expert data and "
            f"{after} on rewritten data.",
        ]
    )


def cells(name: str, label: str) -> list[str]:
    """The cells after `label` in the first table row of reports/NAME.md that begins with it.

    Raises:
        LookupError: no row begins with the label.
    """
    for line in report(name).splitlines():
        first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        if first == label and rest:
            return rest
    raise LookupError(f"reports/{name}.md has no row {label!r}, which the README's headline needs")


def summary() -> str:
    """The first table of reports/decoding.md: the average accuracy of each arm at each temperature."""
    return re.findall(r"(?:^\|.*\n)+", report("decoding") + "\n", re.M)[0].strip()


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
    "summary": summary,
    "table": lambda: report("table"),
    "decoding": lambda: report("decoding"),
    "base": lambda: report("base"),
    "ways": lambda: report("ways"),
    "effects": lambda: report("effects"),
    "composition": lambda: report("composition"),
    "near-copies": near_copies,
    "cost": cost,
    "dag": graph,
}


def filled(page: str, texts: dict[str, str]) -> str:
    """A page's text with the blocks `texts` (name to text) in their places."""
    for name, text in texts.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if mark and end:
            page = f"{before}{mark}{text}\n{end}{after}"
    return page


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Rewrite every page in place."""
    texts = {name: text() for name, text in BLOCKS.items()}
    for path in pages():
        path.write_text(filled(path.read_text(encoding="utf-8"), texts), encoding="utf-8")


if __name__ == "__main__":
    main()
