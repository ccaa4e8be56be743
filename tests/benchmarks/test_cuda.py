"""The GPU benchmark, tried without a GPU: its parts, its limits, and what it counts on paper."""

import doctest
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.autograd import DeviceType

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PARTS = ("right", "gradients", "rollouts", "training", "scoring", "method")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The benchmark's modules, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("run", "arithmetic", "clock", "flex", "policies", "profile", "scoring", "shapes")
    return SimpleNamespace(**{name: import_module(f"cuda_{name}") for name in (*names, "smollm2")})


def run(out: Path, *options: str) -> str:
    """Run it on the CPU with tiny shapes; return the table."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "cuda.py"), "--device", "cpu", "--tiny", *options],
        env=os.environ | {"OUT": str(out), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a tree of JSON."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


def check(out: Path, table: str, parts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Look at the table and the files of some parts; return what the files hold."""
    lines = table.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert (out / "table.txt").read_text() == table
    # No more than a few files: a part's lines have become its JSON.
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["table.txt", *(f"{part}.json" for part in parts)]
    )
    found = {part: json.loads((out / f"{part}.json").read_text()) for part in parts}
    for part, result in found.items():
        assert result["machine"]["packages"]["torch"] == torch.__version__
        assert all(map(math.isfinite, numbers([result["figures"], result["rows"]]))), part
        for row in result["rows"][1:]:
            assert row["matrix_tflops"] > 0, row
            assert row["copy_gb_per_s"] > 0, row
    return found


@pytest.mark.slow
def test_a_part_that_is_stopped_does_not_stop_the_next(tmp_path: Path) -> None:
    parts = ("training", "scoring", "method")
    table = run(tmp_path, "--parts", ",".join(parts), "--limits", "training=0.1")
    found = check(tmp_path, table, parts)
    assert found["training"]["rows"][0]["ended"] == "stopped after 0.1 s"
    assert found["training"]["figures"] == {}
    assert "training: stopped after 0.1 s" in table
    for part in ("scoring", "method"):
        assert found[part]["rows"][0]["ended"] == "done"
    error = next(row["error"] for row in found["scoring"]["rows"] if "error" in row)
    assert error < 1e-6  # torch in float32 against numpy's sums in float64


@pytest.mark.slow
def test_a_trial_run_of_everything(tmp_path: Path) -> None:
    found = check(tmp_path, run(tmp_path), PARTS)
    for part, result in found.items():
        rows = result["rows"]
        assert rows[0]["ended"] == "done", part
        assert not [row for row in rows[1:] if "error" in row and isinstance(row["error"], str)]
    figures = {part: result["figures"] for part, result in found.items()}
    right = figures["right"]
    for family in ("Llama", "GPT2", "Mixtral"):
        name = f"family {family}: largest relative error of a gradient"
        assert 0 < right[name]["value"] < 1e-5  # float32 against float64
    assert right["rows with checkpointing against without"]["value"] == 0.0
    memory = next(row for row in found["right"]["rows"] if row["name"] == "out of memory")
    assert memory["failures"] == 1
    assert memory["budget"] < 1 << 20
    assert memory["value"] < 1e-4
    for shape in ("0.5b", "1.5b", "7b"):
        for response in (20, 40):
            assert figures["gradients"][f"rows: {shape}, 10 + 8 x {response}"]["value"] > 0
    for shape in ("0.5b", "1.5b"):
        for name in ("ours", "generate"):
            assert figures["rollouts"][f"rollouts: {shape}, {name}"]["value"] > 0
    step = next(row for row in found["training"]["rows"] if row["name"] == "training step")
    assert step["value"] >= max(step["sampling_s"], step["learning_s"]) > 0
    assert figures["training"]["gradient sketches"]["value"] > 0


def test_a_table_has_room_for_all_parts(cuda: SimpleNamespace) -> None:
    texts = [f"{number} " + "x" * 200 for number in range(100)]
    lines = [*cuda.run.heading("cpu")]
    for part in cuda.run.LIMITS:
        lines += ["title", *cuda.run.shortened(texts, cuda.run.SHOWN[part], part)]
    assert len(lines) <= cuda.run.LINES
    assert max(map(len, lines)) == cuda.run.COLUMNS
    assert lines[-1] == "  (98 more in method.json)"
    assert sum(cuda.run.LIMITS.values()) + cuda.run.MARGIN <= cuda.run.TOTAL == 540


def test_a_line_that_was_cut_off_is_left_out(cuda: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "right.jsonl"
    path.write_text('{"name": "a", "value": 1}\n{"name": "b", "val')
    assert cuda.run.read_rows(path) == [{"name": "a", "value": 1}]
    assert cuda.run.read_rows(tmp_path / "none.jsonl") == []


def test_nvidias_package_is_found_beside_a_file_of_its_name(tmp_path: Path) -> None:
    bindings = tmp_path / "cuda" / "bindings"
    bindings.mkdir(parents=True)
    (bindings / "__init__.py").write_text("IS = 'NVIDIA'")
    code = "from cuda import bindings; print(bindings.IS)"
    path = os.pathsep.join([str(BENCHMARKS), str(tmp_path)])
    said = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, text=True
    )
    assert said == "NVIDIA\n"


def test_examples_of_the_modules(cuda: SimpleNamespace) -> None:
    tried = [doctest.testmod(module) for module in (cuda.profile, cuda.smollm2)]
    assert [result.failed for result in tried] == [0, 0]
    assert all(result.attempted for result in tried)


def test_shapes_have_the_published_number_of_parameters(cuda: SimpleNamespace) -> None:
    published = {"0.5b": 494_032_768, "1.5b": 1_543_714_304, "7b": 7_615_616_512}
    for name, shape in cuda.shapes.SHAPES.items():
        assert shape.parameters == published[name]
        model = cuda.shapes.make_model(shape, "meta")
        assert sum(parameter.numel() for parameter in model.parameters()) == published[name]
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_row_counted_by_hand(cuda: SimpleNamespace) -> None:
    shape = cuda.shapes.SHAPES["0.5b"]
    # 100 prompt tokens once, 299 of each of eight responses; 2,393 of them predict a token.
    tokens, places = 100 + 8 * 299, 1 + 8 * 299
    query = out = 896 * 896
    key = value = 128 * 896
    inner = 3 * 896 * 4864
    linear = 24 * (query + key + value + out + inner)
    assert linear == shape.linear == 357_826_560
    head = 896 * 151_936
    pairs = 100**2 / 2 + 8 * (299 * 100 + 299**2 / 2)
    ends = (896 + 896) * 2 + (128 + 896) * 2 + (4864 + 896) * 3
    by_hand = (
        4 * linear * tokens + 4 * head * places  # forward, and the activations' gradients
        + 14 * 24 * 896 * pairs  # attention
        + 2 * 16 * 24 * ends * tokens  # sixteen combinations of each weight's inputs
    )  # fmt: skip
    assert cuda.arithmetic.row_operations(shape, 100, 300) == by_hand
    assert cuda.arithmetic.seconds(160e12) == 1.0
    assert f"| 0.5b | 100 + 8 x 300 | 2.5 | {by_hand / 1e12:.1f} |" in (
        cuda.arithmetic.operations_table()
    )


def test_operations_are_those_of_the_other_count(cuda: SimpleNamespace) -> None:
    # By its path: among the tests there is a package of the same name.
    spec = spec_from_file_location("gradients_benchmark", BENCHMARKS / "gradients.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    count = module.arithmetic
    smollm2 = cuda.shapes.Shape("SmolLM2", 576, 30, 9, 3, 1536, 49152, True)
    for prompt, response in ((60, 16), (100, 600)):
        responses = [[row, *range(1, response)] for row in range(8)]
        group = {"prompt_ids": [0] * prompt, "responses": responses, "weights": [1.0]}
        ours = cuda.arithmetic.row_operations(smollm2, prompt, response)
        assert ours == pytest.approx(count([group], shared=True, width=16), rel=1e-12)
        step = cuda.arithmetic.step_operations(smollm2, prompt, response)
        assert step == pytest.approx(count([group], shared=False, width=0), rel=1e-12)


def test_a_layers_memory_is_what_autograd_keeps(cuda: SimpleNamespace) -> None:
    from learnalign.gradients.layout import lay_out
    from learnalign.gradients.tasks import make_task

    def kept(layers: int) -> int:
        shape = cuda.shapes.Shape("small", 256, layers, 4, 2, 512, 300, True)
        model = cuda.shapes.make_model(shape, "cpu")
        subject = cuda.policies.policy(model, "cpu", torch.bfloat16)
        group = cuda.shapes.make_group(shape, 100, 150)
        pack = lay_out([make_task(0, *group)], shared=True)
        seen = {p.untyped_storage().data_ptr() for p in subject.backward.model.parameters()}
        total = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                total += storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            subject.backward.hidden(pack)
        return total

    shape = cuda.shapes.Shape("small", 256, 1, 4, 2, 512, 300, True)
    collected = 7 * 16 * 2  # projected inputs: held by the collector, not by autograd
    on_paper = cuda.arithmetic.layer_bytes(shape, 100, 150, gathered=True) - collected
    tokens = cuda.arithmetic.packed_tokens(100, 150)
    assert (kept(3) - kept(2)) / tokens == pytest.approx(on_paper, rel=1e-9)


def test_the_budget_on_paper_is_the_engines(cuda: SimpleNamespace) -> None:
    from learnalign.gradients import memory, sketch
    from learnalign.models import head

    paper = cuda.arithmetic
    assert (memory._SHARE, memory._MAX_TOKENS["cuda"]) == (paper.BUDGET_SHARE, paper.MAX_TOKENS)
    assert (paper.FOLD, paper.CHUNK_VALUES) == (sketch.FOLD, head.CHUNK_VALUES)
    from learnalign.config import GradientConfig

    options = GradientConfig()
    assert (options.input_width, options.sketch_size) == (paper.WIDTH, paper.SKETCH)


def test_the_page_has_the_tables_that_the_command_prints(cuda: SimpleNamespace) -> None:
    page = (ROOT / "docs" / "guides" / "gpu.md").read_text()
    paper = cuda.arithmetic
    for table in (paper.operations_table(), paper.memory_table(), paper.cards_table()):
        assert table in page
    assert "python benchmarks/cuda_arithmetic.py" in page


def test_scoring_is_the_mean_of_the_unit_rows(cuda: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 16)).astype(np.float16)
    weights = rng.random(50)
    unit = rows.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    expected = unit @ (weights @ unit / 50)
    found = cuda.scoring.on_device(torch.from_numpy(rows), torch.from_numpy(weights).float())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_spans_of_several_streams_count_once(cuda: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    spans = [(int(a), int(a + b)) for a, b in rng.integers(1, 30, (40, 2))]
    assert cuda.profile.covered(spans) == len({t for a, b in spans for t in range(a, b)})


def test_a_profile_tells_kernels_from_what_the_host_calls(
    cuda: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def event(name: str, device: DeviceType, start: int = 0, end: int = 0) -> SimpleNamespace:
        return SimpleNamespace(
            name=lambda: name,
            device_type=lambda: device,
            start_ns=lambda: start,
            duration_ns=lambda: end - start,
        )

    events = [
        event("cudaLaunchKernel", DeviceType.CPU),
        event("cudaLaunchKernelExC", DeviceType.CPU),
        event("cudaGraphLaunch", DeviceType.CPU),
        event("cudaMemcpyAsync", DeviceType.CPU),
        event("cudaStreamSynchronize", DeviceType.CPU),
        event("void at::native::sum<float>(int)", DeviceType.CUDA, 100, 400),
        event("void at::native::sum<double>(int)", DeviceType.CUDA, 300, 500),
        event("gemm", DeviceType.CUDA, 1000, 1500),
    ]
    kineto = SimpleNamespace(events=lambda: events)
    found = SimpleNamespace(profiler=SimpleNamespace(kineto_results=kineto))
    monkeypatch.setattr(cuda.profile, "profile", lambda **_: nullcontext(found))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    seen = cuda.profile.profiled("cuda", lambda: None)
    assert (seen.launches, seen.waits) == (3, 1)
    assert seen.busy_s == pytest.approx(900e-9)  # 100 to 500, 1000 to 1500
    assert seen.kernels == {"sum": 0.5, "gemm": 0.5}
    assert seen.top() == "sum 50%, gemm 50%"
    events[5:] = []
    assert cuda.profile.profiled("cuda", lambda: None).idle is None


def test_ranks_are_those_of_scipy(cuda: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 9, (2, 40)).astype(float)
    assert cuda.smollm2.spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


def prepare(folder: Path, *options: str) -> str:
    """Run the script that unpacks what was carried to ``folder``; return what it says."""
    given = ["--wheels", "whl", "--first", "a", "--second", "b", "--work", "work", "--model", "m"]
    given = [str(folder / name) if place % 2 else name for place, name in enumerate(given)]
    done = subprocess.run(
        ["bash", "benchmarks/cuda.sh", "--prepare", *given, *options],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_nothing_was_carried(tmp_path: Path) -> None:
    said = prepare(tmp_path)
    assert "no wheels in" in said
    assert "not all parts of SmolLM2 are here" in said
    assert "prepared" in said
    # Used from src/ alone, the package finds its version there.
    (metadata,) = (tmp_path / "work" / "site").glob("learnalign-*.dist-info/METADATA")
    code = "import importlib.metadata as m; print(m.version('learnalign'))"
    told = subprocess.check_output(
        [sys.executable, "-S", "-c", code],
        env=os.environ | {"PYTHONPATH": str(metadata.parents[1])},
        text=True,
    )
    assert told.strip() == version("learnalign")


def test_parts_come_one_after_the_other(tmp_path: Path) -> None:
    whole = b"not a model " * 50
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.gguf.0").write_bytes(whole[:100])
    (tmp_path / "a" / "model.gguf.sha256").write_text(f"{sha256(whole).hexdigest()}  -\n")
    (tmp_path / "a" / "rows.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    assert "not all parts" in prepare(tmp_path)
    assert (tmp_path / "work" / "data" / "rows.jsonl").read_bytes() == b"{}\n"
    # A second call finds the first part where the first call has put it.
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "model.gguf.1").write_bytes(whole[100:] + b"!")
    assert "do not have the hash" in prepare(tmp_path)
    assert not (tmp_path / "m.gguf").exists()
    (tmp_path / "b" / "model.gguf.1").write_bytes(whole[100:])
    said = prepare(tmp_path)
    assert (tmp_path / "m.gguf").read_bytes() == whole
    assert "SmolLM2 could not be made" in said
