"""Multiple choice: the letter of an option, or its text if the prompt lists the options."""

import re
from dataclasses import dataclass

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.extraction import BOX, HASHES, TAG, extract, marked
from learnalign.verifying.answers.notation import one_alphabet, without_wording
from learnalign.verifying.answers.options import options_in
from learnalign.verifying.guards import MAX_CHARACTERS
from learnalign.verifying.judgement import Judgement, judged, unparsed
from learnalign.verifying.question import Question

_LETTER = r"(?:\*\*|\$|\\\(|[\"'(\[{])*\s*\(?([A-Za-z])\)?(?![A-Za-z'’])"
_GOLD = re.compile(r"\s*\(?([A-Za-z])\)?\s*(?:[.:)].*|(?<=\))\s*\S.*)?", re.DOTALL)
_ALONE = re.compile(r"\(?([A-J])\)?(?:(?<=\))|[.:)]|$|\s*[,;]|\s+(?:because|since)\b)")
_ANNOUNCED = re.compile(
    r"(?:answer|(?:option|choice)(?!\s*\(?[A-J]\)?:))\b\s*(?:is|would be|should be|must be)?"
    r"\s*[:=]?[\s*$({\[]*"
    r"(?:(?:definitely|probably|clearly|likely|I think|option|choice|letter)\s+){0,4}" + _LETTER,
    re.IGNORECASE,
)
_PICKED = re.compile(
    r"\b(?:go with|going with|pick|choose|chose|select|guess|think|say"
    r"|it is|it's|must be|故选|选)\s*"
    r"(?:option |answer |choice |letter )*" + _LETTER,
)
_SEVERAL = re.compile(r"\(?[A-J]\)?(?:\s*(?:,|and|or|&|/)\s*\(?[A-J]\)?)+")
#: Another letter after the first one.
_MORE = re.compile(r"\)?[*\s]*(?:,|and|or|&|/)\s*\(?[A-J]\)?(?![A-Za-z'’]|\s+(?:is|are|was)\b)")
_SUBJECT = re.compile(r"(?<![A-Za-z])\(?([A-J])\)?\s+is\s+(?:the\s+)?(?:correct|right|best)\b")
_SO = re.compile(r"\b(?:So|Thus|Hence|Therefore),?\s+\(?([A-J])\)?(?=[.!]|\s*$)", re.MULTILINE)
_DENIED = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|rather than|instead of|anything but|\bover)"
    r"\s+(?:\w+\s+){0,2}\(?$",
    re.IGNORECASE,
)
_WRONG = re.compile(r"\)?\s+is\s+(?:wrong|incorrect|not)\b", re.IGNORECASE)
#: Letters of options; A and I are also words.
_LETTERS = re.compile(r"\(([A-J])\)|(?<![A-Za-z'’])([B-HJ])(?![A-Za-z'’])")
_SINGLE = re.compile(r"(?<![A-Za-z\\])\(?([A-Z])\)?(?![A-Za-z'’])")

#: Number of characters at the end to search for an unmarked answer.
_TAIL = 8_000


@dataclass(frozen=True)
class Gold:
    """The correct letter, and the options' texts if the prompt has them."""

    letter: str
    options: dict[str, str]


def parse_gold(gold: str, question: Question) -> Gold | None:
    """Parse a gold letter: ``B``, ``(B)``, ``b.``, ``B: some text``; or the text of an option.

    Example:
        >>> question = Question(("B",), "Which? (A) a cat (B) a dog")
        >>> [parse_gold(gold, question).letter for gold in ("B", "(b)", "B. a dog", "a dog")]
        ['B', 'B', 'B', 'B']
        >>> parse_gold("a horse", question) is None
        True
    """
    options = options_in(question.prompt)
    plain = trimmed(without_wording(one_alphabet(gold)))
    match = _GOLD.fullmatch(plain)
    if match:
        return Gold(match[1].upper(), options)
    letter = _by_text(plain, options)
    return None if letter is None else Gold(letter, options)


def judge(gold: Gold, completion: str) -> Judgement:
    """Judge the letter that is marked, announced as the answer, picked, or last.

    Example:
        >>> judge(Gold("B", {}), "A is wrong, so the answer is (B).").verdict
        'correct'
        >>> judge(Gold("D", {}), "My answer is I think D").verdict
        'correct'
    """
    completion = completion[-_TAIL:] if marked(completion) is None else completion
    candidates = [c for c in extract(completion) if len(c.text) <= MAX_CHARACTERS]
    for candidate in candidates:
        if candidate.source in (TAG, BOX, HASHES):
            letter = _letter_of(candidate.text, gold)
            if letter is not None:
                return judged(letter == gold.letter, letter, candidate.text)
    match = _last_announced(completion)
    if match is not None:
        letters = match[1].upper() if _MORE.match(completion, match.end()) is None else "several"
        return judged(letters == gold.letter, letters, match.group(0).strip())
    for candidate in candidates:
        letter = _letter_of(candidate.text, gold)
        if letter is not None:
            return judged(letter == gold.letter, letter, candidate.text)
    # "A" and "I" are also words: they count only in brackets or as the whole completion.
    alone = [
        match
        for match in _SINGLE.finditer(completion)
        if not _DENIED.search(completion[max(0, match.start() - 40) : match.start()])
        and not _WRONG.match(completion, match.end())
        if match[1] not in "AI" or match.group(0) != match[1] or completion.strip() in ("A", "I")
    ]
    if not alone:
        return unparsed(None, candidates[0].text if candidates else None)
    return judged(alone[-1][1] == gold.letter, alone[-1][1], alone[-1].group(0))


def _last_announced(completion: str) -> re.Match[str] | None:
    """Find the last letter that is announced as the answer and not denied."""
    matches = [
        match
        for pattern in (_ANNOUNCED, _PICKED, _SUBJECT, _SO)
        for match in pattern.finditer(completion)
        if not _DENIED.search(completion[max(0, match.start(1) - 40) : match.start(1)])
        and not _WRONG.match(completion, match.end())
        and not (match[1] in "aAI" and _word_follows(completion, match.end(1)))
    ]
    return max(matches, key=lambda match: match.start(1), default=None)


def _letter_of(text: str, gold: Gold) -> str | None:
    """Return the letter that a text consists of, or the letter of the option with this text."""
    plain = trimmed(without_wording(one_alphabet(text)))
    letters = {m[1] or m[2] for m in _LETTERS.finditer(plain)}
    if _SEVERAL.fullmatch(plain) or len(letters) > 1 or "\\neg" in plain:
        return plain
    if re.fullmatch(r"\(?[A-Za-z]\)?", plain):
        return plain.strip("()").upper()
    by_text = _by_text(plain, gold.options)
    if by_text is not None:
        return by_text
    match = _ALONE.match(plain)
    return match[1] if match else None


def _by_text(plain: str, options: dict[str, str]) -> str | None:
    """Return the letter of the only option with this text."""
    target = _folded(plain)
    letters = [letter for letter, text in options.items() if _folded(text) == target]
    return letters[0] if len(letters) == 1 and target else None


def _folded(text: str) -> str:
    return "".join(without_wording(text).casefold().split()).strip(".$,;")


def _word_follows(text: str, end: int) -> bool:
    """Return whether a word follows, so that the letter is an article or a pronoun."""
    return bool(re.match(r"\s+(?!(?:is|was|because|since|as|and|or|but|seems)\b)[a-z]", text[end:]))
