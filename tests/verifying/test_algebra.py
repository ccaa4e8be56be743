r"""The parser of expressions is imported when a text needs it, outside of any answer's time."""

import subprocess
import sys

import pytest

from learnalign.verifying.answers import algebra

#: Judges plain numbers, then an expression, as a worker does; says when sympy is there.
CODE = r"""
import sys
from learnalign.verifying.worker import _texts, judgements, verifier

for gold, completions in (
    ("12", ["That makes 12.", "#### 12", "13, I think", "no idea", "$12", "12 apples"]),
    ("2", [r"\boxed{\sqrt{4}}"]),
):
    request = {"task": "judge", "kind": "number", "golds": [gold], "row": {}}
    request["completions"] = completions
    verifier("number").load_for(_texts(request))
    imported = "sympy" in sys.modules
    print(imported, *(judgement and judgement.verdict for judgement in judgements(request)))
    print("sympy" in sys.modules)
"""


def test_plain_numbers_do_without_it() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    plain = "None correct correct wrong unparsed_answer correct correct"
    said = [f"False {plain}", "False", "True None correct", "True"]
    assert done.stdout.splitlines() == said, done.stderr


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        *((text, False) for text in ("12", "-1,234.5", "So 7 apples.", "$3.20", "45 %", "ten", "")),
        *((text, True) for text in (r"\frac12", "2(3+4)", "3x", "5!", "√2", "2 pi", "1/3", "x2")),
    ],
)
def test_which_texts_may_hold_an_expression(
    text: str, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(algebra, "_parser", lambda: asked.append(True))
    algebra.load_for(["7", text])
    assert asked == [True] * needed


@pytest.mark.parametrize("place", ["golds", "completions"])
def test_what_hides_in_any_part_of_a_request(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from learnalign.verifying.worker import _texts

    plain = {"golds": ["1"], "completions": ["2"]}
    assert r"\pi" in list(_texts(plain | {place: [r"\pi"]}))
    assert r"\pi" in list(_texts({"problems": [plain, {"golds": [r"\pi"]}]}))
