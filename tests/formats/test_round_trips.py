"""Rows of every trainer's format, read and exported to the same format, are the same."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.exports import PREFIXED, ranked
from learnalign.config import DataConfig
from learnalign.formats.export import Exported, export
from learnalign.formats.trainers.registry import TRAINERS
from learnalign.problems.pool import read_pool
from learnalign.tables import PROBLEMS

OURS = PREFIXED | {"learnalign_prompt"}
BIG = 2**53 + 1
#: What an unknown column may hold, in a spelling that no writer of ours would choose.
ODD = (
    r'"unknown":"caf\u00e9 漢字 NaN","none" : null,  "big":9007199254740993,"huge":'
    "123456789012345678901234567890"
    ',"rate":1.50,"exp":1E-3,"line":"a\u2028b","nested":{"list":[{"a":null},{}],"empty":[]},"x":[[1],[]]'
)


def chat(text: str) -> str:
    return json.dumps([{"role": "user", "content": text}])


#: Rows as text, with {q} for the question and {a} for the gold.
ROWS: list[tuple[str, str]] = [
    ("trl", '"prompt":{chat},"solution":"{a}"'),
    ("jsonl", '"Question": "{q}", "Final Answer": {a}'),
    ("openrlhf", '"input":"{q}","label":"{a}","datasource":"sums"'),
    ("openrlhf", '"input":{chat},"label":{a}'),
    ("open-instruct", '"messages":{chat},"ground_truth":["{a}"],"dataset":["math"],"index":{a}'),
    ("nemo-rl", '"input":"{q}","output":"{a}"'),
    ("nemo-rl", '"problem":"{q}","expected_answer":"{a}","task_name":"math"'),
    ("nemo-rl", '"problem":"{q}","expected_answer":{a}'),
    ("nemo-gym", '"responses_create_params":{{"input":{chat},"temperature":1.00}},'
     '"agent_ref":{{"name":"mine"}},"question":"{q}","expected_answer":"{a}"'),
    ("verifiers", '"prompt":{chat},"answer":"{a}","info":{{"n":{a}}}'),
    ("verifiers", '"question":"{q}","answer":"{a}","info":{{"x":[]}},"task":"default"'),
    ("verifiers", '"question":"{q}","answer":"{a}","info":"{{}}"'),
    ("slime", '"prompt":{chat},"label":"{a}","metadata":{{"rm_type":"math"}}'),
    ("skyrl", '"prompt":{chat},"env_class":"gsm8k",'
     '"reward_spec":{{"method":"rule","ground_truth":"{a}"}},"extra_info":{{"index":{a}}}'),
    ("areal", '"messages":{chat},"answer":"{a}"'),
    ("rllm", '"question":"{q}","ground_truth":"{a}","data_source":"sums","task_id":"t{a}"'),
    ("rllm", '"instruction":"{q}","ground_truth":{a}'),
]  # fmt: skip
VERL = (
    '"data_source":"sums","prompt":{chat},"ability":"math",'
    '"reward_model":{{"style":"rule","ground_truth":"{a}"}},"extra_info":{{"index":{a},"split":"train"}}'
)


def lines(fields: str, extra: str = ODD) -> list[str]:
    texts = [fields.format(q=f"{n}+{n}?", a=2 * n, chat=chat(f"{n}+{n}?")) for n in (2, 3, 4, 5)]
    return [f"{{{text},{extra}}}" if extra else f"{{{text}}}" for text in texts]


def round_trip(path: Path, kind: str, out: Path) -> Exported:
    """Read a file and export its third and first row, as a run does with the rows it chose."""
    pool = read_pool(DataConfig(paths=(str(path),)))
    assert pool.excluded == []
    table = pa.Table.from_pylist(pool.problems, schema=PROBLEMS)
    return export(
        out,
        kind,
        problems=lambda: [table],
        scores=ranked(pool.problems, (2, 0)),
        sources=pool.originals.get,
        about={},
        control=False,
    )


def test_every_format_is_here():
    assert {kind for kind, _ in ROWS} == {*TRAINERS, "trl", "jsonl"}


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n\n"])
@pytest.mark.parametrize(("kind", "fields"), ROWS)
def test_json_lines_are_the_same_byte_for_byte(kind, fields, end, tmp_path):
    written = lines(fields)
    path = tmp_path / "rows.jsonl"
    path.write_bytes("".join(line + end for line in written).encode())
    done = round_trip(path, kind, tmp_path / "out")
    found = done.paths[0].read_bytes().decode().removesuffix("\n").split("\n")
    for line, own in zip(found, (written[2], written[0]), strict=True):
        assert line.startswith(own[:-1] + ", ")
        added = json.loads("{" + line[len(own) + 1 :])
        assert added.keys() == (PREFIXED if kind == "jsonl" else OURS)
    assert done.warnings == []


ASSERTS = '["assert f({a}) == {a}", "assert f(1) == 1"]'
PAIRS = '{{"inputs" : ["{a}\\n"], "outputs":["{a}"]}}'
#: Rows of code problems; some have a reference solution, which is no part of their gold.
CODE = [
    ("open-instruct", f'"messages":{{chat}},"ground_truth":{ASSERTS},"dataset":"code"'),
    ("open-instruct", f'"messages":{{chat}},"ground_truth":{ASSERTS},'
     '"solution":"def f(x): return x","dataset":["code"]'),
    ("nemo-gym", '"responses_create_params":{{"input":{chat}}},'
     f'"verifier_metadata":{{{{"unit_tests":{PAIRS}}}}}'),
    ("skyrl", f'"prompt":{{chat}},"env_class":"lcb","reward_spec":{{{{"ground_truth":{PAIRS}}}}}'),
    ("slime", f'"prompt":{{chat}},"label":{ASSERTS}'),
    ("openrlhf", f'"input":{{chat}},"label":{ASSERTS}'),
    ("areal", '"messages":{chat},"answer":"assert f({a}) == {a}"'),
    ("rllm", f'"question":"{{q}}","ground_truth":{PAIRS},"data_source":"taco"'),
    ("verifiers", '"prompt":{chat},"answer":"assert f({a}) == {a}\\nassert f(1) == 1\\n",'
     '"code":"f = int"'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), CODE)
def test_code_problems_keep_the_tests_that_their_trainer_reads(kind, fields, tmp_path):
    written = lines(fields)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(written), encoding="utf-8")
    done = round_trip(path, kind, tmp_path / "out")
    found = done.paths[0].read_text(encoding="utf-8").removesuffix("\n").split("\n")
    for line, own in zip(found, (written[2], written[0]), strict=True):
        assert line.startswith(own[:-1] + ", ")
        assert json.loads("{" + line[len(own) + 1 :]).keys() == OURS
    assert done.warnings == []


@pytest.mark.parametrize("tests", [ASSERTS, PAIRS, json.dumps(ASSERTS)])
def test_code_problems_of_verl_keep_their_tests(tests, tmp_path):
    row = VERL.replace('"{a}"', tests, 1)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines(row, '"solutions":["f = int"]')), encoding="utf-8")
    done = round_trip(path, "verl", tmp_path / "out")
    own = json.loads(path.read_text(encoding="utf-8").split("\n")[2])
    assert pq.read_table(done.paths[0])["reward_model"][0].as_py() == own["reward_model"]


@pytest.mark.parametrize(("kind", "fields"), [*ROWS, ("verl", VERL)])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_row_alone_and_a_list_keep_their_values(kind, fields, suffix, tmp_path):
    written = lines(fields, ODD.replace("123456789012345678901234567890", str(2**63 - 1)))
    path = tmp_path / f"rows{suffix}"
    path.write_text(f"[{','.join(written)}]", encoding="utf-8")
    done = round_trip(path, kind, tmp_path / "out")
    assert own_values(done.paths[0], json.loads(written[0])) == [
        json.loads(written[2]), json.loads(written[0])
    ]  # fmt: skip


def own_values(path: Path, like: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the exported rows without our columns; nulls that only Parquet adds left out."""
    if path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    else:
        found = pq.read_table(path).to_pylist()
    rows = []
    for row in found:
        row = {name: row[name] for name in like}
        if path.suffix == ".parquet":
            row["extra_info"] = {n: v for n, v in row["extra_info"].items() if n not in OURS}
            row["nested"]["list"][1] = {}  # Arrow's objects of a list all have the same fields
        rows.append(row)
    return rows


def strange(count: int) -> dict[str, pa.Array]:
    """Columns of types that JSON does not have, and others that widen easily."""
    struct = pa.struct([("tags", pa.list_(pa.large_string())), ("w", pa.float32())])
    day = datetime.date(2026, 1, 2)
    return {
        "int8": pa.array([1, None, 3, 4][:count], pa.int8()),
        "big": pa.array([BIG, -BIG, None, 2**63 - 1][:count], pa.int64()),
        "unsigned": pa.array([2**64 - 1] * count, pa.uint64()),
        "day": pa.array([day] * count, pa.date32()),
        "time": pa.array([datetime.datetime(2026, 1, 2)] * count, pa.timestamp("ns", "UTC")),
        "money": pa.array([decimal.Decimal("1.10")] * count, pa.decimal128(10, 2)),
        "word": pa.array(["é", "漢", None, "é"][:count]).dictionary_encode(),
        "bytes": pa.array([b"\xff"] * count),
        "nothing": pa.nulls(count),
        "struct": pa.array(
            [{"tags": ["ü"], "w": 0.1}, None, {"tags": [], "w": None}, None], struct
        ),
        "pairs": pa.array([[("k", 1)], [], None, [("l", None)]], pa.map_(pa.string(), pa.int32())),
        "fixed": pa.array([[1, 2]] * count, pa.list_(pa.int16(), 2)),
        "view": pa.array([["a"], None, [], ["b"]], pa.large_list(pa.string())),
    }


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("parquet", fields) for _, fields in [*ROWS, ("verl", VERL)]] + [("verl", VERL)],
)
def test_parquet_is_the_same_value_for_value_and_type_for_type(kind, fields, tmp_path):
    rows = [json.loads(line) for line in lines(fields, "")]
    table = pa.Table.from_pylist(rows)
    for name, array in strange(len(rows)).items():
        table = table.append_column(name, array)
    first = table.schema.field(0).with_nullable(False).with_metadata({"unit": "one"})
    table = table.set_column(0, first, table[0]).replace_schema_metadata({"written by": "hand"})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    before = pq.read_table(path)
    done = round_trip(path, kind, tmp_path / "out")
    after = pq.read_table(done.paths[0])
    taken = before.take([2, 0])
    changed = {"extra_info"} if kind == "verl" else set()
    for name in {*before.column_names} - changed:
        assert after.schema.field(name).equals(before.schema.field(name), check_metadata=True)
        assert after[name].combine_chunks().equals(taken[name].combine_chunks())
    assert after.schema.metadata == before.schema.metadata
    for name in changed:
        assert [
            {key: value for key, value in info.items() if key not in OURS}
            for info in after[name].to_pylist()
        ] == taken[name].to_pylist()
    assert done.warnings == []
