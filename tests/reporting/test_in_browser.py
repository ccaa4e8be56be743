"""The page in a real browser: every figure is drawn, and only our scripts run."""

import dataclasses
import re

import pytest

from helpers.browser import open_page, take_screenshot
from helpers.synthetic_run import synthetic_run
from learnalign.reporting.report import write_report


@pytest.mark.parametrize(
    "options", [{}, {"method": "random", "difficulty": False, "stability": False}], ids=str
)
def test_every_figure_is_drawn(tmp_path, options):
    path = tmp_path / "report.html"
    write_report(synthetic_run(num_problems=60, budget=12, **options), path)
    expected = len(re.findall(r'<div class="plot"', path.read_text()))
    page = open_page(path)
    assert page.console == []
    drawn = re.findall(r'data-figure="([^"]+)"[^>]*>\s*<div class="plot-container', page.dom)
    assert len(drawn) == expected
    assert page.dom.count('class="main-svg"') >= expected
    assert page.dom.count('class="points"') > 0


def test_text_of_a_model_does_not_run(tmp_path):
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    data = synthetic_run(num_problems=20, budget=4)
    data = dataclasses.replace(data, title=f"A run {evil}", command=evil)
    write_report(data, tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    assert page.console == []
    assert "<title>owned" not in page.dom
    # Even what is smuggled into the file afterwards is refused by the page's policy.
    text = (tmp_path / "report.html").read_text()
    (tmp_path / "smuggled.html").write_text(text.replace("<main>", f"<main>{evil}"))
    page = open_page(tmp_path / "smuggled.html")
    assert "<title>owned" not in page.dom
    assert any("Content Security Policy" in line for line in page.console)


def test_nothing_is_wider_than_a_phone(tmp_path):
    path = tmp_path / "report.html"
    write_report(synthetic_run(num_problems=60, budget=12), path)
    picture = tmp_path / "phone.png"
    take_screenshot(path, picture, width=500, height=900)
    assert picture.read_bytes().startswith(b"\x89PNG")
    widths = [
        int(width)
        for width in re.findall(
            r'<svg class="main-svg"[^>]* width="(\d+)', open_page(path, width=500).dom
        )
    ]
    assert widths
    assert max(widths) <= 500
