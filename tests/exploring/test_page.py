"""The page in a real browser: each control as a person uses it, compared with the tables."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from helpers.driver import chromium
from helpers.explored_page import console, counted, find, opened, until, write
from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.exploring.pool import Pool
from learnalign.problems.subsets import read_subset
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore import explore
from learnalign.workflows.explored_pool import read_pool

QUIET = Progress("none")
COUNT = 160


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    made = write_run(folder / "run", synthetic_run(num_problems=COUNT, budget=30))
    write_run(folder / "later", synthetic_run(num_problems=COUNT, budget=30, seed=1), seed=1)
    return made


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Chrome]:
    with chromium(downloads) as opened:
        yield opened


@pytest.fixture(scope="module")
def pool(run: Path) -> Pool:
    return read_pool([run, run.parent / "later"], with_umap=False, progress=QUIET)


@pytest.fixture(scope="module")
def address(run: Path) -> str:
    done = explore([run, run.parent / "later"], progress=QUIET)
    assert not done.is_folder
    return done.path.as_uri()


@pytest.fixture
def page(browser: Chrome, address: str) -> Chrome:
    return opened(browser, address)


def values(pool: Pool, key: str, run: int = 0) -> np.ndarray:
    return {field.key: field.values for field in pool.runs[run].fields}[key]


def saved(page: Chrome, downloads: Path, name: str) -> list[str]:
    """Save the subset as a person does; return its ids."""
    write(page, "#subset-name", name)
    find(page, "#save").click()
    path = downloads / f"{name}.json"
    until(lambda: path.is_file())
    subset = read_subset(path)
    assert subset.made == "by hand"
    return subset.problem_ids


def test_it_opens_with_every_problem_and_says_nothing(page: Chrome, pool: Pool) -> None:
    assert counted(page) == COUNT == len(pool.ids)
    assert console(page) == []
    assert find(page, "#map canvas").size["width"] > 300
    about = f"run: policy {pool.runs[0].model}, 30 problems chosen by {pool.runs[0].method}"
    assert find(page, "#about-runs").text == about
    first = find(page, ".slick-row .slick-cell").text
    assert first == pool.ids[0]


def test_statistics_are_those_of_the_tables(page: Chrome, pool: Pool) -> None:
    write(page, "#filter-success_rate-least", "0.5")
    rates = values(pool, "success_rate")
    inside = rates >= 0.5
    until(lambda: counted(page) == inside.sum())
    rows = page.execute_script(
        "return [...document.querySelectorAll('#statistics tbody tr')]"
        ".map(row => [row.dataset.key, ...[...row.querySelectorAll('td')].map(c => c.textContent)])"
    )
    shown = {key: (own, whole) for key, own, whole in rows}
    assert shown["count"] == (str(inside.sum()), str(COUNT))
    for key in ("success_rate", "learnability", "alignment", "mean_response_tokens"):
        own, whole = (float(text.replace(",", "")) for text in shown[key])
        assert own == pytest.approx(values(pool, key)[inside].mean(), rel=1e-3)
        assert whole == pytest.approx(values(pool, key).mean(), rel=1e-3)
    signal = values(pool, "learnability") > 0
    assert shown["signal"] == tuple(
        f"{round(100 * share)} %" for share in (signal[inside].mean(), signal.mean())
    )


def test_filters_add_up_and_are_saved(page: Chrome, pool: Pool, downloads: Path) -> None:
    write(page, "#filter-success_rate-least", "0.25")
    write(page, "#filter-success_rate-most", "0.75")
    box = find(page, "#filter-source-0")
    page.execute_script("arguments[0].closest('details').open = true", box)
    box.click()
    rates, sources = values(pool, "success_rate"), values(pool, "source")
    inside = (rates >= 0.25) & (rates <= 0.75) & (sources == 0)
    until(lambda: counted(page) == inside.sum())
    expected = [name for name, on in zip(pool.ids, inside, strict=True) if on]
    assert saved(page, downloads, "filtered") == expected
    find(page, "#reset").click()
    until(lambda: counted(page) == COUNT)


def test_words_are_found_in_prompts(page: Chrome, pool: Pool, run: Path) -> None:
    write(page, "#search", "GCD(")
    until(lambda: "with these words" in find(page, "#search-note").text)
    expected = sum("greatest" in name for name in pool.ids)
    assert counted(page) == expected
    write(page, "#search", "addition-0003")
    until(lambda: counted(page) == 1)
    write(page, "#search", "")
    until(lambda: counted(page) == COUNT)


def test_a_lasso_marks_what_lies_inside(page: Chrome, pool: Pool, downloads: Path) -> None:
    find(page, "#lasso").click()
    assert find(page, "#lasso").get_attribute("aria-pressed") == "true"
    drawing = find(page, "#lasso-drawing")
    moves = ActionChains(page, duration=20).move_to_element_with_offset(drawing, -300, -150)
    moves.click_and_hold()
    for x, y in ((300, 0), (0, 200), (-150, -30), (-150, 0)):
        moves.move_by_offset(x, y)
    moves.release().perform()
    until(lambda: counted(page) < COUNT)
    until(lambda: "lasso=" in page.current_url)
    key, *corners = parse_qs(page.current_url.partition("#")[2])["lasso"][0].split(";")
    polygon = np.array([[float(value) for value in corner.split(",")] for corner in corners])
    layout = next(one for one in pool.runs[0].layouts if one.key == key)
    inside = [name for name, at in zip(pool.ids, layout.points, strict=True) if within(polygon, at)]
    assert 0 < len(inside) < COUNT
    assert saved(page, downloads, "lassoed") == inside
    find(page, "#unlasso").click()
    until(lambda: counted(page) == COUNT)


def within(polygon: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point lies in a polygon, by the winding of the angles to its corners."""
    rays = polygon - point
    angles = np.arctan2(rays[:, 1], rays[:, 0])
    steps = np.diff(np.append(angles, angles[0]))
    return abs(((steps + np.pi) % (2 * np.pi) - np.pi).sum()) > np.pi


def test_two_rules_and_their_budget(page: Chrome, pool: Pool, downloads: Path) -> None:
    Select(find(page, "#rule-a")).select_by_visible_text("learnalign")
    Select(find(page, "#rule-b")).select_by_visible_text("learnability")
    for budget in (20, 45):
        write(page, "#budget-number", str(budget))
        one, two = (
            {pool.ids[i] for i in np.flatnonzero((ranks > 0) & (ranks <= budget))}
            for ranks in (pool.runs[0].ranks[name] for name in ("learnalign", "learnability"))
        )
        until(
            lambda one=one, two=two: f"Both take {len(one & two)};" in find(page, "#rule-note").text
        )
    assert f"only learnalign ({len(one - two)})" in find(page, "#legend").text
    box = find(page, "#filter-choice-1")
    page.execute_script("arguments[0].closest('details').open = true", box)
    box.click()
    until(lambda: counted(page) == len(one - two))
    assert set(saved(page, downloads, "only-learnalign")) == one - two
    budget = find(page, "#budget")
    budget.send_keys(Keys.ARROW_RIGHT)
    until(lambda: find(page, "#budget-number").get_attribute("value") == "46")


def test_two_runs_show_what_changed(page: Chrome, pool: Pool) -> None:
    Select(find(page, "#against")).select_by_visible_text("later")
    until(lambda: "change in success rate" in find(page, "#legend").text.lower())
    assert "; later: policy " in find(page, "#about-runs").text
    write(page, "#filter-change_success_rate-least", "0.25")
    change = values(pool, "success_rate", 1) - values(pool, "success_rate", 0)
    until(lambda: counted(page) == (change >= 0.25).sum())
    moved = page.find_element(By.XPATH, "//figure[figcaption='How the subset moved']")
    pairs = np.column_stack([values(pool, "success_rate", i)[change >= 0.25] for i in (0, 1)])
    until(lambda: len(moved.find_elements(By.TAG_NAME, "circle")) == len(np.unique(pairs, axis=0)))
    (diagonal,) = moved.find_elements(By.CSS_SELECTOR, "[aria-label=line] path")
    ends = np.array(re.findall(r"([\d.]+),([\d.]+)", diagonal.get_attribute("d")), dtype=float)
    assert len(ends) == 2
    assert ends[0][0] < ends[1][0]
    assert ends[0][1] > ends[1][1]  # pixels go down


def test_a_problem_shows_everything_about_it(page: Chrome, pool: Pool, run: Path) -> None:
    near = pool.runs[0].neighbours
    assert near is not None
    number = int(np.argmax((near.nearest >= 0).sum(axis=1) + (near.opposed >= 0).sum(axis=1)))
    write(page, "#search", pool.ids[number])
    until(lambda: counted(page) == 1)
    find(page, ".slick-row .slick-cell").click()
    until(lambda: page.find_elements(By.CSS_SELECTOR, "#problem-id"))
    assert find(page, "#problem-id").text == pool.ids[number]
    data = synthetic_run(num_problems=COUNT, budget=30)
    (problem,) = (r for r in data.problems.to_pylist() if r["problem_id"] == pool.ids[number])
    assert find(page, "#gold").text == problem["answer"]
    attempts = [r for r in data.verdicts.to_pylist() if r["problem_id"] == pool.ids[number]]
    marks = [one.text for one in page.find_elements(By.CSS_SELECTOR, ".rollout .verdict")]
    assert [mark.split(" ", 1)[1].replace(" ", "_") for mark in marks] == [
        one["verdict"] for one in attempts
    ]
    for kind, indices, cosines in (
        ("nearest", near.nearest, near.nearest_cosine),
        ("opposed", near.opposed, near.opposed_cosine),
    ):
        shown = [one.text for one in page.find_elements(By.CSS_SELECTOR, f"ol.{kind} button")]
        assert shown == [pool.ids[i] for i in indices[number] if i >= 0]
        if shown:
            assert f"cosine {cosines[number][0]:.3f}" in find(page, f"ol.{kind} li").text
    find(page, "ol.nearest button").click()
    until(lambda: find(page, "#problem-id").text == pool.ids[near.nearest[number][0]])


def test_the_table_sorts(page: Chrome, pool: Pool) -> None:
    header = next(
        one
        for one in page.find_elements(By.CSS_SELECTOR, ".slick-header-column")
        if one.get_attribute("textContent").startswith("score")
    )
    page.execute_script("arguments[0].scrollIntoView()", header)
    header.click()
    scores = values(pool, "score")
    least = pool.ids[int(np.lexsort((np.arange(COUNT), scores))[0])]
    until(lambda: find(page, ".slick-row[style*='(0px)'] .slick-cell, .slick-row .slick-cell"))
    until(lambda: "sort=score" in page.current_url)
    rows = page.execute_script(
        "return [...document.querySelectorAll('.slick-row')].sort((x, y) =>"
        " x.getBoundingClientRect().top - y.getBoundingClientRect().top)"
        ".map(row => row.querySelector('.slick-cell').textContent)"
    )
    assert rows[0] == least


def test_an_address_is_a_view(page: Chrome, address: str, pool: Pool) -> None:
    write(page, "#filter-success_rate-least", "0.5")
    Select(find(page, "#colour")).select_by_value("source")
    Select(find(page, "#layout")).select_by_value("text-pca")
    find(page, "#theme").click()
    until(lambda: "theme=dark" in page.current_url)
    view, count = page.current_url, counted(page)
    opened(page, view)
    assert counted(page) == count < COUNT
    assert find(page, "#colour").get_attribute("value") == "source"
    assert find(page, "#layout").get_attribute("value") == "text-pca"
    assert find(page, "html").get_attribute("data-theme") == "dark"
    assert page.current_url == view


def corners_of(page: Chrome) -> np.ndarray:
    """Where the lasso's corners are, in pixels of the map, (corners, 2)."""
    path = page.execute_script(
        "return document.querySelector('#lasso-drawing path').getAttribute('d')"
    )
    return np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), dtype=float)


def test_an_address_has_the_maps_place_and_the_tab(browser: Chrome, address: str) -> None:
    view = f"{address}#lasso=gradients-pca;0,0;0.5,0;0,0.5&problem=addition-0003"
    page = opened(browser, view)
    assert find(page, "#problem").is_displayed()
    whole = corners_of(page)
    canvas = find(page, "#map canvas")
    moves = ActionChains(page, duration=20).move_to_element_with_offset(canvas, -100, 40)
    moves.click_and_hold().move_by_offset(30, 20).move_by_offset(30, -60).release().perform()
    until(lambda: "at=" in page.current_url)
    moved = corners_of(page)
    assert np.allclose(moved - whole, [30, -60], atol=0.3)  # the first move begins the drag
    ActionChains(page).scroll_from_origin(ScrollOrigin.from_element(canvas), 0, -300).perform()
    until(lambda: np.ptp(corners_of(page)[:, 0]) > 1.2 * np.ptp(moved[:, 0]))
    find(page, "#tab-subset").click()
    until(lambda: "tab=subset" in page.current_url)
    time.sleep(0.3)  # the address is written a moment after the last change
    zoomed, shared = corners_of(page), page.current_url
    page = opened(browser, shared)
    assert np.allclose(corners_of(page), zoomed, atol=0.3)
    assert find(page, "#subset").is_displayed()
    assert not find(page, "#problem").is_displayed()
    assert page.current_url == shared
    find(page, "#fit").click()
    until(lambda: "at=" not in page.current_url)
    assert np.allclose(corners_of(page), whole, atol=0.3)


def test_the_legend_is_beside_the_map(page: Chrome) -> None:
    """It is not on the map, where it would cover points and the names of groups."""
    for colour in ("success_rate", "source", "group_gradients"):
        Select(find(page, "#colour")).select_by_value(colour)
        until(lambda: f"colour={colour}" in page.current_url or colour == "success_rate")  # noqa: B023
        legend, stage = (find(page, name).rect for name in ("#legend", "#map"))
        assert legend["y"] + legend["height"] <= stage["y"]


def test_a_place_off_the_map_is_the_whole_map(browser: Chrome, address: str) -> None:
    lasso = "lasso=gradients-pca;0,0;0.5,0;0,0.5"
    page = opened(browser, f"{address}#{lasso}")
    whole = corners_of(page)
    for place in ("1e9,0,0", "0,0,99", "a,b,c", "0,0", "NaN,0,0", "<b>,0,0"):
        page.execute_script("location.hash = arguments[0]", f"{lasso}&at=0.5,0.5,1&theme=dark")
        until(lambda: not np.allclose(corners_of(page), whole))
        assert find(page, "html").get_attribute("data-theme") == "dark"
        broken = f"{lasso}&at={place}&tab=save&theme=x{place}"
        page.execute_script("location.hash = arguments[0]", broken)
        until(lambda: np.allclose(corners_of(page), whole))
        assert find(page, "html").get_attribute("data-theme") == "light"
        assert find(page, "#subset").is_displayed()


@pytest.mark.parametrize(
    "fragment",
    [
        "run=9&map=no&colour=no&lasso=a;b;c&r.success_rate=x..y&problem=no&k=-1",
        "n.__proto__=a&n.constructor=b&r.toString=1..2&n.toString=c",
        "%",
    ],
)
def test_a_broken_address_shows_the_pool(browser: Chrome, address: str, fragment: str) -> None:
    page = opened(browser, f"{address}#{fragment}")
    assert counted(page) == COUNT
    assert console(page) == []


def test_a_name_that_the_run_does_not_have_matches_nothing(browser: Chrome, address: str) -> None:
    """Groups of another run stay in the address; problems without a group are not theirs."""
    page = opened(browser, f"{address}#n.group_gradients=of another run")
    assert counted(page) == 0
    box = page.find_element(By.XPATH, "//label[span[text()='of another run']]/input")
    assert box.is_selected()
    box.click()
    until(lambda: counted(page) == COUNT)


def test_the_keyboard_reaches_everything(page: Chrome) -> None:
    reached = set()
    find(page, "body").send_keys(Keys.TAB)
    for _ in range(60):
        active = page.switch_to.active_element
        reached.add(active.get_attribute("id") or active.get_attribute("class"))
        ActionChains(page).send_keys(Keys.TAB).perform()
    wanted = {"reset", "theme", "layout", "colour", "search", "rule-a", "rule-b", "lasso", "fit"}
    assert wanted | {"map", "tab-subset", "subset-name", "save"} <= reached


def test_every_control_has_a_name(page: Chrome) -> None:
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {
        "button",
        "combobox",
        "textbox",
        "searchbox",
        "checkbox",
        "slider",
        "spinbutton",
        "tab",
    }
    nameless = [
        node
        for node in tree
        if node.get("role", {}).get("value") in roles and not node.get("name", {}).get("value")
    ]
    assert nameless == []


@pytest.mark.parametrize("width", [390, 768])
def test_nothing_is_wider_than_the_screen(browser: Chrome, address: str, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = opened(browser, address)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        size |= {"width": 1400, "height": 900}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


EVIL = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "</script><svg onload=\"document.title='owned'\"> \u202e "
    "$\\href{javascript:document.title='owned'}"
    "{x}$ $\\htmlData{a=b}{y}$ \\(\\def\\a{\\a\\a}\\a\\) {{7*7}}"
)


def test_text_of_models_and_data_does_not_run(browser: Chrome, tmp_path: Path) -> None:
    data = synthetic_run(num_problems=24, budget=6)
    tables = {}
    for name, columns in {
        "problems": ("problem_id", "source", "difficulty", "prompt", "answer"),
        "rollouts": ("problem_id", "completion"),
        "verdicts": ("problem_id", "extracted_answer", "detail"),
        "scores": ("problem_id", "source", "difficulty"),
    }.items():
        rows = getattr(data, name).to_pylist()
        for row in rows:
            row |= {column: f"{row[column]} {EVIL}" for column in columns}
            if "messages" in row:
                row["messages"] = [{"role": "user", "content": EVIL}]
        tables[name] = type(getattr(data, name)).from_pylist(rows, getattr(data, name).schema)
    import dataclasses

    hostile = dataclasses.replace(data, **tables)
    run = write_run(tmp_path / "run", hostile, sources=data)
    done = explore([run], progress=QUIET)
    page = opened(browser, f"{done.path.as_uri()}#colour=source")
    find(page, ".slick-row .slick-cell").click()
    until(lambda: page.find_elements(By.CSS_SELECTOR, ".rollout"))
    page.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    time.sleep(1.0)
    assert "owned" not in page.title
    assert EVIL[:40] in find(page, "#prompt-text").text
    assert page.find_elements(By.CSS_SELECTOR, "#problem img, #problem script, #problem a") == []
    # What is smuggled into the file is refused by the page's policy.
    text = done.path.read_text().replace("<main>", f"<main>{EVIL}")
    (tmp_path / "smuggled.html").write_text(text)
    page = opened(browser, (tmp_path / "smuggled.html").as_uri())
    assert "owned" not in page.title
    assert any("Content Security Policy" in line for line in console(page))
    assert re.search(r"script-src 'sha256-[^;]*'\"", text)
    assert "unsafe-eval" not in json.dumps(text[:2000])
