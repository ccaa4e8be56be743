"""Text that passes the guard runs nothing, however it is evaluated; real answers pass."""

import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sympy import parse_expr

from learnalign.problems.gym import gym_rows
from learnalign.verifying.evaluation_guard import is_plain_value
from learnalign.verifying.judges.reasoning_gym import _EVALUATED, judge, parse_gold
from learnalign.verifying.question import Question

MARK = "MARK"
HOSTILE = [
    "__import__('os').mkdir('MARK')",
    "[__import__('os').mkdir('MARK')]",
    '1 + __import__("os").mkdir("MARK")',
    "\uff3f\uff3fimport\uff3f\uff3f('os').mkdir('MARK')",
    "(lambda: open('MARK', 'w'))()",
    "[open][0]('MARK', 'w')",
    "open (chr(77)+chr(65)+chr(82)+chr(75), chr(119))",
    "{open}.pop()(str(bytes([77,65,82,75]),chr(117)+chr(56)), chr(119))",
    "max(['MARK'], key=lambda p: open(p, 'w'))",
    "sqrt(2) + __import__('os').mkdir('MARK')",
    'f\'{open("MARK", "w")}\'',
    "x.__class__",
    "breakpoint()",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "sin . func",
    "exec\n(1)",
    'sympify(\'__import__("os").mkdir("MARK")\')',
    "3! + open('MARK','w').close()",
]
PLAIN = [
    "12",
    "[1, 2, 3]",
    "[['Q', '_'], ['_', 'Q']]",
    "1 2 3",
    "0 1\n1 0",
    "2*x**2 + 3*x - 5/7 + C",
    "sin(x)*cos(2*x)/3 + log(x + 1)",
    "(1 + 2)*(3 - 4)",
    "-0.5*X**2",
    "5! / 4",
    "((0x1f + 0xa) << 2)",
]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_refused(text: str) -> None:
    assert not is_plain_value(text)


@pytest.mark.parametrize("text", PLAIN)
def test_answers_pass(text: str) -> None:
    assert is_plain_value(text)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record what an evaluation opens, imports or starts."""
    seen: list[str] = []
    active = [True]
    dangerous = ("open", "os.", "subprocess", "socket", "ctypes", "shutil")

    def hook(event: str, arguments: object) -> None:
        if active[0] and event.startswith(dangerous):
            seen.append(event)

    sys.addaudithook(hook)
    yield seen
    active[0] = False


def _evaluated(text: str) -> None:
    for evaluate in (eval, parse_expr):
        try:
            evaluate(text)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise


def test_the_hook_sees_what_hostile_text_does(elsewhere: Path, watched: list[str]) -> None:
    _evaluated(HOSTILE[0])
    assert (elsewhere / MARK).exists()
    assert "os.mkdir" in watched


def test_what_passes_runs_nothing(elsewhere: Path, watched: list[str]) -> None:
    """Pieces of hostile text, joined in every order: whatever passes does nothing."""
    parse_expr("sin(1)")  # its imports are not the texts'
    pieces = ["open", "(", ")", "'MARK'", ".", "pop", "[", "]", "x", "sin", " ", "!", ",", "__"]
    watched.clear()
    names = set(vars(builtins)) - {"input", "breakpoint", "exit", "quit", "help", "license"}
    texts = [f"{name}{after}" for name in sorted(names) for after in ("", "(1)", " (1)", "\n(1)")]
    texts += ["".join((a, b, c, d)) for a in pieces for b in pieces for c in pieces for d in pieces]
    passed = [text for text in texts if is_plain_value(text)]
    assert len(passed) > 1_000
    for text in passed:
        try:
            compiled = compile(text, "", "eval")
        except (SyntaxError, ValueError):
            continue
        if watched:
            break
        try:
            eval(compiled)
        except Exception:
            continue
    assert watched == []
    assert not (elsewhere / MARK).exists()


#: Generators of modules that evaluate text, but not in a scorer: on making a problem, or by a
#: parser of their own.
_ON_GENERATION = {"basic_arithmetic", "bf", "codeio", "gsm_symbolic", "propositional_logic"}


def test_no_other_scorer_evaluates_text() -> None:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    assert reasoning_gym
    evaluating = set()
    for name, (dataset, _) in DATASETS.items():
        source = Path(inspect.getfile(dataset)).read_text(encoding="utf-8")
        if re.search(r"(?<![\w.])(?:eval|exec|sympify)\(|\bparse_expr\(", source):
            evaluating.add(name)
    assert evaluating - _ON_GENERATION == _EVALUATED


@pytest.mark.parametrize("name", sorted(_EVALUATED))
def test_a_row_or_an_answer_with_code_is_not_scored(name: str, elsewhere: Path) -> None:
    (row,) = gym_rows(f"reasoning-gym:{name}?size=1&seed=3")
    entry = parse_gold(row["answer"], Question((row["answer"],), row=row))
    assert entry is not None
    for text in HOSTILE[:6]:
        assert judge(entry, f"<answer>{text}</answer>").verdict == "unparsed_answer"
        for key in ("integrand", "problem"):
            evil = {**row, "metadata": {**row["metadata"], key: text}}
            assert parse_gold(row["answer"], Question((row["answer"],), row=evil)) is None
        assert parse_gold(text, Question((text,), row={**row, "answer": text})) is None
    assert not (elsewhere / MARK).exists()
