r"""How many edited copies the near-duplicate check and the copy check find, and what they take for copies wrongly.

    python -m tests.benchmarks.near_copies FILE...        # benchmark files that `sources` reads; half a minute

Every problem, and every solution, is edited in the ways of EDITS by a generator with a seed. A problem counts as found
if the near-duplicate check, with all problems of all files held out, names the one that it was made from; a solution if
the copy check takes it for a copy of the one that it was made from. Wrongly found: problems nearly another file's (the
same problem may well stand in two), and solutions that are taken for copies of another problem's. Settings are those of
params.yaml. Prints Markdown: shares and counts, never a text.
"""

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from stages.lib.data.near_duplicates import near_duplicates
from stages.lib.data.readers import rows
from stages.lib.data.sources import load
from stages.lib.records import Problem
from stages.lib.rewriting.copies import near_copy, tokens
from stages.lib.run import params
from stages.lib.run.params import Copy, Overlap, Source

SEED = 0
OTHERS = 20  # solutions of the same file that each solution is held against
Edit = Callable[[str, random.Random, list[str]], str]  # text, generator, words to put in the place of others


def looks(text: str, draw: random.Random, words: list[str]) -> str:
    """Other LaTeX styles, capitals and white space."""
    text = re.sub(r"\\(?:left|right)(?![a-zA-Z])", "", text.replace(r"\frac", r"\dfrac"))
    return re.sub(r"\\?[a-zA-Z]+", lambda match: match[0] if match[0][0] == "\\" else match[0].upper(), text).replace(
        " ", "\n"
    )


def reordered(text: str, draw: random.Random, words: list[str]) -> str:
    """The sentences in another order."""
    sentences = re.split(r"(?<=[.?!])\s+", text)
    return " ".join(draw.sample(sentences, len(sentences)))


def numbers(text: str, draw: random.Random, words: list[str]) -> str:
    """Every number another one."""
    return re.sub(r"\d+", lambda match: str(int(match[0][:9]) + draw.randint(1, 9)), text)


def first_half(text: str, draw: random.Random, words: list[str]) -> str:
    return text[: len(text) // 2]


def changed(every: int) -> Edit:
    """One word in `every`, at random places, exchanged for a word of another text."""

    def edit(text: str, draw: random.Random, words: list[str]) -> str:
        parts = text.split()
        for place in draw.sample(range(len(parts)), max(1, len(parts) // every)):
            parts[place] = draw.choice(words)
        return " ".join(parts)

    return edit


def every_tenth(text: str, draw: random.Random, words: list[str]) -> str:
    """As many words changed as by `changed(10)`, but evenly spaced: the runs in between are as long as can be."""
    return " ".join(draw.choice(words) if place % 10 == 4 else word for place, word in enumerate(text.split()))


def retold(text: str, draw: random.Random, words: list[str]) -> str:
    """One word in eight exchanged, every fourth sentence left out, framed by two sentences of the copyist's."""
    kept = [part for place, part in enumerate(re.split(r"(?<=[.?!])\s+", text)) if place % 4 != 3]
    return f"Let me think about this carefully. {changed(8)(' '.join(kept), draw, words)} So that is what we wanted."


EDITS: dict[str, Edit] = {
    "none": lambda text, draw, words: text,
    "capitals, white space, LaTeX styles": looks,
    "sentences reordered": reordered,
    "one word in 20 changed": changed(20),
    "one word in 10 changed": changed(10),
    "every tenth word changed": every_tenth,
    "one word in 5 changed": changed(5),
    "every number changed": numbers,
    "first half alone": first_half,
    "one word in 8 changed, every fourth sentence left out, framed": retold,
}


def problems_found(problems: list[Problem], edit: Edit, overlap: Overlap) -> float:
    """The share of edited problems that are named near-duplicates of the ones they were made from."""
    draw, words = random.Random(SEED), vocabulary([row.problem for row in problems])
    copies = [replace(row, problem=edit(row.problem, draw, words)) for row in problems]
    found = near_duplicates(copies, problems, overlap.words, overlap.share)
    texts = {row.id: tokens(row.problem) for row in problems}
    return sum(texts[twin.id] == texts[twin.benchmark] for twin in found) / len(problems)


def between_files(files: dict[str, list[Problem]], overlap: Overlap) -> int:
    """Problems that are named near-duplicates of another file's."""
    count = 0
    for name, own in files.items():
        others = [row for other in files if other != name for row in files[other]]
        count += len(near_duplicates(own, others, overlap.words, overlap.share)) if others else 0
    return count


def solutions_found(solutions: list[str], edit: Edit, copy: Copy) -> float:
    draw, words = random.Random(SEED), vocabulary(solutions)
    return sum(near_copy(edit(text, draw, words), text, copy) for text in solutions) / len(solutions)


def between_solutions(files: dict[str, list[str]], copy: Copy) -> tuple[int, int]:
    """Pairs of solutions to different problems of one file that are taken for copies, and pairs tried."""
    found = tried = 0
    for texts in files.values():
        draw = random.Random(SEED)
        for guide in texts:
            others = [text for text in draw.sample(texts, min(OTHERS + 1, len(texts))) if text != guide][:OTHERS]
            found += sum(near_copy(text, guide, copy) for text in others)
            tried += len(others)
    return found, tried


def alternatives(paths: list[str], copy: Copy) -> tuple[int, int]:
    """Of a row's several solutions (OlympiadBench) the pairs that are taken for copies of each other, and all pairs."""
    rows_ = (row.get("solution") for path in paths for _, row in rows(Source(path=path)))
    pairs = [pair for texts in rows_ if isinstance(texts, list) for pair in permutations(texts, 2)]
    long = [(text, guide) for text, guide in pairs if len(tokens(text)) >= 2 * copy.words]
    return sum(near_copy(text, guide, copy) for text, guide in long), len(long)


def vocabulary(texts: list[str]) -> list[str]:
    return sorted({word for text in texts for word in text.split()})


def main() -> None:
    paths = sys.argv[1:]
    if not paths:
        sys.exit("usage: python -m tests.benchmarks.near_copies FILE...")
    settings = params.load()
    overlap, copy = settings.benchmarks.overlap, settings.copy
    files = {path: load(Source(path=path)).problems for path in paths}
    problems = [row for found in files.values() for row in found]
    long = {path: [r.solution for r in found if r.solution and len(tokens(r.solution)) >= 2 * copy.words]
            for path, found in files.items()}  # fmt: skip
    solutions = [text for found in long.values() for text in found]
    names = " ".join(Path(path).name for path in paths)
    print(f"# Edited copies of real problems and solutions\n\nIn the folder of the files, called FOLDER here: {names}.")
    print("\n```bash\npython -m tests.benchmarks.near_copies FOLDER/*.jsonl\n```\n")
    near = f"`benchmarks.overlap`: words {overlap.words}, share {overlap.share}"
    copied = f"`copy`: run {copy.run}, overlap {copy.overlap}, words {copy.words}"
    print(f"Found of {len(problems):,} problems by the near-duplicate check ({near})")
    print(f"and of {len(solutions):,} solutions, of {2 * copy.words} words and symbols or more, by the copy check")
    print(f"({copied}); seed {SEED}. What each edit is, is said in the script.\n")
    print("| edit | problems found | solutions found |\n| :-- | --: | --: |")
    for name, edit in EDITS.items():
        found = problems_found(problems, edit, overlap), solutions_found(solutions, edit, copy)
        print(f"| {name} | {found[0]:.1%} | {found[1]:.1%} |")
    (pairs, tried), (twins, all_) = between_solutions(long, copy), alternatives(paths, copy)
    print("\nFound where nothing was copied:\n\n| | found | of |\n| :-- | --: | --: |")
    print(f"| problems nearly another file's | {between_files(files, overlap)} | {len(problems):,} |")
    print(f"| pairs of solutions to different problems of one file | {pairs} | {tried:,} |")
    print(f"| pairs of several solutions given to one problem (some do share passages) | {twins} | {all_:,} |")


if __name__ == "__main__":
    main()
