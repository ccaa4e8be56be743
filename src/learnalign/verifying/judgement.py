"""The judgement of one completion."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Judgement:
    """One of the verdicts of `learnalign.tables.VERDICT_KINDS`, with its reward."""

    verdict: str
    reward: float | None
    parsed_answer: str | None = None
    detail: str | None = None
    extracted_answer: str | None = None
    """The text that was taken for the answer; ``parsed_answer`` is what was read in it."""

    @property
    def is_failure(self) -> bool:
        """Whether the verifier itself failed, so that there is no reward."""
        without = self.verdict in ("error", "timed_out") and self.reward is None
        return without and self.detail != GAVE_NONE


CORRECT, WRONG = "correct", "wrong"
#: The detail where a function of the user's says that it cannot say: that is its right, no failure.
GAVE_NONE = "the reward function returned None"


def judged(right: bool, parsed_answer: str, extracted_answer: str | None = None) -> Judgement:
    """Return the judgement of a correct or wrong answer."""
    verdict = CORRECT if right else WRONG
    return Judgement(verdict, float(right), parsed_answer, extracted_answer=extracted_answer)


def unparsed(detail: str | None = None, extracted_answer: str | None = None) -> Judgement:
    """Return the judgement of a completion with no answer, or none that can be parsed."""
    return Judgement("unparsed_answer", 0.0, detail=detail, extracted_answer=extracted_answer)


def failed(detail: str) -> Judgement:
    """Return the judgement for a verifier failure: the rollout does not count."""
    return Judgement("error", None, detail=detail)
