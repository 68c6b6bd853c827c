r"""Where a response states its answer: the last box, or an explicit marker. Never "the last number in the text".

    extract(r"... so \boxed{\frac{1}{2}}.", markers=True)        ->  [r"\frac{1}{2}"]
    extract(r"\boxed{2} and \boxed{3}", markers=True)            ->  ["2, 3"]        one answer in two parts
    extract(r"\boxed{2}; no, \boxed{3}", markers=True)           ->  ["3"]
    extract(r"\boxed{2} or \boxed{3}", markers=True)             ->  ["2", "3"]      a hedge, unless both are the same
    extract("The answer is 7.", markers=True)                    ->  ["7"]
    extract("... which makes 7.", markers=True)                  ->  []

Only the end of a long response is looked at (MAX_RESPONSE characters) and only its last boxes, so that no response can
make this slow.
"""

import re

from stages.lib.verifier.limits import MAX_ANSWER, MAX_RESPONSE

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])")
_MAX_BOXES = 64
_BARE_BOX = re.compile(r"\s*([^\s$]+)")
_GAP = r"[\s,;:&$]|\\[()\[\],;:! ]|\\q?quad|\*"
_JOINT = re.compile(r"(?:[\s,;&$]|\\[()\[\],;:! ]|\\q?quad|\\text\{\s*(?:and|,)?\s*\}|\\\\|\band\b|\*)*")
_HEDGE = re.compile(rf"(?:{_GAP})*(?:\bor\b|\\text\{{\s*or\s*\}})(?:{_GAP})*")
_MARKER = re.compile(
    r"""\#\#\#\#
    |\bfinal\s{1,3}answers?\b[ \t*_]{0,6}[:：]
    |\bfinal\s{1,3}answers?\b[ \t*_]{0,6}\n
    |(?:^|[\n*_#])[ \t]{0,4}answers?[ \t]?[*_]{0,3}[ \t]?[:：]
    |\banswers?\b(?:[^.\n:!?$\\]{0,40}?)\b(?:is|are)\b\ ?[:：]?
    |\b(?:correct|right|best)\s{1,3}(?:option|choice)\s{1,3}is\b\ ?[:：]?
    |<answer>
    |答案(?:是|为|[:：])""",
    re.VERBOSE | re.IGNORECASE,
)
_MARKED_TAIL = 20_000  # characters at the end in which markers are looked for
_MAX_AFTER = 1_000  # characters behind a marker in which its answer stands
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_BETWEEN_MATH = re.compile(r"\s*(?:,?\s*\b(?:and|or)\b|,|;)\s*")
_SENTENCE_END = re.compile(
    r"""[.!?。](?=\s|$|\*|"|')|\n|</|<\||,?\s+(?:because|since|which|so\ that|as\ we|as\ the|hence)\b|;\s+[a-z]{3}"""
)
_LEAD = re.compile(r"^[\s*_`:：]+")
_PERCENT_BEHIND = re.compile(r"(?:[\s$]|\\[,;! )]){0,8}(?:\\?%|percent\b|pct\b)")
_PERCENT = re.compile(r"\s*(?:\\?%|percent\b)")


def extract(response: str, markers: bool) -> list[str]:
    """The stated answer, as written: one text; none where nothing is stated; several for an "A or B".

    An empty box is an empty text: the response gave no answer and meant to.
    """
    text = response[-MAX_RESPONSE:]
    final = text.rpartition("</think>")[2]
    for part in (final, text) if len(final) < len(text) else (text,):
        if boxes := _boxes(part):
            return _last_boxes(part, boxes)
        if markers and (found := _marked(part)):
            return found
    return []


def reference_text(answer: str) -> str:
    """The answer in a reference, which may be the answer itself, a solution with a box, or one with `####`."""
    text = answer[-MAX_RESPONSE:]
    if boxes := _boxes(text):
        return _last_boxes(text, boxes)[-1]
    if "####" in text:
        return text.rpartition("####")[2].strip()
    if len(text) > 12 and (found := _marked(text)):
        return found[-1]
    return text.strip()


def percent_behind_box(text: str) -> bool:
    """Whether a percent sign stands right behind the last box."""
    boxes = _boxes(text[-MAX_RESPONSE:])
    return bool(boxes and _PERCENT_BEHIND.match(text[-MAX_RESPONSE:], boxes[-1][1]))


# Boxes ---------------------------------------------------------------------------------------------------------------


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """The last balanced boxes as (start, end, content), outermost only, in order."""
    starts = [(m.start(), m.end()) for m in _BOX.finditer(text)][-_MAX_BOXES:]
    found: list[tuple[int, int, str]] = []
    for start, end in starts:
        box = _content(text, end)
        if box is not None and not (found and box[1] <= found[-1][1]):
            found.append((start, box[1], _unboxed(box[0])))
    return found


def _content(text: str, at: int) -> tuple[str, int] | None:
    """The text in the braces behind a box command (or the bare word: `\\boxed 7`) and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at < len(text) and text[at] == "[":  # \framebox[width]{...}
        at = max(at, text.find("]", at, at + 30) + 1)
    if not text.startswith("{", at):
        bare = _BARE_BOX.match(text, at, at + MAX_ANSWER)
        return (bare[1].rstrip(".,;"), bare.end()) if bare else None
    depth, end = 0, at
    while end < min(len(text), at + MAX_ANSWER * 4):
        if text[end] == "\\":
            end += 2
            continue
        depth += (text[end] == "{") - (text[end] == "}")
        end += 1
        if not depth:
            return text[at + 1 : end - 1], end
    return None


def _unboxed(content: str) -> str:
    """Boxes inside a box carry no meaning."""
    while match := _BOX.search(content):
        inner = _content(content, match.end())
        if inner is None:
            return content
        content = content[: match.start()] + inner[0] + content[inner[1] :]
    return content.strip()


def _last_boxes(text: str, boxes: list[tuple[int, int, str]]) -> list[str]:
    """The last box, with those that only commas, "and" or spacing join to it, as one text; "or" makes several texts."""
    run, hedges = [boxes[-1]], []
    for box in reversed(boxes[:-1]):
        between = text[box[1] : run[0][0]]
        if len(between) <= 60 and _HEDGE.fullmatch(between):
            hedges.insert(0, box[2])
        elif len(between) > 60 or hedges or not _JOINT.fullmatch(between):
            break
        run.insert(0, box)
    if hedges:
        return list(dict.fromkeys(box[2] for box in run))
    return [", ".join(dict.fromkeys(box[2] for box in run))]


# Markers -------------------------------------------------------------------------------------------------------------


def _marked(text: str) -> list[str]:
    """What stands behind the last marker."""
    text = text[-_MARKED_TAIL:]
    last = None
    for match in _MARKER.finditer(text):
        last = match
    if last is None:
        return []
    rest = _LEAD.sub("", text[last.end() : last.end() + _MAX_AFTER])
    if rest[:1] == "$" or rest[:2] in (r"\(", r"\["):
        return _formulas(rest)
    return [_sentence(rest)]


def _formulas(rest: str) -> list[str]:
    """One formula, or several joined by commas or "and" (one answer) or by "or" (a hedge)."""
    found, at, hedge = [], 0, False
    while match := _MATH.match(rest, at):
        found.append(next(group for group in match.groups() if group is not None).strip())
        at = match.end()
        joint = _BETWEEN_MATH.match(rest, at)
        if not joint or not _MATH.match(rest, joint.end()):
            break
        hedge |= "or" in joint[0]
        at = joint.end()
    if not found:
        return [_sentence(rest)]
    percent = r"\%" if _PERCENT.match(rest, at) else ""
    return found if hedge else [", ".join(found) + percent]


def _sentence(rest: str) -> str:
    end = _SENTENCE_END.search(rest)
    return (rest[: end.start()] if end else rest).strip().strip("*_`\"' ")
