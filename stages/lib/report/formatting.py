"""Numbers as text, tables in Markdown and LaTeX, and files that are written atomically.

show(0.6143, 0.6051, 0.6239)              # "0.6143 [0.6051, 0.6239]": two significant digits of the half-width
markdown(Table(["arm"], [["SFT"]]))       # a pipe table
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.lib.run.files import replacing

NAN = math.nan


class Table(NamedTuple):
    """Cells as text; the first column is a label."""

    header: list[str]
    rows: list[list[str]]


def show(value: float, low: float = NAN, high: float = NAN, digits: int | None = None) -> str:
    """ "55.1 [52.0, 58.3]" with a true minus sign; "–" for an undefined value.

    digits: decimals; None: two significant digits of the interval's half-width (without an interval: three of the
    value).
    """
    if math.isnan(value):
        return "–"
    if digits is None:
        scale = abs(value) / 10 if math.isnan(low) else (high - low) / 2
        digits = 2 if scale <= 0 else min(6, max(0, 1 - math.floor(math.log10(scale))))
    ends = "" if math.isnan(low) else f" [{_number(low, digits)}, {_number(high, digits)}]"
    return _number(value, digits) + ends


def interval(row: Mapping[str, Any], digits: int | None = None) -> str:
    """`show` of a row's value, low and high."""
    return show(row["value"], row["low"], row["high"], digits)


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return ("−" if float(text) < 0 else "") + text.lstrip("-")


def p_value(p: float) -> str:
    """ "0.032", or "< 0.001"."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def markdown(table: Table) -> str:
    """A pipe table; the first column is left-aligned, the others right-aligned."""
    rule = "|" + "|".join([" :-- ", *[" --: "] * (len(table.header) - 1)]) + "|"
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (table.header, *table.rows)]
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def latex(table: Table, bold: set[tuple[int, int]], note: str) -> str:
    """A booktabs table with intervals in small type; cells (row, column) in `bold` are bold."""
    lines = [r"% needs \usepackage{booktabs}", r"\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}", r"\toprule"]
    lines += [" & ".join(map(escape_latex, table.header)) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        cells = [_latex_cell(cell, (i, j) in bold) for j, cell in enumerate(row)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", f"% {note}"]) + "\n"


def _latex_cell(cell: str, bold: bool) -> str:
    number, _, interval = cell.partition(" [")
    number = escape_latex(number).replace("−", "$-$")
    number = rf"\textbf{{{number}}}" if bold else number
    return number + (rf" {{\scriptsize [{interval.replace('−', '$-$')}}}" if interval else "")


def escape_latex(text: str) -> str:
    """LaTeX's special characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(char, f"\\{char}" if char in "&%$#_{}" else char) for char in text)


def write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text)


def write_json(path: Path, values: object) -> None:
    write(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
