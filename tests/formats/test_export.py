"""Exports, read back with the loaders that trainers use."""

import datetime
import hashlib
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.exports import PREFIXED, problem, questions, ranked
from learnalign.errors import LearnAlignError
from learnalign.formats.export import FORMATS

DAPO = Path(__file__).resolve().parents[3] / "shared" / "data" / "dapo17k" / "dapo_math_17k.parquet"
IN_EXTRA_INFO = PREFIXED | {"learnalign_prompt"}


def load(path, tmp_path):
    kind = "json" if path.suffix == ".jsonl" else "parquet"
    cache = str(tmp_path / "cache")
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)


def mine(row):
    return {name: value for name, value in row.items() if name not in IN_EXTRA_INFO}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("order", "expected"),
    [("score", ["p7", "p2", "p5", "p0"]), ("pool", ["p0", "p2", "p5", "p7"])],
)
def test_rows_and_order(run, tmp_path, kind, order, expected):
    done, out = run(kind, order=order)
    rows = list(load(out / f"selected.{kind}", tmp_path))
    assert [row["learnalign_problem_id"] for row in rows] == expected
    for row in rows:
        number = row["learnalign_problem_id"][1:]
        assert mine(row) == {"question": f"what is {number}é?", "answer": number}
        assert set(row) >= PREFIXED
    assert rows[0]["learnalign_score"] == (1.0 if order == "score" else 0.25)
    assert done.warnings == []


def test_json_text_survives_to_the_letter(run):
    text = '{"question":"\\u00e9",  "n": 1.50, "big": 123456789012345678901234567890}'
    _, out = run("jsonl", [problem(0, {}, row=text)], selected=(0,), control=False)
    line = (out / "selected.jsonl").read_text(encoding="utf-8")
    assert line.startswith(text[:-1] + ", ")
    assert set(json.loads(line)) == {"question", "n", "big", *PREFIXED}


def test_rows_of_pretty_printed_or_strange_json(run):
    rows = [
        problem(0, {}, row='{\n "a": 1\n}'),
        problem(1, {}, row="{}"),
        problem(2, {}, row='{"a": NaN}'),
    ]
    done, out = run("jsonl", rows, selected=(0, 1, 2), control=False)
    lines = [json.loads(line) for line in (out / "selected.jsonl").read_text().splitlines()]
    assert [mine(line) for line in lines] == [{"a": 1}, {}, {"a": None}]
    assert "NaN became null" in done.warnings[0]


def typed_table():
    return pa.table(
        {
            "question": ["a", "b", "c"],
            "level": pa.array([1, None, 3], pa.int8()),
            "day": pa.array([datetime.date(2026, 1, i) for i in (1, 2, 3)]),
            "meta": [{"tags": ["x"], "w": 0.1}, None, {"tags": [], "w": None}],
            "kind": pa.array(["u", "v", "u"]).dictionary_encode(),
        }
    )


def test_parquet_keeps_types(run, tmp_path):
    table = typed_table()
    pool = [problem(i, row) for i, row in enumerate(table.to_pylist())]
    done, out = run("parquet", pool, selected=(2, 1), originals={0: table}, control=False)
    written = pq.read_table(out / "selected.parquet")
    assert written.select(table.column_names).equals(table.take([2, 1]))
    assert written.select(table.column_names).schema.equals(table.schema)
    rows = [mine(row) for row in load(out / "selected.parquet", tmp_path)]
    assert rows == table.take([2, 1]).to_pylist()
    assert done.warnings == []


def test_json_of_typed_rows_says_what_it_cannot_hold(run):
    table = typed_table()
    pool = [problem(i, row) for i, row in enumerate(table.to_pylist())]
    done, out = run("jsonl", pool, selected=(2, 1), originals={0: table}, control=False)
    first = json.loads((out / "selected.jsonl").read_text().splitlines()[0])
    assert first["meta"] == {"tags": [], "w": None}
    assert first["day"] == "2026-01-03"
    assert len(done.warnings) == 1
    assert "values of day " in done.warnings[0]


def test_sources_of_two_kinds_in_one_file(run, tmp_path):
    table = pa.table({"question": ["a", "b"], "level": pa.array([1, 2], pa.int32())})
    pool = [problem(i, row) for i, row in enumerate(table.to_pylist())]
    pool += [problem(2 + i, {"question": q}, source_index=1, source_row=i) for i, q in [(0, "c")]]
    _, out = run("parquet", pool, selected=(2, 0), originals={0: table}, control=False)
    rows = [mine(row) for row in load(out / "selected.parquet", tmp_path)]
    assert rows == [{"question": "c", "level": None}, {"question": "a", "level": 1}]


def test_mixed_types_do_not_fit_parquet(run):
    pool = [problem(0, {"answer": 1}), problem(1, {"answer": "one"})]
    with pytest.raises(LearnAlignError, match="--as jsonl"):
        run("parquet", pool, selected=(0, 1))


def test_trl_adds_prompt_and_solution(run, tmp_path):
    done, out = run("trl")
    rows = load(out / "selected.jsonl", tmp_path)
    assert rows[0]["prompt"] == [{"role": "user", "content": "what is 7é?"}]
    assert [row["solution"] for row in rows] == ["7", "2", "5", "0"]
    assert rows[0]["question"] == "what is 7é?"
    assert rows[0]["learnalign_prompt"] == questions()[7]["prompt"]
    assert any("`prompt` was added" in hint for hint in done.hints)
    assert any("`solution` was added" in hint for hint in done.hints)
    assert any("shuffle_dataset=False" in hint for hint in done.hints)


def test_trl_reads_the_export_as_conversations(run, tmp_path):
    trl_data = pytest.importorskip("trl.data_utils")
    _, out = run("trl")
    assert trl_data.is_conversational(load(out / "selected.jsonl", tmp_path)[0])


def test_trl_keeps_the_users_prompt_and_says_if_it_was_not_scored(run):
    chat = [{"role": "user", "content": "q"}]
    same = [problem(0, {"prompt": chat, "solution": "s"}, messages=chat, answer="s")]
    done, out = run("trl", same, selected=(0,), control=False)
    assert mine(json.loads((out / "selected.jsonl").read_text())) == {
        "prompt": chat,
        "solution": "s",
    }
    assert done.warnings == []
    assert len(done.hints) == 1
    other = [problem(0, {"prompt": "raw text"}), problem(1, {"prompt": chat}, messages=chat)]
    done, _ = run("trl", other, selected=(0, 1), control=False, out="other")
    assert any("not what the model was scored on" in text for text in done.warnings)
    assert any("text in some rows" in text for text in done.warnings)


def verl_rows(count=6):
    return [
        {
            "data_source": "openai/gsm8k",
            "prompt": [{"role": "user", "content": f"q{i}"}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(i)},
            "extra_info": {"split": "train", "index": 100 + i, "level": None},
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("typed", [False, True])
def test_verl_rows_stay(run, tmp_path, typed):
    rows = verl_rows()
    pool = [problem(i, row, messages=row["prompt"]) for i, row in enumerate(rows)]
    originals = {0: pa.Table.from_pylist(rows)} if typed else {}
    done, out = run("verl", pool, selected=(4, 1), originals=originals)
    written = list(load(out / "selected.parquet", tmp_path))
    assert [row["extra_info"]["index"] for row in written] == [104, 101]
    assert written[0]["extra_info"]["learnalign_rank"] == 1
    assert written[0]["extra_info"]["learnalign_prompt"] == pool[4]["prompt"]
    for row, number in zip(written, (4, 1), strict=True):
        row["extra_info"] = mine(row["extra_info"])
        assert row == rows[number]
    assert done.warnings == []
    assert done.hints == ["data.shuffle=False keeps the order of the file (verl shuffles)"]


def test_verl_rows_are_built(run, tmp_path):
    done, out = run("verl")
    row = load(out / "selected.parquet", tmp_path)[0]
    assert list(row) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert row["data_source"] == "unit"
    assert row["prompt"] == [{"role": "user", "content": "what is 7é?"}]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "7"}
    assert row["extra_info"]["index"] == 7
    assert row["extra_info"]["split"] == "train"
    assert json.loads(row["extra_info"]["row"])["answer"] == "7"
    assert row["extra_info"]["prompt"] == questions()[7]["prompt"]
    assert {name for name in row["extra_info"] if name.startswith("learnalign_")} == PREFIXED
    assert any("converted to verl's format" in hint for hint in done.hints)


def test_verl_rows_and_others_mixed_in_one_source(run):
    rows = verl_rows(2)
    pool = [problem(0, rows[0]), problem(1, {"question": "q"}), problem(2, rows[1])]
    _, out = run("verl", pool, selected=(2, 1, 0), control=False)
    written = pq.read_table(out / "selected.parquet").to_pylist()
    assert [row["extra_info"]["index"] for row in written] == [101, 1, 100]
    assert [row["data_source"] for row in written] == ["openai/gsm8k", "unit", "openai/gsm8k"]


@pytest.mark.parametrize("extra", [None, "missing"])
def test_verl_rows_without_extra_info(run, extra):
    table = pa.Table.from_pylist(verl_rows(2)).drop_columns(["extra_info"])
    if extra is None:
        table = table.append_column("extra_info", pa.nulls(2))
    pool = [problem(i, row) for i, row in enumerate(table.to_pylist())]
    _, out = run("verl", pool, selected=(1,), originals={0: table}, control=False)
    (row,) = pq.read_table(out / "selected.parquet").to_pylist()
    assert set(row["extra_info"]) == IN_EXTRA_INFO


def test_verl_extra_info_with_nulls_and_slices(run):
    extra = [{"index": 5}, None, {"index": 6}, {"index": 7}]
    rows = [{**row, "extra_info": e} for row, e in zip(verl_rows(4), extra, strict=True)]
    table = pa.Table.from_pylist([*rows, *rows]).slice(4)
    pool = [problem(i, row) for i, row in enumerate(rows)]
    _, out = run("verl", pool, selected=(3, 1), originals={0: table}, control=False)
    written = pq.read_table(out / "selected.parquet").to_pylist()
    assert [row["extra_info"]["index"] for row in written] == [7, None]
    assert [row["extra_info"]["learnalign_rank"] for row in written] == [1, 2]


@pytest.mark.skipif(not DAPO.is_file(), reason="DAPO-Math-17k is not at hand")
def test_dapo_round_trip(run, tmp_path):
    table = pq.read_table(DAPO)
    places = [17000, 3, 9000, 41, 12]
    rows = table.take(places).to_pylist()
    pool = [
        problem(
            i,
            row,
            source_row=place,
            messages=row["prompt"],
            answer=row["reward_model"]["ground_truth"],
        )
        for i, (row, place) in enumerate(zip(rows, places, strict=True))
    ]
    _, out = run("verl", pool, selected=(3, 0, 4), originals={0: table}, control=False)
    written = load(out / "selected.parquet", tmp_path)
    original = datasets.load_dataset(
        "parquet", data_files=str(DAPO), split="train", cache_dir=str(tmp_path / "cache")
    )
    for row, number in zip(written, (3, 0, 4), strict=True):
        row["extra_info"] = mine(row["extra_info"])
        assert row == original[places[number]]
    assert {k: v for k, v in written.features.items() if k != "extra_info"} == {
        k: v for k, v in original.features.items() if k != "extra_info"
    }
    _, out = run("parquet", pool, selected=(3, 0, 4), originals={0: table}, control=False, out="p")
    columns = pq.read_table(out / "selected.parquet").select(table.column_names)
    assert columns.equals(table.take([places[i] for i in (3, 0, 4)]))


@pytest.mark.parametrize(
    ("kind", "name"), [("jsonl", "rank"), ("parquet", "rank"), ("verl", "rank")]
)
def test_a_column_of_ours_that_is_there_already_is_kept(run, kind, name):
    rows = verl_rows(2)
    for row in rows:
        row["extra_info"][f"learnalign_{name}"] = row[f"learnalign_{name}"] = "theirs"
    done, out = run(kind, [problem(i, row) for i, row in enumerate(rows)], selected=(1, 0))
    path = out / ("selected.jsonl" if kind == "jsonl" else "selected.parquet")
    written = (
        json.loads(path.read_text().splitlines()[0])
        if kind == "jsonl"
        else pq.read_table(path).to_pylist()[0]
    )
    assert (written["extra_info"] if kind == "verl" else written)["learnalign_rank"] == "theirs"
    assert any("yours was kept" in text for text in done.warnings)


def ids(path):
    return path.read_text().splitlines()


def test_control_is_an_equal_size_draw_that_the_scores_do_not_touch(run):
    pool = questions(60)
    _, out = run("ids", pool)
    drawn = ids(out / "control.txt")
    assert len(drawn) == len(set(drawn)) == 4
    reverse = ranked(pool, selected=(59, 58, 57, 56))
    _, other = run("ids", pool, scores=reverse, out="other")
    assert ids(other / "control.txt") == drawn
    _, other = run("ids", pool, scores=reverse.take(list(range(59, -1, -1))), out="turned")
    assert ids(other / "control.txt") == drawn
    _, other = run("ids", pool, seed=1, out="seed")
    assert ids(other / "control.txt") != drawn
    _, other = run("ids", pool, order="pool", out="pool")
    assert ids(other / "control.txt") == sorted(drawn, key=lambda name: int(name[1:]))


def test_control_draws_evenly_from_the_whole_pool(run):
    pool = questions(10)
    counts = dict.fromkeys((p["problem_id"] for p in pool), 0)
    for seed in range(200):
        _, out = run("ids", pool, seed=seed)
        for name in ids(out / "control.txt"):
            counts[name] += 1
    assert min(counts.values()) > 50  # 80 expected, standard deviation 7
    assert max(counts.values()) < 110


@pytest.mark.parametrize("kind", FORMATS)
def test_control_has_the_form_of_the_selection(run, kind):
    done, out = run(kind)
    selected, control, manifest = done.paths
    assert [path.stem for path in done.paths] == ["selected", "control", "manifest"]
    assert selected.suffix == control.suffix
    if selected.suffix == ".parquet":
        assert pq.read_schema(selected).equals(pq.read_schema(control))
    tree = json.loads(manifest.read_text())
    assert tree["counts"] == {"pool": 10, "selected": 4, "control": 4}
    digest = hashlib.sha256(selected.read_bytes()).hexdigest()
    assert tree["files"][selected.name]["sha256"] == digest
    names = "p7\np2\np5\np0\n"
    assert (
        tree["files"][selected.name]["problem_ids_sha256"]
        == hashlib.sha256(names.encode()).hexdigest()
    )
    assert tree["about"] == {"model": "m"}
    assert sorted(path.name for path in out.iterdir()) == sorted(p.name for p in done.paths)


def test_no_control(run):
    done, out = run("ids", control=False)
    assert [path.name for path in done.paths] == ["selected.txt", "manifest.json"]
    assert "control" not in json.loads((out / "manifest.json").read_text())["counts"]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_export_has_the_same_bytes(run, kind):
    first, _ = run(kind)
    before = [path.read_bytes() for path in first.paths]
    again, _ = run(kind)
    elsewhere, _ = run(kind, out="elsewhere")
    assert [path.read_bytes() for path in again.paths] == before
    assert [path.read_bytes() for path in elsewhere.paths] == before


def test_batch_size_that_does_not_divide(run):
    done, _ = run("trl", batch_size=3)
    (text,) = done.warnings
    assert "1 of 4 rows" in text
    assert "--budget of 3 or 6 avoids this" in text
    assert run("trl", batch_size=2)[0].warnings == []
    (text,) = run("trl", batch_size=8)[0].warnings  # all would be lost
    assert "4 of 4 rows" in text
    assert "--budget of 8 avoids this" in text
    (text,) = run("trl", batch_size=16)[0].warnings  # more than the pool
    assert "a smaller batch" in text


def test_trl_loses_as_many_rows_as_the_warning_says(run, tmp_path):
    utils = pytest.importorskip("trl.trainer.utils")
    _, out = run("trl", batch_size=3)
    rows = load(out / "selected.jsonl", tmp_path)
    sampler = utils.RepeatSampler(rows, mini_repeat_count=2, batch_size=3, shuffle=False)
    assert list(dict.fromkeys(sampler)) == [0, 1, 2]


def test_prompts_that_were_scored_with_more(run):
    done, _ = run("trl", scored_with=("--system", "--instruction"))
    assert "--system, --instruction" in done.warnings[0]
    assert run("jsonl", scored_with=("--system",), out="other")[0].warnings == []


def test_the_whole_pool_selected(run):
    done, _ = run("ids", questions(2), selected=(1, 0))
    assert "the control contains the same problems" in done.warnings[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"selected": ()}, "--budget"),
        ({"kind": "tlr"}, "(?s)got --as tlr.*the nearest is 'trl'.*correct --as"),
        ({"order": "scores"}, "the nearest is 'score'"),
        ({"batch_size": 0}, "batch size of 0"),
        ({"scores": ranked(questions(12), (11,))}, "not in the table of problems"),
        ({"originals": {0: pa.table({"question": ["a"]})}}, "has 1 rows, but its row"),
    ],
)
def test_errors_say_what_to_do(run, options, words):
    kind = options.pop("kind", "jsonl") if "kind" in options else "jsonl"
    with pytest.raises(LearnAlignError, match=words):
        run(kind, **options)


def test_an_id_of_two_lines_is_no_line(run):
    with pytest.raises(LearnAlignError, match="not one line"):
        run("ids", [problem(0, {}, problem_id="a\nb")], selected=(0,))


def test_a_runs_manifest_is_never_overwritten(run, tmp_path):
    (tmp_path / "out").mkdir()
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text('{"stages": {}}')
    with pytest.raises(LearnAlignError, match="does not belong to an export"):
        run("ids")
    assert manifest.read_text() == '{"stages": {}}'


def scored(messages, row):
    """What a run asks: a system prompt, and an instruction that looks at the row."""
    last = {"role": "user", "content": f"{messages[-1]['content']} {len(json.loads(row))}"}
    return [{"role": "system", "content": "Be brief."}, last]


@pytest.mark.parametrize("own", [None, "raw text", [{"role": "user", "content": "mine"}]])
def test_trl_prompts_as_they_were_scored(run, tmp_path, own):
    values = {"level": 1} if own is None else {"prompt": own, "level": 1}
    pool = [problem(i, values, messages=[{"role": "user", "content": f"q{i}"}]) for i in (0, 1)]
    done, out = run("trl", pool, selected=(1,), add_instructions=scored, scored_with=("--system",))
    for stem, number in (("selected", 1), ("control", None)):
        (row,) = load(out / f"{stem}.jsonl", tmp_path)
        number = row["learnalign_problem_id"][1:] if number is None else number
        assert row["prompt"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"q{number} {len(values)}"},
        ]
        assert row["level"] == 1
    assert done.warnings == []
    assert any("replacing your own" in hint for hint in done.hints) == (own is not None)
    assert json.loads(done.paths[-1].read_text())["prompts"] == "scored"


@pytest.mark.parametrize("form", ["verl's", "verl's, typed", "built"])
def test_verl_prompts_as_they_were_scored(run, form):
    rows = verl_rows(2) if form != "built" else [{"question": "q0"}, {"question": "q1"}]
    if form == "verl's, typed":  # a field more than role and content
        for row in rows:
            row["prompt"][0]["name"] = "Ann"
    pool = [
        problem(i, row, messages=[{"role": "user", "content": f"q{i}"}])
        for i, row in enumerate(rows)
    ]
    originals = {0: pa.Table.from_pylist(rows)} if form == "verl's, typed" else {}
    done, out = run(
        "verl", pool, selected=(1, 0), control=False, originals=originals, add_instructions=scored,
        scored_with=("--instruction",),
    )  # fmt: skip
    written = pq.read_table(out / "selected.parquet").to_pylist()
    told = [[(m["role"], m["content"]) for m in row["prompt"]] for row in written]
    width = len(rows[0])
    assert told == [[("system", "Be brief."), ("user", f"q{i} {width}")] for i in (1, 0)]
    assert [row["extra_info"]["learnalign_rank"] for row in written] == [1, 2]
    assert done.warnings == []


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "ids"])
def test_formats_without_prompts_have_none_that_were_scored(run, kind):
    with pytest.raises(LearnAlignError, match=f"--prompts scored with --as {kind}"):
        run(kind, add_instructions=scored)
