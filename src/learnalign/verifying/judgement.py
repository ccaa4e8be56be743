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
    """The text taken as the answer; ``parsed_answer`` is its parsed value."""

    @property
    def is_failure(self) -> bool:
        """Whether the verifier itself failed to compute a reward."""
        no_reward = self.verdict in ("error", "timed_out") and self.reward is None
        return no_reward and self.detail != RETURNED_NONE


CORRECT, WRONG = "correct", "wrong"
#: The detail if a user's function returns None, which is allowed and not a failure.
RETURNED_NONE = "the reward function returned None"


def judged(right: bool, parsed_answer: str, extracted_answer: str | None = None) -> Judgement:
    """Return the judgement of a correct or wrong answer."""
    verdict = CORRECT if right else WRONG
    return Judgement(verdict, float(right), parsed_answer, extracted_answer=extracted_answer)


def unparsed(detail: str | None = None, extracted_answer: str | None = None) -> Judgement:
    """Return the judgement of a completion without an answer that can be parsed."""
    return Judgement("unparsed_answer", 0.0, detail=detail, extracted_answer=extracted_answer)


def failed(detail: str) -> Judgement:
    """Return the judgement for a verifier failure: the rollout is ignored."""
    return Judgement("error", None, detail=detail)
