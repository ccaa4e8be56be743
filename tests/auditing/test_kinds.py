"""Each kind of finding against planted faults, and against problems that only look like them."""

import random
from typing import get_args

import pytest

from helpers.audited import problem
from learnalign.auditing.answer_in_prompt import stated_answers
from learnalign.auditing.copies import conflicting_copies
from learnalign.auditing.gold_unaccepted import unaccepted_golds
from learnalign.auditing.guessable import guessable
from learnalign.auditing.kinds import KINDS, find_all
from learnalign.auditing.near_copies import similar_pairs
from learnalign.auditing.no_signal import kinds_without_signal
from learnalign.auditing.problem import Problem
from learnalign.auditing.unfollowed import unfollowed_rewards
from learnalign.auditing.unparsed import unparsed
from learnalign.config.selection import Finding as Name


def test_the_option_and_the_audit_have_the_same_kinds() -> None:
    assert get_args(Name) == tuple(kind.name for kind in KINDS)


def test_an_empty_pool_has_no_findings() -> None:
    assert not any(find_all([]).values())
    silent = [Problem(f"p{i}", "s", None, "?", "1", ()) for i in range(60)]
    assert not any(find_all(silent).values())


# --- guessable


def _asked(rng: random.Random, name: str, guessed: bool) -> Problem:
    gold = rng.choice(["yes", "no"])
    chance = 0.5 if guessed else 0.97 if gold == "yes" else 0.03
    answers = ["yes" if rng.random() < chance else "no" for _ in range(8)]
    return problem(name, gold, answers, source="guessed" if guessed else "known")


def test_guesses_are_told_from_knowledge() -> None:
    rng = random.Random(0)
    pool = [_asked(rng, f"g{i}", True) for i in range(100)]
    pool += [_asked(rng, f"k{i}", False) for i in range(100)]
    pool += [problem(f"n{i}", str(i), [str(i)] * 8, source="open") for i in range(100)]
    names = [finding.problem_id for finding in guessable(pool)]
    assert sum(name.startswith("g") for name in names) > 90
    assert sum(name.startswith("k") for name in names) < 5
    assert not any(name.startswith("n") for name in names)


def test_a_source_with_few_golds_is_guessable() -> None:
    rng = random.Random(1)
    pool = []
    for i in range(200):
        answers = [str(rng.randint(1, 3)) for _ in range(8)]
        pool.append(problem(f"p{i}", str(rng.randint(1, 3)), answers))
    found = guessable(pool)
    rewarded = [p for p in pool if p.success_rate]
    assert len(found) > 0.9 * len(rewarded)
    assert "3 possible answers" in found[0].evidence


def test_problems_that_are_never_rewarded_are_not_listed() -> None:
    pool = [problem(f"p{i}", "yes", ["no"] * 8) for i in range(50)]
    assert guessable(pool) == []


# --- answer-in-prompt


@pytest.mark.parametrize(
    ("question", "gold", "score"),
    [
        ("What is 6 x 7? Answer: 42", "42", 1.0),
        ("What is 6 x 7? (The correct answer is 42.)", "42", 1.0),
        (r"What is 6 x 7? $\boxed{42}$", "42", 1.0),
        (r"Compute. \boxed{\frac{1}{2}}", r"\frac{1}{2}", 1.0),
        ("6 x 7?\n#### 42", "42", 1.0),
        ("6 x 7? <answer>42</answer>", "42", None),  # the tag's text goes on
        ("六乘七 答案是42。", "42", 1.0),
        ("1 + 1? The answer is 2. And 6 x 7? Answer: 42", "42", 0.5),
        ("Add 42 and 0.", "42", None),
        ("If there is no solution, then the answer is 42.", "42", None),
        ("Write the answer as \\boxed{answer}. What is 6 x 7?", "42", None),
        ("Give your answer: 42, 43 or 44?", "42", None),
        ("The answer is not 42. What is 6 x 8?", "48", None),
    ],
)
def test_announced_answers(question: str, gold: str, score: float | None) -> None:
    found = stated_answers([problem("p", gold, [], question=question)])
    expected = [1.0] if score is None and "<answer>" in question else [score] * (score is not None)
    assert [finding.score for finding in found] == expected


def test_literal_golds_count_only_where_they_are_rare() -> None:
    gold = "3x^2+7xy-12y+100"
    pool = [problem(f"p{i}", f"{gold}+{i}", [], question="Expand.") for i in range(50)]
    stated = problem("stated", gold, [], question=f"Is it ${gold}$ after all? Expand.")
    assert [f.problem_id for f in stated_answers([*pool, stated])] == ["stated"]
    copied = [problem(f"c{i}", f"{gold}+{i}", [], question=f"{gold}+{i}") for i in range(50)]
    assert stated_answers(copied) == []
    options = problem("o", gold, [], question=rf"$\mathrm{{(A)}} 1$, $\mathrm{{(B)}} {gold}$")
    assert stated_answers([*pool, options]) == []


# --- unfollowed-reward


def test_coins_are_told_from_rewards_with_slips() -> None:
    rng = random.Random(0)
    pool = []
    for i in range(300):
        answers = ["7" if rng.random() < 0.5 else str(rng.randint(1, 3)) for _ in range(16)]
        coin = i < 30
        rewards = [rng.random() < 0.5 if coin else answer == "7" for answer in answers]
        if i >= 290:  # one slip
            rewards[0] = not rewards[0]
        pool.append(problem(f"{'coin' if coin else 'right'}{i}", "7", answers, rewards=rewards))
    found = sorted(unfollowed_rewards(pool), key=lambda finding: -finding.score)
    assert all(finding.problem_id.startswith("coin") for finding in found[:28])
    assert not [finding for finding in found if finding.problem_id.startswith("right")]


def test_rewards_without_a_value_and_answers_that_were_not_read_do_not_count() -> None:
    pool = [
        problem("none", "7", ["7", "7"], rewards=[True, None]),
        problem("unread", "7", [None, None], rewards=[True, False]),
    ]
    assert unfollowed_rewards(pool) == []


# --- copies

STORY = "Ann has 3 red apples and buys 4 more at the market on Monday. How many has she now?"


def test_copies_with_other_golds() -> None:
    pool = [
        problem("a", "7", [], question=STORY),
        problem("b", "12", [], question=STORY.replace("apples and", "apples, and")),
        problem("same", "7", [], question=STORY.replace("Monday. ", "Monday, ")),
        problem("numbers", "8", [], question=STORY.replace("4", "5")),
        problem("asks", "1", [], question=STORY.replace("red", "green")),
    ]
    found = conflicting_copies(pool)
    assert {finding.problem_id for finding in found} == {"a", "b", "same"}
    assert len({finding.group for finding in found}) == 1


def test_the_models_answers_decide_about_other_words() -> None:
    other = STORY.replace("market", "shop")
    same = [
        problem("a", "7", ["7"] * 8, question=STORY),
        problem("b", "12", ["7"] * 8, question=other),
    ]
    assert [finding.score < 0.5 for finding in conflicting_copies(same)] == [True, True]
    different = [same[0], problem("b", "12", ["12"] * 8, question=other)]
    assert conflicting_copies(different) == []
    solved = [same[0], problem("b", "12", ["12"] * 8, question=STORY.replace(",", ""))]
    assert conflicting_copies(solved) == []


def test_options_are_compared_by_their_texts() -> None:
    ask = "Which of these four numbers is prime and even? {}"
    one = problem("a", "A", [], question=ask.format("(A) 2 (B) 4 (C) 6 (D) 9"))
    swapped = problem("b", "B", [], question=ask.format("(A) 4 (B) 2 (C) 6 (D) 9"))
    wrong = problem("c", "B", [], question=ask.format("(A) 2 (B) 4 (C) 6 (D) 9") + " ")
    assert conflicting_copies([one, swapped]) == []
    assert len(conflicting_copies([one, wrong])) == 2


def test_exact_copies_that_left_the_pool() -> None:
    row = {"problem_id": "b", "reason": "conflicting_answer", "detail": "of a: '8', not '7'"}
    found = conflicting_copies([problem("a", "7", [])], [row])
    assert [(finding.problem_id, finding.score) for finding in found] == [("a", 1.0), ("b", 1.0)]


def test_pairs_are_those_of_a_plain_loop() -> None:
    rng = random.Random(3)
    words = [chr(97 + i) + chr(97 + j) for i in range(7) for j in range(6)]
    texts = []
    for _ in range(60):
        text = [rng.choice(words) for _ in range(30)]
        texts.append(" ".join(text))
        text[rng.randrange(30)] = "changed"
        texts.append(" ".join(text))

    def shingles(text: str) -> set[str]:
        parts = text.split()
        return {" ".join(parts[i : i + 3]) for i in range(len(parts) - 2)}

    expected = set()
    for i, one in enumerate(texts):
        for j in range(i + 1, len(texts)):
            a, b = shingles(one), shingles(texts[j])
            if len(a & b) / len(a | b) >= 0.6:
                expected.add((i, j))
    found = {(pair.first, pair.second) for pair in similar_pairs(texts, least=0.6)}
    assert len(expected) >= 60
    assert found <= expected
    assert len(found) >= 0.95 * len(expected)


# --- unparsed, no-signal-kind, gold-unaccepted


def test_lost_rollouts() -> None:
    pool = [
        problem("all", "7", [None] * 8, truncated=8),
        problem("half", "7", [None] * 4 + ["7"] * 4),
        problem("few", "7", [None] * 2 + ["7"] * 6),
        problem("cut", "7", ["3"] * 8, truncated=8),  # what was read is no final answer
        problem("long but right", "7", ["7"] * 8, truncated=8),
    ]
    found = {finding.problem_id: finding.score for finding in unparsed(pool)}
    assert set(found) == {"all", "half", "cut"}
    assert found["all"] > 0.99
    assert found["half"] == pytest.approx(0.5)


def test_kinds_without_a_signal() -> None:
    pool = [problem(f"h{i}", "7", ["1"] * 4, source="hard") for i in range(40)]
    pool += [problem(f"e{i}", "7", ["7"] * 4, source="mixed", difficulty="1") for i in range(12)]
    pool += [problem(f"m{i}", "7", ["7", "1"], source="mixed", difficulty="2") for i in range(12)]
    pool += [problem(f"t{i}", "7", ["1"] * 4, source="tiny") for i in range(9)]
    found = kinds_without_signal(pool)
    assert {finding.group for finding in found} == {"hard", "mixed, 1"}
    assert len(found) == 52
    (hard,) = {finding.score for finding in found if finding.group == "hard"}
    assert 1 - hard == pytest.approx(0.0606, abs=0.001)  # Jeffreys: Beta(0.5, 40.5) at 0.975


def test_golds_that_are_not_accepted() -> None:
    rows = [
        {"problem_id": "a", "reason": "unparsed_gold", "detail": ""},
        {"problem_id": "b", "reason": "duplicate", "detail": "of a"},
        {"problem_id": "c", "reason": "rejected_gold", "detail": "read as '3'"},
    ]
    assert [finding.problem_id for finding in unaccepted_golds(rows, {})] == ["c", "a"]
