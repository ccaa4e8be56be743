"""One answer column holds one gold or several, and gives back what was put in."""

import pytest

from learnalign.tables import gold_text, golds


@pytest.mark.parametrize(
    "texts",
    [["3"], ["3", "three"], ["any of us"], ['any of ["a"]'], ['any of ["a"]', "b"], ["any of [x]"]],
)
def test_golds_come_back_as_they_were_put_in(texts: list[str]) -> None:
    assert golds(gold_text(texts)) == texts


def test_one_gold_is_kept_as_it_stands() -> None:
    assert gold_text(["[0, 1]"]) == "[0, 1]"
    assert golds("any of [1, 2]") == ["any of [1, 2]"]
