"""Fill the README's generated blocks: the graph from `dvc dag`, the tables from reports/, costs from a preset.

    python -m tools.readme     # after dvc repro; tests/pipeline/test_readme.py fails where the README is behind

A block is what stands between <!-- NAME --> and <!-- /NAME -->.
"""

import re
import subprocess
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parent.parent


def blocks() -> dict[str, str]:
    """The generated blocks by name."""
    report = {
        name: (ROOT / "reports" / f"{name}.md").read_text().strip() for name in ("table", "effects", "composition")
    }
    return {**report, "dag": graph(), "cost": output("python", "presets/cost.py", "qwen2.5-math-7b").strip()}


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def graph() -> str:
    """`dvc dag --mermaid`, the cells of a matrix drawn as one node, arrows that others imply left out."""
    text = output("dvc", "dag", "--mermaid")
    names = dict(re.findall(r'(node\d+)\["([^":]+)"\]', text))  # those of other dvc.yaml files have a colon
    kept = {node: name if name.startswith("verify@") else re.sub(r"@.*", "", name) for node, name in names.items()}
    edges = nx.DiGraph(
        (kept[a], kept[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", text) if {a, b} <= kept.keys()
    )
    lines = [f"    {a} --> {b}".replace("@", "_") for a, b in sorted(nx.transitive_reduction(edges).edges)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def filled(readme: str) -> str:
    """The README's text with every generated block up to date."""
    for name, text in blocks().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        readme = pattern.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", readme)
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
