"""Verdicts of real verifiers in real processes: all six kinds, hangs, deaths, functions."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.hang import HANG
from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError
from learnalign.tables import PROBLEMS, ROLLOUTS
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.processes import WorkerProcess
from learnalign.verifying.verifier import Verifier, open_verifier


def _tables(groups: list[tuple[dict[str, Any], list[str]]]) -> tuple[pa.Table, pa.Table]:
    problems, rollouts = [], []
    for number, (row, completions) in enumerate(groups):
        name = f"p{number}"
        message = [{"role": "user", "content": "?"}]
        problems.append(
            {"problem_id": name, "answer": row.get("answer"), "row": json.dumps(row)}
            | {"prompt": "text ?", "messages": message, "prompt_ids": [1]}
        )
        for sample, text in enumerate(completions):
            rollouts.append(
                {"problem_id": name, "sample": sample, "completion": text, "token_ids": [sample]}
            )
    return (
        pa.Table.from_pylist(problems, schema=PROBLEMS),
        pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
    )


#: Verifiers that have a name are opened once, by their options.
OPENED: dict[str, Verifier] = {}


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.popitem()[1].close()


def _verdicts(
    kind: str, groups: list[tuple[dict[str, Any], list[str]]], **options: Any
) -> pa.Table:
    problems, rollouts = _tables(groups)
    config = VerifierConfig(kind=kind, workers=2, **options)
    if ":" in kind:  # each test has a module of its own
        with open_verifier(config) as verifier:
            table = verifier.verify(problems, rollouts)
    else:
        opened = OPENED.setdefault(config.model_dump_json(), Verifier(config))
        table = opened.verify(problems, rollouts)
    assert table.select(["problem_id", "sample"]).equals(rollouts.select(["problem_id", "sample"]))
    return table


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        (r"\frac{1}{2}", r"thus $\boxed{0.5}$", "correct"),
        ("1/2", r"\boxed{\frac{2}{4}}", "correct"),
        ("27", "The answer is 27.", "correct"),
        ("27", r"\boxed{28}", "wrong"),
        ("1200", r"\boxed{1,200}", "correct"),
        (r"x \in [1,2)", r"\boxed{[1,2)}", "correct"),
        ("(3, 4)", r"\boxed{(3,4)}", "correct"),
        ("(3, 4)", r"\boxed{(4,3)}", "wrong"),
        (r"The area is $\boxed{12}$.", r"\boxed{12}", "correct"),
        ("4", "", "unparsed_answer"),
        ("4", "I do not know", "unparsed_answer"),
    ],
)
def test_math(gold: str, completion: str, verdict: str) -> None:
    assert _verdicts("math", [({"answer": gold}, [completion])])["verdict"].to_pylist() == [verdict]


def test_math_hang_costs_one_answer() -> None:
    texts = [
        r"\boxed{4}",
        rf"\boxed{{{HANG}}}",
        r"\boxed{5}",
        rf"\boxed{{{HANG} + 1}}",
        r"\boxed{4}",
    ]
    table = _verdicts("math", [({"answer": "4"}, texts), ({"answer": "5"}, texts[:1])], timeout_s=2)
    expected = ["correct", "timed_out", "wrong", "timed_out", "correct", "wrong"]
    assert table["verdict"].to_pylist() == expected
    assert table["reward"].to_pylist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_unparsed_gold_has_no_reward() -> None:
    table = _verdicts("number", [({"answer": "many"}, ["3", "4"]), ({"answer": "3"}, ["3"])])
    assert table["verdict"].to_pylist() == ["unparsed_gold", "unparsed_gold", "correct"]
    assert table["reward"].to_pylist() == [None, None, 1.0]


@pytest.mark.parametrize("gold", [HANG, rf"\boxed{{{HANG}}}", "9^{9^{9^9}} + 1!", "100000000!"])
def test_gold_that_hangs_is_no_success_rate_of_zero(gold: str) -> None:
    groups = [({"answer": gold}, ["3", "4"]), ({"answer": "4"}, ["4"])]
    table = _verdicts("math", groups, timeout_s=2)
    assert table["verdict"].to_pylist() == ["unparsed_gold", "unparsed_gold", "correct"]
    assert table["reward"].to_pylist() == [None, None, 1.0]


@pytest.mark.parametrize(
    ("kind", "gold", "completion", "verdict"),
    [
        ("text", "red  car", "<answer>red car</answer>", "correct"),
        ("text", "red car", " red car\n", "correct"),
        ("text", "red car", "Red car", "wrong"),
        ("text", "red car", "  ", "unparsed_answer"),
        ("choice", "B", r"\boxed{B}", "correct"),
        ("choice", "(B)", r"So \boxed{\text{(B)}}", "correct"),
        ("choice", "B", "**Answer: B**", "correct"),
        ("choice", "B", "The answer is (C), not B.", "wrong"),
        ("choice", "C", "A good guess would be C", "correct"),
        ("choice", "A", "A", "correct"),
        ("choice", "D", "no letter here", "unparsed_answer"),
        ("choice", "the cat", "B", "unparsed_gold"),
        ("number", "10", " 10", "correct"),
        ("number", "10", "6 + 4 = 10.0", "correct"),
        ("number", "-4", "5-9 is -4.", "correct"),
        ("number", "4", "5-4", "correct"),
        ("number", "0.5", r"\boxed{\frac{1}{2}}", "correct"),
        ("number", "1200", "$1,200", "correct"),
        ("number", "9 (apples)", "9", "correct"),
        ("number", "10", "11", "wrong"),
        ("number", "10", "1e99999999999", "unparsed_answer"),
        ("number", "10", "ten", "unparsed_answer"),
    ],
)
def test_simple_kinds(kind: str, gold: str, completion: str, verdict: str) -> None:
    assert _verdicts(kind, [({"answer": gold}, [completion])])["verdict"].to_pylist() == [verdict]


def test_auto_uses_the_generators_own_scorer_and_recorded_rewards() -> None:
    import reasoning_gym

    entry = reasoning_gym.create_dataset("chain_sum", size=1, seed=1)[0]
    problems, rollouts = _tables(
        [(entry, [" -4", "about -4", ""]), ({"answer": "7"}, ["7", "no", "no"])]
    )
    recorded = pa.array([None] * 4 + [0.25, 1.0], pa.float64())
    place = rollouts.schema.get_field_index("recorded_reward")
    rollouts = rollouts.set_column(place, "recorded_reward", recorded)
    with open_verifier(VerifierConfig(workers=1)) as verifier:
        table = verifier.verify(problems, rollouts)
    expected = ["correct", "wrong", "unparsed_answer", "correct", "wrong", "correct"]
    assert table["verdict"].to_pylist() == expected
    rewards = table["reward"].to_pylist()
    assert rewards[0] == 1.0
    assert 0.0 < rewards[1] < 1.0
    assert rewards[3:] == [1.0, 0.25, 1.0]


FUNCTIONS = """
    import asyncio, os, time

    def lengths(prompts, completions, completion_ids, answer, **kwargs):
        print("noise on the output")
        assert prompts == ["text ?"] * len(completions)
        return [len(c) / 10 if c != "none" else None for c in completions]

    async def chat(completions, prompt_column=None, **kwargs):
        await asyncio.sleep(0)
        return [float(c[0]["content"] == "yes") for c in completions]

    def hangs(completions, **kwargs):
        time.sleep(60)

    def dies(completions, **kwargs):
        os._exit(3)

    def short(completions, **kwargs):
        return [1.0]

    def raises(completions, **kwargs):
        raise KeyError("x")
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_rewards.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_rewards"


def test_function_with_trls_signature(functions: str) -> None:
    table = _verdicts(f"{functions}:lengths", [({"answer": "1"}, ["none", "ninechars", "abc"])])
    assert table["reward"].to_pylist() == [None, 0.9, 0.3]
    assert table["verdict"].to_pylist() == ["error", "correct", "wrong"]


def test_async_function_on_conversations(functions: str) -> None:
    row = {"prompt": [{"role": "user", "content": "?"}], "answer": "yes"}
    table = _verdicts(f"{functions}:chat", [(row, ["yes", "no"])])
    assert table["reward"].to_pylist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "verdict", "detail"),
    [
        ("hangs", "timed_out", "no judgement"),
        ("dies", "error", "code 3"),
        ("short", "error", "not a list of 2 rewards"),
        ("raises", "error", "KeyError"),
    ],
)
def test_function_that_fails(functions: str, name: str, verdict: str, detail: str) -> None:
    table = _verdicts(f"{functions}:{name}", [({"answer": "1"}, ["a", "b"])], timeout_s=0.5)
    assert table["verdict"].to_pylist() == [verdict] * 2
    assert all(detail in text for text in table["detail"].to_pylist())


def _says_none(folder: Path) -> str:
    (folder / "none_then.py").write_text(
        "def f(completions, **_): return [None if text == 'a' else 1.0 for text in completions]"
    )
    return "none_then:f"


def test_function_that_fails_on_all_of_the_first_problems_ends_the_run(functions: str) -> None:
    groups: list[tuple[dict[str, Any], list[str]]] = [({"answer": "1"}, ["a", "b"])] * 20
    with pytest.raises(
        LearnAlignError, match=r"'my_rewards:raises' returned no reward: KeyError: 'x'"
    ):
        _verdicts(f"{functions}:raises", groups)


def test_function_that_fails_on_all_there_are_is_told(functions: str) -> None:
    problems, rollouts = _tables([({"answer": "1"}, ["a", "b"])] * 2)
    with open_verifier(VerifierConfig(kind=f"{functions}:raises", workers=1)) as verifier:
        verifier.require_works()
        assert verifier.verify(problems, rollouts)["verdict"].to_pylist() == ["error"] * 4
        with pytest.raises(LearnAlignError, match="KeyError"):
            verifier.require_works()


def test_function_that_fails_once_it_has_worked(functions: str) -> None:
    """In a selection those problems leave the pool; a training would go on learning nothing."""
    (Path("sometimes.py")).write_text(
        "def f(completions, answer, **_): return [1 / int(answer[0])] * len(completions)"
    )
    problems, rollouts = _tables(
        [({"answer": "1"}, ["a", "b"]), *[({"answer": "0"}, ["a", "b"])] * 12]
    )
    with open_verifier(VerifierConfig(kind="sometimes:f", workers=1)) as verifier:
        table = verifier.verify(problems, rollouts)
        assert table["verdict"].to_pylist() == ["correct"] * 2 + ["error"] * 24
        verifier.require_works()
        with pytest.raises(LearnAlignError, match="ZeroDivisionError"):
            verifier.require_works(always=True)


def test_none_is_no_failure_of_a_function(functions: str, tmp_path: Path) -> None:
    kind = _says_none(tmp_path)
    table = _verdicts(kind, [({"answer": "1"}, ["a", "a"])] * 20 + [({"answer": "1"}, ["b", "a"])])
    assert table["reward"].to_pylist() == [None] * 40 + [1.0, None]
    # But a training by one that never says anything else trains nothing.
    problems, rollouts = _tables([({"answer": "1"}, ["a"])] * 64)
    with open_verifier(VerifierConfig(kind=kind, workers=1)) as verifier:
        verifier.verify(problems, rollouts)
        verifier.require_works()
        with pytest.raises(LearnAlignError, match="returned None"):
            verifier.require_works(always=True)


def test_function_that_is_not_there(functions: str) -> None:
    for kind, message in [
        (f"{functions}:length", "nearest is 'lengths'"),
        ("no_such_module:f", "cannot import"),
    ]:
        with (
            pytest.raises(LearnAlignError, match=message),
            open_verifier(VerifierConfig(kind=kind)),
        ):
            pass


def test_unfinished_thinking_is_asked_for_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, judge = [], WorkerProcess.judge

    def noted(self: WorkerProcess, request: Mapping[str, Any]) -> list[Judgement]:
        asked.append(request["unfinished_thinking"])
        return judge(self, request)

    monkeypatch.setattr(WorkerProcess, "judge", noted)
    _verdicts("number", [({"answer": "4"}, ["4"])])
    _verdicts("number", [({"answer": "4"}, ["4"])], unfinished_thinking=True)
    assert asked == [False, True]
