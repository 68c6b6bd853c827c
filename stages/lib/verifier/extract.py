r"""Where a response states its answer: in the last box, or behind a marker (`markers.py`). Never "the last number".

    extract(r"... so \boxed{\frac{1}{2}}.", markers=True)        ->  [r"\frac{1}{2}"]
    extract(r"\boxed{2} and \boxed{3}", markers=True)            ->  ["2, 3"]        one answer in two parts
    extract(r"\boxed{2}; no, \boxed{3}", markers=True)           ->  ["3"]
    extract(r"\boxed{2} or maybe \boxed{3}", markers=True)       ->  ["2", "3"]      a hedge, unless both are the same
    extract(r"$-\boxed{2}$", markers=True)                       ->  ["-2"]          the sign belongs to the answer
    extract(r"\boxed{2}, not \boxed{3}", markers=True)           ->  ["2"]
    extract("The answer is 7.", markers=True)                    ->  ["7"]
    extract("... which makes 7.", markers=True)                  ->  []

Of a response with thoughts only what follows the last `</think>` counts. Only the end of a long response is looked at
(MAX_RESPONSE characters) and only its last boxes, so that no response can make this slow.
"""

import re
from dataclasses import dataclass

from stages.lib.verifier.behind import belonging
from stages.lib.verifier.limits import MAX_ANSWER, MAX_RESPONSE
from stages.lib.verifier.markers import marked, tagged, unlabelled

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])")
_MAX_BOXES = 64
_BARE_BOX = re.compile(r"\s*([^\s$]+)")
_WORD = re.compile(r"[A-Za-z]{2,}")  # "put it in \boxed format": a word about boxes, no box
_GAP = r"[\s,;:&$(]|\\[()\[\],;:! ]|\\q?quad|\*"
_LABEL = r"(?:\b[A-Za-z](?:_\{?\w{1,3}\}?)?\s?=)"
_JOINT = re.compile(rf"(?:{_GAP}|\\text\{{\s*(?:and|,)?\s*\}}|\\\\|\band\b|{_LABEL})*")
_HEDGE = re.compile(
    rf"(?:{_GAP}|{_LABEL})*(?:\b(?:or|alternatively|perhaps|maybe|possibly)\b|\\text\{{\s*or\b)(?:[^.!?\n]|\n(?!\s*\n))*"
)
_HEDGE_LENGTH = 100  # characters between two boxes of one sentence
_JOINT_LENGTH = 60
_SIGN = re.compile(r"([-−]|\\pm|\\mp)(?:\\[,;! ]|\\?\$|\\\(|[ \t])*$")
_BEHIND_SIGN = re.compile(r"(?:\\?\$|\\\(|\\,)*$")
_TERM_BEFORE = re.compile(r"(?:[\d)}\]!]|(?<![A-Za-z])[A-Za-z])(?:\s|\\[,;:! ]|\$)*$")  # then the minus subtracts
_BULLET = re.compile(r"(?:^|\n)[ \t]*$")
_MENTION = re.compile(r"\b(?:in|within|inside|into|using|use|with|by|a|the|of)\s{1,3}[$`\"'(]{0,3}$", re.IGNORECASE)
_DENIED_BEFORE = re.compile(
    r"(?:\\neq?(?![a-z])|≠|\banything\s+but|\bnot|n['’]t(?:\s+be)?|\bnever|\brather\s+than|\binstead\s+of)[\s$*:]*(?:\\\()?\s*$"
)
_DENIED_BEHIND = re.compile(
    r"(?:[\s$*]|\\[)\]])*(?:(?:is|was|would\s+be|seems)\s+(?:also\s+|clearly\s+)?(?:wrong|incorrect|false|invalid"
    r"|impossible|not\s+(?:the|a|right|correct|possible|valid))|(?:isn|wasn)['’]t|can(?:not|['’]t)\s+be)\b"
)
_PERCENT_BEHIND = re.compile(r"(?:[\s$]|\\[,;! )]){0,8}(?:\\?%|percent\b|pct\b)")
_AROUND = 40  # characters before and behind a box that say what it means


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    end: int
    content: str


def extract(response: str, markers: bool) -> list[str]:
    """The stated answer, as written: one text; none where nothing is stated; several for an "A or B".

    An empty box is an empty text: the response gave no answer and meant to.
    """
    text = response[-MAX_RESPONSE:].rpartition("</think>")[2]
    boxes = _stated(text, _boxes(text))
    if markers and (tag := tagged(text)) and (not boxes or tag[0] > boxes[-1].end):
        return [unlabelled(tag[1])]
    if boxes:
        return _last_boxes(text, boxes)
    return marked(text) if markers else []


def reference_text(answer: str) -> str:
    """The answer in a reference, which may be the answer itself, a solution with a box, or one with `####`."""
    text = answer[-MAX_RESPONSE:]
    if boxes := _boxes(text):
        return _last_boxes(text, _stated(text, boxes) or boxes)[-1]
    if "####" in text:
        return text.rpartition("####")[2].strip()
    if len(text) > 12 and (found := marked(text)):
        return found[-1]
    return unlabelled(text)


def percent_behind_box(text: str) -> bool:
    """Whether a percent sign stands right behind the last box."""
    boxes = _boxes(text[-MAX_RESPONSE:])
    return bool(boxes and _PERCENT_BEHIND.match(text[-MAX_RESPONSE:], boxes[-1].end))


# One box -------------------------------------------------------------------------------------------------------------


def _boxes(text: str) -> list[_Box]:
    """The last balanced boxes, outermost only, in order."""
    starts = [(m.start(), m.end()) for m in _BOX.finditer(text)][-_MAX_BOXES:]
    found: list[_Box] = []
    for start, end in starts:
        box = _content(text, end)
        if box is not None and not (found and box[1] <= found[-1].end):
            found.append(_Box(start, box[1], _unboxed(box[0])))
    return found


def _content(text: str, at: int) -> tuple[str, int] | None:
    """The text in the braces behind a box command (or the bare word: `\\boxed 7`) and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at < len(text) and text[at] == "[":  # \framebox[width]{...}
        at = max(at, text.find("]", at, at + 30) + 1)
    if not text.startswith("{", at):
        bare = _BARE_BOX.match(text, at, at + MAX_ANSWER)
        if bare is None or _WORD.match(bare[1]):
            return None
        return bare[1].rstrip(".,;"), bare.end()
    return _braced(text, at, escapes=True) or _braced(text, at, escapes=False)


def _braced(text: str, at: int, escapes: bool) -> tuple[str, int] | None:
    r"""Up to the brace that closes the one at `at`. `\{` and `\}` are no braces; in a second try, without `escapes`,
    they are: a box such as `\boxed{42\}` ends with a stray backslash."""
    depth, end = 0, at
    limit = min(len(text), at + (MAX_ANSWER * 4 if escapes else _AROUND * 4))
    while end < limit:
        if text[end] == "\\" and (escapes or text[end + 1 : end + 2] not in ("{", "}")):
            end += 2
            continue
        depth += (text[end] == "{") - (text[end] == "}")
        end += 1
        if not depth:
            return text[at + 1 : end - 1], end
    return None


def _unboxed(content: str) -> str:
    """Boxes inside a box carry no meaning, nor do quotes around an answer and the words "the answer is"."""
    while match := _BOX.search(content):
        inner = _content(content, match.end())
        if inner is None:
            break
        content = content[: match.start()] + inner[0] + content[inner[1] :]
    return unlabelled(content)


# The boxes of a response ---------------------------------------------------------------------------------------------


def _stated(text: str, boxes: list[_Box]) -> list[_Box]:
    r"""The boxes that state something, with their signs and units: not those that the sentence denies ("not
    \boxed{5}") nor an empty one that is only spoken of ("put it in \boxed{}")."""
    kept = []
    for box in boxes:
        before = text[max(0, box.start - _AROUND) : box.start]
        denied = _DENIED_BEFORE.search(before) or _DENIED_BEHIND.match(text, box.end, box.end + _AROUND)
        if not denied and (box.content or not _MENTION.search(before)):
            content = _sign(before) + box.content + belonging(box.content, text, box.end)
            kept.append(_Box(box.start, box.end, content))
    return kept


def _sign(before: str) -> str:
    r"""The sign right before a box: `x = -\boxed{5}`; no bullet point, no dash between words, no subtraction."""
    match = _SIGN.search(before)
    if match is None:
        return ""
    ahead, apart = before[: match.start()], before[match.end(1) :]
    spaced = apart[:1].isspace()
    if _BULLET.search(ahead) and spaced or _TERM_BEFORE.search(ahead):
        return ""
    if match[1] in "-−":
        return "" if spaced and re.search(r"[A-Za-z*:.,]\s*$", ahead) else "-"
    return match[1] + " "


def _last_boxes(text: str, boxes: list[_Box]) -> list[str]:
    """The last box, with those that only commas, "and" or spacing join to it, as one text; "or" makes several texts."""
    run, hedged = [boxes[-1]], False
    for box in reversed(boxes[:-1]):
        between = text[box.end : run[0].start]
        if len(between) <= _HEDGE_LENGTH and _HEDGE.fullmatch(between):
            hedged = True
        elif len(between) > _JOINT_LENGTH or hedged or not _JOINT.fullmatch(between):
            break
        run.insert(0, box)
    contents = [content for content in dict.fromkeys(box.content for box in run) if content] or [""]
    if run[-1].content == "" and len(run) == 1:
        return [""]
    return contents if hedged else [", ".join(contents)]
