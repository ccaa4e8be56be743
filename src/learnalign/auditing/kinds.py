"""The kinds of findings: what each means, what to do about it, and all of them for a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.auditing.answer_in_prompt import stated_answers
from learnalign.auditing.copies import conflicting_copies
from learnalign.auditing.finding import Finding, ranked
from learnalign.auditing.gold_unaccepted import unaccepted_golds
from learnalign.auditing.guessable import guessable
from learnalign.auditing.no_signal import kinds_without_signal
from learnalign.auditing.problem import Problem
from learnalign.auditing.unfollowed import unfollowed_rewards
from learnalign.auditing.unparsed import unparsed
from learnalign.auditing.wrong_gold import wrong_golds


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    name: str
    """As in ``--drop``."""
    meaning: str
    score: str
    """What the score is."""
    remedy: str


#: All kinds, in the order in which they are shown.
KINDS = (
    Kind(
        "wrong-gold",
        "The model's answers agree with each other, and not with the gold",
        "posterior that the gold is wrong",
        "solve the problem, and correct or drop the gold",
    ),
    Kind(
        "gold-unaccepted",
        "The verifier does not accept the gold as an answer to its own problem",
        "1 if it is read and rejected, 0.9 if it cannot be read",
        "write the gold in a form that the verifier reads, or choose another verifier",
    ),
    Kind(
        "guessable",
        "Few answers are possible, and guessing explains the success rate",
        "posterior that the answers are guesses",
        "ask for the value instead of a choice, or drop the problem",
    ),
    Kind(
        "answer-in-prompt",
        "The question states its answer",
        "1 / the number of answers that the question announces; below 0.5 for literal ones",
        "remove the answer from the question",
    ),
    Kind(
        "unfollowed-reward",
        "The same answer is rewarded once and not another time",
        "posterior that rewards ignore the answer",
        "look at the reward function or the judge",
    ),
    Kind(
        "copies",
        "Nearly the same question has another gold elsewhere",
        "similarity of the questions",
        "keep the one whose gold is right",
    ),
    Kind(
        "unparsed",
        "Most rollouts are cut off, or have no answer that can be read",
        "posterior that more than half of the rollouts are lost",
        "raise --max-tokens, say in the prompt how to answer, or choose another verifier",
    ),
    Kind(
        "no-signal-kind",
        "No problem of this source or difficulty has a signal",
        "1 - upper end of the 95 % interval of the share with a signal",
        "leave the kind out of this training, or make it easier or harder",
    ),
)


def find_all(
    problems: Sequence[Problem],
    excluded: Sequence[Mapping[str, Any]] = (),
    checked: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, list[Finding]]:
    """Find problems of every kind, each list ranked, the strongest evidence first.

    Args:
        problems: The pool with its answers.
        excluded: Rows of EXCLUDED.
        checked: (reason, detail) by problem, of golds that no stage has checked.

    Example:
        >>> list(find_all([])) == [kind.name for kind in KINDS]
        True
    """
    found: dict[str, Iterable[Finding]] = {
        "wrong-gold": wrong_golds(problems),
        "gold-unaccepted": unaccepted_golds(excluded, checked or {}),
        "guessable": guessable(problems),
        "answer-in-prompt": stated_answers(problems),
        "unfollowed-reward": unfollowed_rewards(problems),
        "copies": conflicting_copies(problems, excluded),
        "unparsed": unparsed(problems),
        "no-signal-kind": kinds_without_signal(problems),
    }
    return {name: ranked(list(findings)) for name, findings in found.items()}
