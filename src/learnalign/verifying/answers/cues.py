r"""Answers that follow a cue such as "the answer is" or "Answer:", in the languages of `CUES`."""

import re

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.expressions_in_text import BOLD, BULLET, MARKED, inner
from learnalign.verifying.answers.notation import without_wording

#: Patterns by which a completion announces its answer, by language.
CUES = {
    "English": r"\banswers?\b|\b(?:option|choice)\b(?=\s?(?:is\b|:))",
    "Chinese": r"(?:答案|故选|应选|选择)",
    "Japanese": r"答え|答",
    "Korean": r"정답|답",
    "Spanish": r"\brespuesta\b",
    "Portuguese": r"\bresposta\b",
    "French": r"\br[ée]ponse\b",
    "German": r"\b(?:antwort|ergebnis)\b",
    "Italian": r"\brisposta\b",
    "Dutch": r"\bantwoord\b",
    "Russian": r"\bответ\b",
    "Vietnamese": r"\bđáp (?:án|số)\b",
    "Turkish": r"\bcevap\b",
    "Arabic": r"(?:الجواب|الإجابة)",
    "Hindi": r"उत्तर",
}
#: Each cue contains one of these.
_STEMS = (
    *("answer", "option", "choice", "respuesta", "resposta", "ponse", "antwort", "ergebnis"),
    *("risposta", "antwoord", "ответ", "đáp", "cevap", "الجواب", "الإجابة", "उत्तर"),
    *("答", "选", "정답", "답"),
)
_ANY = "|".join(CUES.values())
_VERBS = r"is|are|was|were|equals|(?:would|should|must|will) be|es|ist|lautet|est|è|é"
_SAYS = rf"(?:\b(?:{_VERBS})\b|是|为|為|は|은|는|là|هو|هي|है|->|[=:：—→])"
_BETWEEN = (
    r"(?:(?!\b(?:because|since|if|check|verify|makes?|that)\b)[^\n.:：。!?=]"
    r"|(?<=\d)\.(?=\d)){0,80}?"
)
#: A cue with its verb or colon, or at the end of a line; below: a cue directly before a number.
_CUE = re.compile(rf"(?:{_ANY})(?:{_BETWEEN}{_SAYS}|(?:\*\*|__)?[ \t]*(?=\n|$))", re.IGNORECASE)
_BARE_CUE = re.compile(rf"(?:{_ANY})[\s*_:：]*(?=[-−\d$\\(\[])", re.IGNORECASE)
_DENIED = re.compile(r"\s*(?:not|never|neither|nor|none|incorrect|wrong)\b", re.IGNORECASE)
#: not 5, it is 10; not 6 but 5
_INSTEAD = re.compile(
    r"\s*not\s[^.\n]{1,40}?(?:,?\s*\bbut(?: rather)?|[,;]\s*(?:it is|it['’]s|rather))\s",
    re.IGNORECASE,
)
_DENYING = re.compile(r"(?:n['’]t|\bnot|\bcannot|\bnever)\b", re.IGNORECASE)
#: Text before a cue that does not announce an answer: "check the answer", "a wrong answer".
_FALSE_CUE = re.compile(
    r"\b(?:no|is|check|verify|confirm|whether|if|wrong|incorrect"
    r"|(?:might|may|could|would) (?:think|say|guess)|thought)\s+"
    r"(?:that\s+)?(?:(?:the|this|my|an?|your)\s+)?$",
    re.IGNORECASE,
)
_LABEL_END = re.compile(r"\A(?:\s|[:：=]|(?:\*\*|__|\*)(?=\s))*")
_EMPHASIS = re.compile(r"\s*(\*\*|__|`|\*)(?=\S)(.+?)\1")
_PROSE = re.compile(r"(?:[A-Z]?[a-z']+\s+){2,}")
_VERB = re.compile(rf"\b(?:{_VERBS})\b(?=\s*\S)")
#: The end of the answer, where a reason or another sentence starts.
_END = re.compile(
    r"(?<=[^\s.])\.(?=\s+[^\s\d]|\s*$)|[。；!?](?!\w)|;\s"
    r"|\s\((?=[A-Za-z]{2})|\s(?:because|since|as it|which|so that|given that|out of|where)\b"
    r"|,\s+(?!(?:and|or)\b)(?=[A-Za-z]{2,}(?![\w(=])[^=]*$)"
)
_JOINED = re.compile(r"\s*(?:,|and|or|,\s*and|,\s*or)\s*")
_UNIT = re.compile(
    r"\s*(?!(?:is|as|if|so|in|for|to|and|or|we|at|a|the|by)\b)"
    r"(?:[a-zA-Z]{1,3}(?:\^\d|²|³)?|%|\\%|°|degrees?)(?=[\s.,;]|$)"
)
#: Maximum words before the mathematics that is the answer.
_FEW_WORDS = 6
#: Maximum characters of a line to search.
_LINE_CHARACTERS = 1_000
#: Number of cues from the end to check.
_NUM_CUES = 3


def may_have_cue(text: str) -> bool:
    """Return whether a text contains a word of any cue (a fast check)."""
    lower = text.lower()
    return any(stem in lower for stem in _STEMS)


def first_cue(text: str) -> int:
    """Return the position of the first answer cue; -1 without a cue."""
    match = _CUE.search(text) if may_have_cue(text) else None
    return -1 if match is None else match.start()


def announced(text: str) -> list[str]:
    r"""Return the texts after the last cues, last one first.

    Example:
        >>> announced("The answer is not 3. So the answer is: **61** apples, out of 90.")
        ['61']
        >>> announced("答案是12。"), announced("# Answer\n\n$x = 3$"), announced("It is 3")
        (['12'], ['x = 3'], [])
    """
    if not may_have_cue(text):
        return []
    cues = _cues(text)
    segments = []
    for cue in reversed(cues[-_NUM_CUES:]):
        rest = text[cue.end() :]
        if _denies(cue):
            instead = _INSTEAD.match(rest)
            rest = rest[instead.end() :] if instead else ""
        segments.append(_segment(rest))
    return [segment for segment in segments if segment]


def without_denials(text: str) -> str:
    """Remove sentences that state what the answer is not.

    Example:
        >>> without_denials("The answer is not 73. It is 72.")
        ' It is 72.'
    """
    if not may_have_cue(text):
        return text
    kept, start = [], 0
    for cue in _CUE.finditer(text):
        if (_denies(cue) or _is_false_cue(cue)) and cue.start() >= start:
            begin = max(text.rfind(". ", 0, cue.start()) + 1, text.rfind("\n", 0, cue.start()) + 1)
            end = re.compile(r"[.!?](?=\s|$)|\n").search(text, cue.end())
            kept.append(text[start : max(begin, start)])
            start = len(text) if end is None else end.end()
    return "".join(kept) + text[start:]


def _cues(text: str) -> list[re.Match[str]]:
    cues = list(_CUE.finditer(text)) or list(_BARE_CUE.finditer(text))
    return [cue for cue in cues if not _is_false_cue(cue)]


def _is_false_cue(cue: re.Match[str]) -> bool:
    return _FALSE_CUE.search(cue.string[max(0, cue.start() - 60) : cue.start()]) is not None


def _denies(cue: re.Match[str]) -> bool:
    return bool(_DENYING.search(cue.group(0)) or _DENIED.match(cue.string, cue.end()))


def announced_in(box: str) -> str:
    r"""Return the answer that the words in a box announce, or else the box's content.

    Example:
        >>> announced_in(r"\text{The answer is } 5"), announced_in(r"5 \text{ apples}")
        ('5', '5 \\text{ apples}')
    """
    answers = announced(without_wording(box)) if "\\text" in box else []
    return answers[0] if answers else box


def _segment(rest: str) -> str:
    """Return the answer after a cue: mathematics, emphasized text, or the start of the sentence."""
    begin = _LABEL_END.sub("", rest, count=1).lstrip()
    rest = BULLET.sub("", begin) if "\n" in rest[: len(rest) - len(begin)] else begin
    line = rest if MARKED.match(rest) else rest.split("\n", 1)[0][:_LINE_CHARACTERS]
    emphasis = _EMPHASIS.match(line)
    if emphasis:
        return trimmed(emphasis[2])
    line = line.strip("*_ ")
    if _PROSE.match(line):  # "The volume of $ABCD$ is 120."
        verbs = list(_VERB.finditer(line.split(". ", 1)[0]))
        line = line[verbs[-1].end() :].lstrip() if verbs else line
    marked = MARKED.search(line)
    if marked and len(line[: marked.start()].split()) <= _FEW_WORDS:
        return _marked(line, marked)
    line = BOLD.sub("", line)
    end = _END.search(line)
    return trimmed(line if end is None else line[: end.start()])


def _marked(text: str, first: re.Match[str]) -> str:
    """Return marked mathematics, further ones joined by a comma, "and" or "or", and a unit."""
    parts, end = [inner(first)], first.end()
    while joined := _JOINED.match(text, end):
        more = MARKED.match(text, joined.end())
        if more is None:
            break
        parts.append(inner(more))
        end = more.end()
    if len(parts) > 1:
        return trimmed(" and ".join(parts))
    unit = _UNIT.match(text, end) if parts[0][-1:].isdigit() else None
    return trimmed(parts[0] + (unit.group(0) if unit else ""))
