"""Mathematical answers, by math-verify: the gold is parsed once, each completion against it."""

from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from learnalign.verifying.judgement import Judgement, judged, unparsed

_KINDS = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]


def parse_gold(gold: str) -> Any:
    """Parse a gold answer: text with a box or dollars as it stands, a bare one as LaTeX.

    A gold that no number can be compared with in time (``9^{9^{9^9}}``) hangs here, where it counts
    as one that cannot be read, and not in each completion, where it would look like wrong answers.

    Returns:
        math-verify's parsed forms; None if there are none.
    """
    parsed = _parse(gold) if "\\boxed" in gold or "$" in gold else _parse(f"\\boxed{{{gold}}}")
    parsed = parsed or _parse(gold) or None
    if parsed is not None:
        verify(parsed, _parse("17"), timeout_seconds=None)
    return parsed


def judge(gold: Any, completion: str) -> Judgement:
    """Compare a completion's answer with the gold (gold first: the comparison has a direction)."""
    parsed = _parse(completion)
    if not parsed:
        return unparsed()
    return judged(bool(verify(gold, parsed, timeout_seconds=None)), str(parsed[-1]))


def _parse(text: str) -> Any:
    # The worker process is killed when this takes too long; math-verify's own alarm is not needed.
    return parse(text, extraction_config=_KINDS, parsing_timeout=None)
