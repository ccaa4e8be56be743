"""The files of a folder that are read are those that the library ``datasets`` would take."""

import json
from contextlib import suppress
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.pool import read_pool
from learnalign.problems.reading import reading_lines
from learnalign.problems.sources import read_source


def _write(folder: Path, *names: str) -> Path:
    """Write files with one row each, which says the file's name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"question": name, "answer": "1"}
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist([row]), path)
        else:
            path.write_text(json.dumps(row) + "\n")
    return folder


def _read(folder: Path, split: str = "train", configuration: str = "") -> list[str]:
    spec = f"{folder}:{configuration}" if configuration else str(folder)
    return [row["question"] for row in read_source(spec, split=split).rows]


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "test.parquet"),
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
         "data/test-00000-of-00001.parquet"),
        ("train/a.jsonl", "train/b.jsonl", "test/a.jsonl"),
        ("my_training_1.jsonl", "my_dev.jsonl", "latest_eval.jsonl"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", ["train", "test"])
def test_splits_are_those_of_datasets(names: tuple[str, ...], split: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "pool", *names)
    theirs = datasets.load_dataset(str(folder), split=split, cache_dir=str(tmp_path / "cache"))
    assert sorted(_read(folder, split)) == sorted(theirs["question"])


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    folder = _write(tmp_path, "train.jsonl", "test.jsonl", "extra.jsonl")
    (tmp_path / "dataset_infos.json").write_text('{"default": {"splits": {}}}')
    source = read_source(str(folder))
    assert source.notes == ("split train", "not read: extra.jsonl, test.jsonl")
    (line,) = reading_lines(read_pool(DataConfig(paths=(str(folder),))).readings)
    assert line.endswith("; split train; not read: extra.jsonl, test.jsonl")
    with pytest.raises(LearnAlignError, match=r"(?s)no split 'validation'.*one of .*--split"):
        _read(folder, "validation")


def test_a_test_set_alone_is_not_trained_on(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match=r"(?s)no split 'train'.*one of test"):
        _read(_write(tmp_path, "test.jsonl"))


def test_names_that_tell_no_split_are_one_pool(tmp_path: Path) -> None:
    names = ["constrained.jsonl", "latest.jsonl", "part-1.jsonl"]
    assert _read(_write(tmp_path, *names)) == names


def test_a_clone_with_configurations(tmp_path: Path) -> None:
    folder = _write(tmp_path, "main/train-0.parquet", "main/test-0.parquet", "hard/train-0.parquet")
    with pytest.raises(LearnAlignError, match=r"(?s)several configurations: hard, main.*:hard"):
        _read(folder)
    assert _read(folder, configuration="main") == ["main/train-0.parquet"]
    assert _read(folder, "test", "main") == ["main/test-0.parquet"]
    with pytest.raises(LearnAlignError, match="no configuration 'mian'"):
        _read(folder, configuration="mian")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_readme_says_which_files(split: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "pool", "a/one.jsonl", "a/two.jsonl", "b/three.jsonl", "train.jsonl")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: train\n    path: a/*.jsonl\n  - split: test\n    path: [b/three.jsonl]\n"
        "---\n# A data set\n"
    )
    theirs = datasets.load_dataset(str(folder), split=split, cache_dir=str(tmp_path / "cache"))
    assert sorted(_read(folder, split)) == sorted(theirs["question"])


def test_a_readme_reaches_no_file_outside(tmp_path: Path) -> None:
    folder = _write(tmp_path / "pool", "x.jsonl")
    _write(tmp_path, "secret.jsonl")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: ['../*.jsonl', 'x.jsonl']\n---\n"
    )
    assert _read(folder) == ["x.jsonl"]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match="contains no data files"):
        _read(tmp_path)


def test_capital_letters_tell_a_split_too(tmp_path: Path) -> None:
    folder = _write(tmp_path / "pool", "sumsTrain.jsonl", "sumsTest.jsonl")
    assert read_source(str(folder)).notes == ("split train", "not read: sumsTest.jsonl")


@pytest.mark.parametrize("split", ["train_sft", "train_gen", "test_sft"])
def test_longer_names_of_shards_are_splits_of_their_own(split: str, tmp_path: Path) -> None:
    names = [
        f"data/{name}-00000-of-00001.parquet" for name in ("train_sft", "train_gen", "test_sft")
    ]
    folder = _write(tmp_path / "pool", *names)
    theirs = datasets.load_dataset(str(folder), split=split, cache_dir=str(tmp_path / "cache"))
    assert _read(folder, split) == list(theirs["question"])
    with pytest.raises(LearnAlignError, match=r"(?s)no split 'train'.*train_gen, train_sft"):
        _read(folder)
    assert _read(folder, "test") == ["data/test_sft-00000-of-00001.parquet"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    folder = _write(tmp_path / "pool", "data/a.jsonl")
    _write(tmp_path / "elsewhere", "b.jsonl")
    for name, target in {"self": folder / "data", "up": folder}.items():
        (folder / "data" / name).symlink_to(target)
    (folder / "data" / "outside").symlink_to(tmp_path / "elsewhere")
    assert _read(folder) == ["data/a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    "readme",
    ["---\nlicense: größer\n---\n".encode("latin-1"), b"\xff\xfe", b"---\n: [\n---\n",
     b"---\nconfigs:\n- data_files: ['', '/etc/*', '**']\n---\n", b"---\nconfigs: 3\n---\n"],
)  # fmt: skip
def test_no_readme_stops_the_reading(readme: bytes, tmp_path: Path) -> None:
    folder = _write(tmp_path, "x.jsonl")
    (folder / "README.md").write_bytes(readme)
    assert _read(folder) == ["x.jsonl"]


def test_every_file_of_a_saved_data_set_may_be_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    rows = [{"question": "q", "answer": "1"}]
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(folder)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        whole = path.read_bytes()
        for damaged in (None, b"", b"{}", b"\0" * len(whole), whole[: len(whole) // 2]):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with suppress(LearnAlignError):  # any other error, and any other row, fails the test
                assert read_source(str(folder)).rows == rows
        path.write_bytes(whole)
    assert read_source(str(folder)).rows == rows


#: What other programs leave beside data: nothing of it is a row.
LEFT = [
    ".x.jsonl", "._train.jsonl", "_SUCCESS", "_committed", "train.jsonl.lock", "more.jsonl.tmp",
    "c.parquet.incomplete", "d.jsonl~", "e.jsonl.crdownload", "~$f.csv",
]  # fmt: skip
FOLDERS = [".ipynb_checkpoints/train-checkpoint.jsonl", "_temporary/0/train.jsonl",
           "__MACOSX/train.jsonl", ".cache/huggingface/train.jsonl"]  # fmt: skip


@pytest.mark.parametrize("spec", ["", "/**/*", "/*", "/**/*.jsonl*"])
@pytest.mark.parametrize("name", LEFT + FOLDERS)
def test_hidden_and_temporary_files_are_counted_and_not_read(
    name: str, spec: str, tmp_path: Path
) -> None:
    _write(tmp_path, "train.jsonl", name)
    (tmp_path / name).write_bytes(b'{"half": ')
    source = read_source(f"{tmp_path}{spec}")
    assert [row["question"] for row in source.rows] == ["train.jsonl"]
    told = [note for note in source.notes if "1 hidden or temporary" in note]
    assert len(told) == (spec != "/**/*.jsonl*" or ".jsonl" in name)


def test_hidden_and_temporary_files_of_shards_in_a_folder(tmp_path: Path) -> None:
    _write(tmp_path, "data/part-0.jsonl", "data/part-1.jsonl", "data/.part-1.jsonl.swp", *LEFT)
    source = read_source(str(tmp_path))
    assert len(source.rows) == 2
    assert source.notes == (
        "2 files",
        "11 hidden or temporary files skipped: ._train.jsonl, .x.jsonl, _SUCCESS and 8 more",
    )


def test_a_hidden_file_that_is_named_itself_is_read(tmp_path: Path) -> None:
    _write(tmp_path, ".hidden/.x.jsonl")
    assert len(read_source(str(tmp_path / ".hidden/.x.jsonl")).rows) == 1


def test_a_readmes_patterns_take_no_hidden_file(tmp_path: Path) -> None:
    folder = _write(tmp_path, "x.jsonl", ".ipynb_checkpoints/x.jsonl")
    (folder / "README.md").write_text("---\nconfigs:\n- data_files: '**/*.jsonl'\n---\n")
    assert _read(folder) == ["x.jsonl"]
