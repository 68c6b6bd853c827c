r"""Where a response without a box says what its answer is: "The answer is 7", `#### 7`, a heading, `<answer>` tags.

    marked("... so the answer is 7.")                 ->  ["7"]
    marked("## Answer\n\n**7**")                      ->  ["7"]
    marked("Final Answer: The largest n is 34.")      ->  ["34"]       the one value of a short sentence
    marked("The answer is $3$ or $5$.")               ->  ["3", "5"]   a hedge
    marked("I don't think the answer is 7.")          ->  []           denied; so is "if the answer is 7"
    marked("... which makes 7.")                      ->  []

The last marker that an answer follows counts. A number without a marker is never an answer.
"""

import re

from stages.lib.verifier.behind import belonging

_HEADED = r"(?:^|\n)[ \t>]{0,4}(?:\#{1,6}[ \t]{0,4}|\*\*|__|\\(?:sub)*section\*?\{|\\textbf\{)"
_MARKER = re.compile(
    rf"""(?P<strong>\#\#\#\#(?!\#)(?![ \t]*(?:the\ )?(?:final\ )?answers?\b)
    |\bfinal\s{{1,3}}answers?\b[ \t]?[*_]{{0,3}}[ \t]?(?:[:：]|\}}?[ \t*_]*\n|\}})
    |{_HEADED}[ \t]{{0,4}}(?:the[ ])?(?:final[ ])?answers?[ \t]{{0,4}}[*_:\}}]{{0,4}}[ \t]{{0,4}}\n
    |(?:^|\n)[ \t>*_\#]{{0,8}}(?:the[ ])?(?:final[ ])?answers?[ \t*_]{{0,6}}[:：=]
    |(?:^|\n)[ \t>*_\#]{{0,8}}(?:the[ ])?(?:final[ ])?answers?[ \t*_]{{0,6}}(?=\$|\\[(\[])
    |<answer>
    |(?:最终)?答案(?:是|为|[:：])|故选[:：]?)
    |(?P<colon>\banswers?[ \t*_\}}]{{0,6}}[:：])
    |\banswers?\b(?:[^.\n:!?$\\]{{0,40}}?)\b(?:is|are)\b\ ?[:：]?
    |\banswers?\s{{1,3}}(?:(?:must|should|has\ to|comes\ out\ to)\s{{1,3}}be|equals|=)(?=[\s*]{{0,4}}[-$\\\d(])
    |\b(?:correct|right|best)\s{{1,3}}(?:option|choice)\s{{1,3}}is\b\ ?[:：]?""",
    re.VERBOSE | re.IGNORECASE,
)
_MARKED_TAIL = 20_000  # characters at the end in which markers are looked for
_MAX_MARKERS = 64
_MAX_AFTER = 1_000  # characters behind a marker in which its answer stands
_BEFORE = 60  # characters before a marker in which its clause may deny it
_DENIED = re.compile(
    r"(?:\b(?:not|never|none|no|neither|nobody|hardly|false|untrue|doubt\w*|if|whether|suppos\w+|assum\w+|unless|wrong|incorrect|impossible"
    r"|unlikely|cannot|imagine)\b|n['’]t\b)[^,:;.!?\n]*$",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_BETWEEN_MATH = re.compile(r"\s*(?:,?\s*\b(?:and|or)\b|,|;)\s*")
_SENTENCE_END = re.compile(
    r"""[.!?。](?=\s|$|\*|"|')|\n|</|<\||```
    |,?\s+(?:because|since|which|so|but|while|hence|as\ (?:we|the|required|desired|claimed|shown))\b
    |\s*\((?:because|since|as|where|given)\b
    |;\s+[a-z]{3}""",
    re.VERBOSE,
)
_LEAD = re.compile(r"^(?:[\s*_:：},]|`(?!``))+")
_FENCE = re.compile(r"^```[a-zA-Z]{0,12}\s*\n?")
_FILLER = re.compile(
    r"^(?:(?:then|therefore|thus|hence|just|simply|actually|now|also|indeed|clearly|obviously|of\ course|given\ by"
    r"|equal\ to|as\ follows|the\ (?:number|value)(?=\s+[-$\\\d])|:)(?:,|\b)\s*){1,3}(?=\S)",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"(?:indeed\s+)?(?:correct|right|wrong|incorrect|valid|verified|consistent|reasonable|unique|confirmed)\b"
    r"|(?:found|obtained|given|expressed|written|rounded|expected|supposed|required|asked|to\s+be)\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\s*(?:\\?%|percent\b)")
_VALUE = r"(?:[-+−±√π.]?\s?\d|[-+−±]?\s?[$\\(\[{{]|\*\*|[-+]?[a-zA-Z]\b)"
_SUBJECT = re.compile(
    rf"(?=.*[A-Za-z]{{2}})[^=<>]{{1,120}}\b(?:is|are|was|equals|equal to|be)\s+(?:exactly\s+)?(?P<value>{_VALUE}.*)",
    re.DOTALL,
)
_ONE_NUMBER = re.compile(r"[^\d$\\=<>]*?(?P<value>-?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?)(?P<rest>[^\d$\\=<>]*)")
_RISKY = re.compile(
    r"\b(?:not|no|none|neither|nor|never|wrong|false|least|most|more|fewer|less|than|between|over|under|above|below|about|around|nearly|almost"
    r"|divisible|multiples?|times|half|double|twice|percent|prime|even|odd|powers?|roots?|squares?|cubes?|steps?|page"
    r"|case|equation|part|option|or|if|unless|million|billion|thousand|hundred|dozen|thirds?|[a-z]+ths?)\b|n['’]t\b",
    re.IGNORECASE,
)
_DOING = re.compile(r"[A-Za-z']+\s+[a-z]{2,}")  # Anna sold ...
_NOUN = re.compile(r"\s*([A-Za-z]+)")
_NO_NOUN = frozenset("in on at of such per to for total altogether left remaining different possible distinct".split())
_LABEL = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mbox)\s*\{\s*)?(?:the\s{1,3})?(?:(?:final|correct)\s{1,3})?answer\s{0,3}(?:is\b|:)"
    r"\s{0,3}:?\s{0,3}(\})?",
    re.IGNORECASE,
)
_CIRCLED = re.compile("[①-⑳](?:[,，、 ]{0,2}[①-⑳])+")
_QUOTES = (('"', '"'), ("``", "''"), ("“", "”"), ("'", "'"), ("‘", "’"), ("«", "»"), ("```", "```"), ("`", "`"))


def tagged(text: str) -> tuple[int, str] | None:
    """Where the last `<answer>...</answer>` of a text starts, and what it holds; None where there is none, or an empty
    one."""
    end = text.rfind("</answer>", -_MARKED_TAIL)
    start = text.rfind("<answer>", max(0, end - _MARKED_TAIL), max(0, end))
    inside = text[start + len("<answer>") : end].strip()
    if start < 0 or not inside:
        return None
    return start, (marked(inside) or [_plain(inside)])[-1]


def marked(text: str) -> list[str]:
    """What stands behind the last marker that is followed by an answer and not denied; several texts for a hedge."""
    text = text[-_MARKED_TAIL:]
    for match in reversed(list(_MARKER.finditer(text))[-_MAX_MARKERS:]):
        clause = text[max(0, match.start() - _BEFORE) : match.start()]
        if match["strong"] is None and _DENIED.search(clause):
            continue
        found = _answer(text[match.end() : match.end() + _MAX_AFTER], match)
        if found:
            return found
    return []


def unlabelled(text: str) -> str:
    """An answer without quotes around it and without the words "the answer is" before it; the numbers of statements
    (②③) as a list."""
    text = text.strip()
    if _CIRCLED.fullmatch(text):
        return ", ".join(str(ord(sign) - ord("①") + 1) for sign in text if "①" <= sign <= "⑳")
    for opening, closing in _QUOTES:
        inside = text[len(opening) : -len(closing)]
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            if closing[-1] not in inside:
                text = _FENCE.sub("", opening + inside).strip() if opening == "```" else inside.strip()
    label = _LABEL.match(text)
    if label is None or label.end() == len(text):
        return text
    closed = label[1] or "{" not in label[0]
    return (text[label.end() :] if closed else label[0][: label[0].index("{") + 1] + text[label.end() :]).strip()


# Behind a marker -----------------------------------------------------------------------------------------------------


def _answer(rest: str, marker: re.Match[str]) -> list[str]:
    """The answer at the start of `rest`; none if that is a comment ("correct"), a question, or prose behind a colon in
    the midst of a line."""
    colon, strong = marker["colon"] is not None, marker["strong"] is not None
    rest = _FENCE.sub("", _LEAD.sub("", rest))
    rest = _LEAD.sub("", _FILLER.sub("", rest))
    if not rest or (not strong and _COMMENT.match(rest)):
        return []
    if rest[0] == "$" or rest[:2] in (r"\(", r"\["):
        return _formulas(rest)
    sentence, end = _sentence(rest)
    if not sentence or rest[end : end + 1] == "?" or r"\boxed" in sentence:
        return []
    if colon and not re.match(_VALUE, sentence) and len(sentence.split()) > 6:
        return []
    final = "final" in marker[0].lower() or not re.search(r"\d", rest[end:])
    return [_value(sentence) if strong and final else sentence]


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
        return [_sentence(rest)[0]]
    percent = r"\%" if _PERCENT.match(rest, at) else belonging(found[0], rest, at) if len(found) == 1 else ""
    return found if hedge else [", ".join(found) + percent]


def _sentence(rest: str) -> tuple[str, int]:
    """The first sentence, without decoration, and where it ends."""
    match = _SENTENCE_END.search(rest)
    end = match.start() if match else len(rest)
    return _plain(rest[:end]), end


def _plain(text: str) -> str:
    text = unlabelled(text.strip().strip("*_`\"' ")).strip("*_` ")
    return text.rstrip("} ") if text.count("}") > text.count("{") else text


def _value(sentence: str) -> str:
    """The value in a short sentence: "the largest n is 34", "there are 34 ways", "Anna sold 34 clips"; the sentence
    itself if it is none of these."""
    if len(sentence.split()) > 14 or not sentence[0].isalpha():
        return sentence
    if (match := _SUBJECT.fullmatch(sentence)) and not _DENIED.search(sentence[: match.start("value")]):
        value = match["value"].strip("* ")
        formula = value[:1] == "$" or value[:2] in (r"\(", r"\[")
        return _formulas(value)[0] if formula else _counted(value)
    return _counted(sentence) if _DOING.match(sentence) else sentence


def _counted(text: str) -> str:
    """The only number of a text and the noun behind it; the text itself where other words may change the number."""
    match = _ONE_NUMBER.fullmatch(text)
    if match is None or _RISKY.search(text):
        return text
    noun = _NOUN.match(match["rest"])
    keep = noun and noun[1].lower() not in _NO_NOUN
    return match["value"] + (f" {noun[1]}" if noun and keep else "")
