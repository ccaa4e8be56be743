"""More of the page in a real browser: served, audited, trained, dark, on a phone, by keyboard."""

import dataclasses
import json
import shlex
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from helpers.driver import chromium
from helpers.explored_page import console, counted, find, opened, until, write
from helpers.run_folder import write_audit, write_run, write_training
from helpers.synthetic_run import synthetic_run
from learnalign.exploring.server import PageServer
from learnalign.exploring.subsets import save_subset
from learnalign.problems.subsets import read_subset
from learnalign.reporting.report import ReportData
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore import explore

QUIET = Progress("none")
COUNT = 48
EVIDENCE = "7 of 8 rollouts answer <b>15</b>; the gold is 16"


CODE = r"""def f(s):
    return re.sub(r"\[(.*?)\]|\((x_1)\)", "$s$", s)"""
FENCED = f"It costs $5. ```python\n{CODE}\n``` In `\\(x_1\\)` the answer is \\(x_2\\)."


def with_texts(data: ReportData) -> ReportData:
    """Make one problem's texts code; give others a fenced program and long texts as rollouts."""
    problems, rollouts = data.problems.to_pylist(), data.rollouts.to_pylist()
    for row in problems:
        if row["problem_id"] == "greatest-0002":
            row |= {"prompt": CODE, "answer": '["assert f(\\"a\\") == 2"]'}
    for row in rollouts:
        if row["problem_id"] in ("greatest-0002", "addition-0006"):
            row["completion"] = FENCED
        if row["problem_id"] == "product-0007":
            row["completion"] = f"first {'x' * 7222} last!"
    return dataclasses.replace(
        data,
        problems=pa.Table.from_pylist(problems, data.problems.schema),
        rollouts=pa.Table.from_pylist(rollouts, data.rollouts.schema),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("states")
    run = write_run(folder / "run", with_texts(synthetic_run(num_problems=COUNT, budget=10)))
    found = (("wrong-gold", "addition-0003"), ("copies", "product-0004"))
    rows = [{"kind": k, "problem_id": n, "score": 0.9, "evidence": EVIDENCE} for k, n in found]
    write_audit(run, rows)
    met = {"addition-0003": {0: [1, 0], 5: [1, 1]}, "product-0001": {2: [0, 0]}}
    again = write_training(folder / "again", {"addition-0003": {1: [0, 0]}})
    return [run, write_training(folder / "trained", met), again]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("downloads")) as opened_browser:
        yield opened_browser


@pytest.fixture(scope="module")
def server(runs: list[Path]) -> Iterator[PageServer]:
    done = explore(runs, served=True, progress=QUIET)
    with PageServer(done.path, partial(save_subset, done.runs)) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def narrowed(page: Chrome, key: str, value: str) -> None:
    """Tick a name in a filter."""
    box = page.find_element(
        By.XPATH, f"//*[@data-key='{key}']//label[span[text()='{value}']]/input"
    )
    page.execute_script("arguments[0].closest('details').open = true", box)
    box.click()


def test_a_served_page_saves_into_the_run(browser: Chrome, server: PageServer, runs) -> None:
    page = opened(browser, server.address)
    assert counted(page) == COUNT
    narrowed(page, "source", "product")
    until(lambda: counted(page) == COUNT // 3)
    write(page, "#subset-name", "products")
    find(page, "#save").click()
    until(lambda: "16 ids saved" in find(page, "#save-note").text)
    saved = read_subset(runs[0] / "subsets" / "products.json")
    assert saved.made == "by hand"
    assert saved.view == "n.source=product"
    assert saved.problem_ids == [f"product-{i:04d}" for i in range(1, COUNT, 3)]
    # Another subset does not replace it, and the page says so.
    find(page, "#reset").click()
    until(lambda: counted(page) == COUNT)
    find(page, "#save").click()
    until(lambda: "choose another name" in find(page, "#save-note").text)
    assert read_subset(runs[0] / "subsets" / "products.json") == saved


def test_without_the_token_a_page_neither_opens_nor_saves(
    browser: Chrome, server: PageServer, runs: list[Path]
) -> None:
    body = {"kind": "learnalign subset", "name": "stolen", "problem_ids": ["addition-0003"]}
    wrong = server.address.replace(server.token, "x" * len(server.token))
    browser.get(wrong)
    assert "use the whole address" in find(browser, "body").text
    # What a script on the same machine, of a page without the token, can do.
    status = browser.execute_async_script(
        "fetch('subsets', {method: 'POST', body: arguments[0]})"
        ".then((answer) => arguments[1](answer.status))",
        json.dumps(body),
    )
    assert status == 403
    request = urllib.request.Request(f"{wrong}subsets", json.dumps(body).encode(), method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    assert not (runs[0] / "subsets" / "stolen.json").exists()


def test_findings_of_an_audit_colour_filter_and_explain(browser: Chrome, server) -> None:
    console(browser)  # leaves what earlier tests provoked behind
    page = opened(browser, server.address)
    Select(find(page, "#colour")).select_by_value("audit")
    until(lambda: "no finding (46)" in find(page, "#legend").text)
    assert "wrong-gold (1)" in find(page, "#legend").text
    narrowed(page, "audit", "wrong-gold")
    until(lambda: counted(page) == 1)
    find(page, ".slick-row .slick-cell").click()
    until(lambda: page.find_elements(By.ID, "findings"))
    assert find(page, "#findings").text == f"wrong-gold {EVIDENCE}"
    assert console(page) == []


def test_a_trainings_history(browser: Chrome, server: PageServer) -> None:
    page = opened(browser, f"{server.address}#colour=met&problem=addition-0003")
    until(lambda: page.find_elements(By.ID, "history"))
    assert [one.text for one in page.find_elements(By.CSS_SELECTOR, "#history li")] == [
        "trained, step 1: success rate 0.5",
        "trained, step 6: success rate 1",
        "again, step 2: success rate 0",
    ]
    # Both legends give a training the same colour.
    swatch = "return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])"
    on_map = find(page, "#legend .swatch")
    in_chart = find(page, "#problem figure [class$=swatch] svg")
    assert "trained" in find(page, "#problem figure [class$=swatch]").text
    assert page.execute_script(swatch, on_map, "background-color") == page.execute_script(
        swatch, in_chart, "fill"
    )
    assert "never (46)" in find(page, "#legend").text
    narrowed(page, "met", "trained")
    until(lambda: counted(page) == 2)
    write(page, "#filter-met_0-least", "2")
    until(lambda: counted(page) == 1)
    assert find(page, ".slick-row .slick-cell").text == "product-0001"


def test_code_stays_as_it_is(browser: Chrome, server: PageServer) -> None:
    """The tests of a code problem are readable, and no regular expression becomes a formula."""
    text = "return document.querySelector(arguments[0]).textContent"
    for problem, formulas in (("greatest-0002", 0), ("addition-0006", 1)):
        page = opened(browser, f"{server.address}#problem={problem}")
        until(lambda: page.find_elements(By.CSS_SELECTOR, ".rollout"))  # noqa: B023
        assert page.find_elements(By.CSS_SELECTOR, ".rollout .text") == []  # until it is opened
        find(page, ".rollout summary").click()
        until(lambda: page.find_elements(By.CSS_SELECTOR, ".rollout .text"))  # noqa: B023
        assert len(page.find_elements(By.CSS_SELECTOR, ".rollout math")) == formulas
        said = page.execute_script(text, ".rollout .text")
        assert said.startswith(FENCED.removesuffix(r"\(x_2\)."))
        if not formulas:
            assert said == FENCED
            assert page.execute_script(text, "#prompt-text") == CODE
            assert find(page, "#gold").text == 'assert f("a") == 2'


def test_a_long_completion_says_what_is_left_out(browser: Chrome, server: PageServer) -> None:
    page = opened(browser, f"{server.address}#problem=product-0007")
    until(lambda: page.find_elements(By.CSS_SELECTOR, ".rollout"))
    assert "1,234 characters left out in the middle" in find(page, ".rollout summary").text
    find(page, ".rollout summary").click()
    until(lambda: page.find_elements(By.CSS_SELECTOR, ".rollout .text"))
    text = find(page, ".rollout .text").get_attribute("textContent")
    assert (text[:7], text[-7:], text.count("x")) == ("first x", "x last!", 7222 - 1234)


def test_a_server_that_has_ended_is_told(browser: Chrome, runs: list[Path]) -> None:
    done = explore(runs, served=True, progress=QUIET)
    with PageServer(done.path, dict) as ended:
        thread = threading.Thread(target=ended.serve_forever, daemon=True)
        thread.start()
        page = opened(browser, ended.address)
        ended.shutdown()
    thread.join()
    find(page, "#save").click()
    until(lambda: "Nothing was saved" in find(page, "#save-note").text)
    write(page, "#search", "sum")
    until(lambda: "cannot be read" in find(page, "#search-note").text)
    assert counted(page) == COUNT
    find(page, ".slick-row .slick-cell").click()
    until(lambda: page.find_elements(By.CSS_SELECTOR, "#problem [role=alert]"))
    assert "learnalign explore --serve" in find(page, "#problem [role=alert]").text
    assert find(page, "#problem-id").text == "addition-0000"


def test_a_pool_of_one_problem_opens(browser: Chrome, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", synthetic_run(num_problems=1, budget=1), shards=1)
    console(browser)
    page = opened(browser, explore([one], progress=QUIET).path.as_uri())
    assert counted(page) == 1
    until(lambda: "strip below the map" in find(page, "#map-note").text)
    assert console(page) == []


def test_the_command_after_saving_can_be_pasted(browser: Chrome, tmp_path: Path) -> None:
    run = write_run(tmp_path / "Ada's runs" / "$try", synthetic_run(num_problems=12, budget=3))
    page = opened(browser, explore([run], progress=QUIET).path.as_uri())
    find(page, "#save").click()
    until(lambda: "12 ids saved" in find(page, "#save-note").text)
    command = find(page, "#save-note").text.partition("saved. ")[2].partition(" (or as")[0]
    assert shlex.split(command) == [
        *("learnalign", "train", "MODEL", str(run)),
        *("--subset", "subset.json"),
    ]


def test_long_names_that_begin_alike_have_their_own_bars(browser: Chrome, tmp_path: Path) -> None:
    data = synthetic_run(num_problems=24, budget=6)
    ends = {"addition": "one", "product": "two", "greatest common divisor": "three"}
    rows = [
        row | {"source": f"problems of a collection, {ends[row['source']]}"}
        for row in data.scores.to_pylist()
    ]
    named = dataclasses.replace(data, scores=pa.Table.from_pylist(rows, data.scores.schema))
    run = write_run(tmp_path / "run", named)
    page = opened(browser, explore([run], progress=QUIET).path.as_uri())
    bars = page.find_element(By.XPATH, "//figure[figcaption='By source']")
    names = [one.text for one in bars.find_elements(By.CSS_SELECTOR, "[aria-label^=y-axis] text")]
    assert len(names) == 3
    assert all(any(name.endswith(end) for name in names) for end in ends.values())
    places = {
        one.get_attribute("y")
        for one in bars.find_elements(By.CSS_SELECTOR, "[aria-label=bar] rect")
    }
    assert len(places) == 6  # the pool's bars and, a little smaller, the subset's


def test_rewards_below_zero_are_counted_where_they_lie(browser: Chrome, tmp_path: Path) -> None:
    data = synthetic_run(num_problems=COUNT, budget=10)
    rows = [row | {"success_rate": 2 * row["success_rate"] - 1} for row in data.scores.to_pylist()]
    scores = pa.Table.from_pylist(rows, data.scores.schema)
    run = write_run(tmp_path / "run", dataclasses.replace(data, scores=scores))
    page = opened(browser, explore([run], progress=QUIET).path.as_uri())
    assert find(page, "#legend .ends").text.split() == ["-1", "1"]
    heights = page.execute_script(
        "return [...document.querySelectorAll('#subset-figures figure')[0]"
        ".querySelectorAll('[aria-label=rect]')[0].querySelectorAll('rect')]"
        ".map((bar) => Number(bar.getAttribute('height')))"
    )
    places = np.floor((np.array([row["success_rate"] for row in rows]) + 1) * 5 + 0.5).astype(int)
    expected = np.bincount(places, minlength=11) / COUNT
    assert len(heights) == 11
    assert np.allclose(np.array(heights) / sum(heights), expected, atol=0.01)


def test_dark_if_the_system_is(browser: Chrome, server: PageServer) -> None:
    for scheme, dark in (("dark", True), ("light", False)):
        preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
        page = opened(browser, server.address)
        assert find(page, "html").get_attribute("data-theme") == scheme
        colours = [
            page.execute_script(f"return getComputedStyle(document.body).{name}")
            for name in ("backgroundColor", "color")
        ]
        paper, ink = (sum(map(int, one[4:-1].split(","))) for one in colours)
        assert (paper < ink) == dark


def test_a_phone_reaches_everything(browser: Chrome, server: PageServer) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = opened(browser, server.address)
        assert find(page, "#map canvas").size["width"] == 390
        for name in ("layout", "colour", "search", "rule-a", "subset-name", "save", "table"):
            box = find(page, f"#{name}")
            page.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
            rect = box.rect
            assert rect["x"] >= 0, name
            assert 0 < rect["width"] <= 390 - rect["x"], name
        legend, canvas = (find(page, name).rect for name in ("#legend", "#map canvas"))
        assert legend["y"] + legend["height"] <= canvas["y"]
        find(page, ".slick-row .slick-cell").click()
        until(lambda: page.find_elements(By.ID, "prompt-text"))
        top = page.execute_script(
            "return document.getElementById('side').getBoundingClientRect().top"
        )
        assert -1 <= top < 400
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        size |= {"width": 1400, "height": 900, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_the_keyboard_alone(browser: Chrome, server: PageServer) -> None:
    page = opened(browser, server.address)
    keys = lambda *some: ActionChains(page).send_keys(*some).perform()  # noqa: E731
    page.execute_script("document.getElementById('search').focus()")
    keys("addition-0003")
    until(lambda: counted(page) == 1)
    # Enter in the table opens a problem; arrows change the tabs.
    find(page, ".slick-row .slick-cell").click()
    until(lambda: find(page, "#tab-problem").get_attribute("aria-selected") == "true")
    page.execute_script("document.getElementById('tab-problem').focus()")
    keys(Keys.ARROW_LEFT)
    until(lambda: find(page, "#tab-subset").get_attribute("aria-selected") == "true")
    # Escape ends the lasso.
    page.execute_script("document.getElementById('lasso').focus()")
    keys(Keys.ENTER)
    assert find(page, "#lasso").get_attribute("aria-pressed") == "true"
    keys(Keys.ESCAPE)
    assert find(page, "#lasso").get_attribute("aria-pressed") == "false"
    page.execute_script("document.getElementById('reset').focus()")
    keys(Keys.ENTER)
    until(lambda: counted(page) == COUNT)
