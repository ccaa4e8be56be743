"""The page: its structure, its escaping, its numbers, and what it does where there is little."""

import dataclasses
import json
import re
import stat
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from helpers.html_page import HtmlPage
from helpers.synthetic_run import synthetic_run
from learnalign.errors import LearnAlignError
from learnalign.reporting.report import ReportData, render, write_report

ORDER = [
    "headline",
    "warnings",
    "success-rates",
    "learnability-alignment",
    "length-norm",
    "length-score",
    "sources",
    "difficulties",
    "examples",
    "stability",
    "stability-by-rank",
    "verdicts",
    "truncated",
    "verifiers",
    "excluded",
    "cost",
    "command",
    "config",
]

FIGURES = [name for name in ORDER if "-" in name] + ["sources", "difficulties"]


@pytest.fixture(scope="module")
def data() -> ReportData:
    return synthetic_run()


@pytest.fixture(scope="module")
def page(data: ReportData) -> HtmlPage:
    return HtmlPage(render(data))


def figures_of(page: HtmlPage) -> set[str]:
    return {name for _, attributes in page.elements if (name := attributes.get("data-figure"))}


def test_everything_is_there_in_its_order(page: HtmlPage) -> None:
    ids = [name for _, attributes in page.elements if (name := attributes.get("id")) in ORDER]
    assert ids == ORDER
    assert figures_of(page) == {f"{name}-data" for name in FIGURES}


def test_axis_titles_do_not_stand_on_numbers(data: ReportData) -> None:
    texts = re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', render(data))
    assert len(texts) == len(FIGURES)
    for text in texts:
        template = json.loads(text)["layout"]["template"]["layout"]
        assert template["xaxis"]["automargin"]
        assert template["yaxis"]["automargin"]


def test_nothing_is_loaded_from_anywhere(data: ReportData, page: HtmlPage) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img"}
        assert not {"src", "href", "srcset", "action", "data"} & attributes.keys(), (
            tag,
            attributes,
        )
    style = re.search("<style>(.*?)</style>", render(data), re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import", style[1])


def test_plotly_stands_in_the_page_once(data: ReportData, tmp_path: Any) -> None:
    write_report(data, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_500_000
    assert len(re.findall(r"plotly\.js v\d", (tmp_path / "report.html").read_text())) == 1


def test_it_can_be_read_without_eyes(page: HtmlPage) -> None:
    elements = page.elements
    assert ("html", {"lang": "en"}) in elements
    tags = Counter(tag for tag, _ in elements)
    assert tags["h1"] == tags["title"] == tags["main"] == 1
    assert tags["caption"] == tags["table"] > 0
    plots = [attributes for _, attributes in elements if "data-figure" in attributes]
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    assert all(attributes.get("scope") for tag, attributes in elements if tag == "th")


def test_the_headline_says_what_was_chosen(page: HtmlPage) -> None:
    assert page.words("headline") == (
        "48 of 240 problems were chosen by learnalign (learnability times gradient alignment), "
        "for SmolLM2-135M-Instruct."
    )


def test_the_numbers_are_those_of_the_tables(data: ReportData, page: HtmlPage) -> None:
    rows = data.scores.to_pylist()
    signal = [row for row in rows if row["learnability"] > 0]
    taken = [row["success_rate"] for row in rows if row["selected"]]
    tiles = page.words("tiles")
    assert f"with signal {len(signal)} {100 * len(signal) / len(rows):.1f} %" in tiles
    assert f"mean success rate {sum(taken) / len(taken):.3f} chosen;" in tiles
    assert f"pool {sum(row['success_rate'] for row in rows) / len(rows):.3f}" in tiles

    length = rankdata([row["mean_response_tokens"] for row in signal])
    for name, column in (("rho-norm", "gradient_norm"), ("rho-score", "score")):
        rho = np.corrcoef(length, rankdata([row[column] for row in signal]))[0, 1]
        assert f"rho = {rho:.2f} ({len(signal)} problems" in page.words(name)

    for kind, count in Counter(data.verdicts["verdict"].to_pylist()).items():
        share = f"{100 * count / data.verdicts.num_rows:.1f}".removesuffix(".0")
        assert f"{kind.replace('_', ' ')} {count:,} {share} %" in page.words("verdicts")
    reasons = data.rollouts["finish_reason"].to_pylist()
    assert page.words("truncated").startswith(f"{reasons.count('length')} rollouts")
    assert "math 238 99.2 % reasoning gym 2 0.8 %" in page.words("verifiers")
    for reason, count in Counter(data.excluded["reason"].to_pylist()).items():
        assert re.search(rf"{reason.replace('_', ' ')} \(\w+\) {count} ", page.words("excluded"))


def test_the_costs_are_those_of_the_manifest(data: ReportData, page: HtmlPage) -> None:
    shards = [
        shard for stage in data.manifest["stages"].values() for shard in stage["shards"].values()
    ]
    tokens = sum(shard["tokens"] for shard in shards)
    seconds = sum(shard["seconds"] for shard in shards)
    assert f"{int(seconds // 60)} min {int(seconds % 60)} s {tokens:,}" in page.words("cost")


def test_first_and_last_problems_come_with_their_rollouts(data: ReportData, page: HtmlPage) -> None:
    ranked = data.scores["problem_id"].to_pylist()
    text = page.words("examples")
    for problem_id in ranked[:5] + ranked[-5:]:
        assert problem_id in text
    assert ranked[5] not in text
    problems = {row["problem_id"]: row for row in data.problems.to_pylist()}
    assert " ".join(problems[ranked[0]]["prompt"].split()) in text
    completions = [
        row["completion"] for row in data.rollouts.to_pylist() if row["problem_id"] == ranked[0]
    ]
    assert all(" ".join(completion.split()) in text for completion in completions)


def test_the_command_and_the_configuration_replay_the_run(page: HtmlPage) -> None:
    assert page.words("command") == (
        "learnalign select --config runs/arithmetic/config.yaml --out runs/arithmetic-again"
    )
    assert "method: learnalign" in page.words("config")


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028$\\frac{1}{2}$"


def spoiled(data: ReportData, text: str) -> ReportData:
    """Put a text wherever a page shows one that a model or a data set made up."""
    best = data.scores["problem_id"][0].as_py()

    def spoil(table: pa.Table, **columns: str) -> pa.Table:
        rows = table.to_pylist()
        for row in rows:
            if row["problem_id"] == best:
                row |= {"problem_id": f"{best}{text}"} | columns
        return pa.Table.from_pylist(rows, table.schema)

    verdicts = spoil(data.verdicts, parsed_answer=text, extracted_answer=f"So {text}", detail=text)
    kinds = [["wrong", "timed_out"][sample % 2] for sample in verdicts["sample"].to_pylist()]
    place = verdicts.schema.get_field_index("verdict")
    return dataclasses.replace(
        data,
        title=text,
        problems=spoil(data.problems, prompt=text, answer=text),
        rollouts=spoil(data.rollouts, completion=text),
        verdicts=verdicts.set_column(place, "verdict", pa.array(kinds)),
        scores=spoil(data.scores, source=text, difficulty=text),
        summary=data.summary | {"warnings": [text], "verifiers": {text: 3}},
        command=text,
    )


def test_nothing_that_a_model_wrote_becomes_html(data: ReportData) -> None:
    page = HtmlPage(render(spoiled(data, EVIL)))
    clean = HtmlPage(render(spoiled(data, "harmless")))
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in clean.elements)
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "$\\frac{1}{2}$" in page.words("examples")
    assert page.texts["command"] == EVIL
    plane = json.loads(page.texts["learnability-alignment-data"])
    # plotly reads a little HTML in its texts, so that even there the tags are escaped.
    assert any("&lt;script&gt;" in text for text in plane["data"][1]["text"])
    assert "<script" not in json.dumps(plane)


def test_an_attempt_says_what_was_taken_what_was_read_and_what_failed(data: ReportData) -> None:
    best = data.scores["problem_id"][0].as_py()
    attempts = [
        ("correct", "$1,234$", "1234", "by number"),
        ("wrong", "17", "17", None),
        ("timed_out", None, None, "no judgement within 5 s"),
        ("unparsed_answer", "1/0", None, "nothing to be read"),
    ]
    rows = [
        {"problem_id": best, "sample": sample, "verdict": verdict, "reward": 0.0, "detail": detail}
        | {"extracted_answer": taken, "parsed_answer": read}
        for sample, (verdict, taken, read, detail) in enumerate(attempts)
    ]
    few = dataclasses.replace(data, verdicts=pa.Table.from_pylist(rows, data.verdicts.schema))
    text = HtmlPage(render(few)).words("examples").replace(" ,", ",")
    assert "answer $1,234$, parsed as 1234" in text
    assert ", parsed as 17" in text
    assert "answer 17" not in text
    assert "reason: no judgement within 5 s" in text
    assert "answer 1/0, reason: nothing to be read" in text
    assert "by number" not in text


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        ({"method": "random"}, {"learnability-alignment", "length-norm"}),
        ({"method": "band"}, {"learnability-alignment", "length-norm"}),
        ({"method": "learnability"}, {"learnability-alignment", "length-norm"}),
        ({"method": "alignment"}, set()),
        ({"real_valued": True}, set()),
        ({"difficulty": False}, {"difficulties"}),
        ({"num_sources": 1}, set()),
        ({"stability": False}, {"stability-by-rank"}),
        ({"num_problems": 3, "budget": 2}, set()),
    ],
    # A set has no order of its own, and the processes that run the tests must agree on names.
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_what_was_not_measured_is_said_not_drawn(options: dict[str, Any], absent: set[str]) -> None:
    page = HtmlPage(render(synthetic_run(**({"num_problems": 40, "budget": 8} | options))))
    assert figures_of(page) == {f"{name}-data" for name in set(FIGURES) - absent}
    for script in page.scripts[:-2]:
        assert "NaN" not in script
        json.loads(script)


def test_no_stability_no_excluded_no_warnings(data: ReportData) -> None:
    calm = dataclasses.replace(data, summary={}, excluded=data.excluded.slice(0, 0))
    page = HtmlPage(render(calm))
    assert "not measured" in page.words("stability")
    assert page.words("excluded").startswith("None")
    assert "warnings" not in page.texts
    assert "verifiers" not in page.texts


def test_a_pool_without_any_signal(data: ReportData) -> None:
    rows = data.scores.to_pylist()
    for row in rows:
        row |= {"success_rate": 0.0, "num_correct": 0, "selected": False}
        row |= {"learnability": 0.0, "alignment": 0.0, "score": 0.0, "gradient_norm": 0.0}
    page = HtmlPage(
        render(dataclasses.replace(data, scores=pa.Table.from_pylist(rows, data.scores.schema)))
    )
    assert page.words("headline").startswith("0 of 240 problems")
    assert "length-norm-data" not in figures_of(page)
    assert "rho-score" not in page.texts


def test_only_the_shown_problems_need_their_rollouts(data: ReportData) -> None:
    ranked = data.scores["problem_id"].to_pylist()
    shown = pa.array(ranked[:5] + ranked[-5:])
    few = dataclasses.replace(
        data,
        problems=data.problems.filter(pa.compute.is_in(data.problems["problem_id"], shown)),
        rollouts=data.rollouts.filter(pa.compute.is_in(data.rollouts["problem_id"], shown)),
    )
    assert render(few) == render(data)


def test_the_same_data_give_the_same_page(data: ReportData) -> None:
    assert render(data) == render(data)


def test_a_folder_that_cannot_be_written_to_is_explained(data: ReportData, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LearnAlignError, match="cannot write"):
        write_report(data, tmp_path / "file" / "report.html")
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)
