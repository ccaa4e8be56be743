"""The command line as a user meets it: help, errors with code 2, every verb on a real run."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command_line import call
from helpers.sums_run import PREFIX

PROGRAM = Path(sys.executable).parent / "learnalign"


@pytest.fixture(scope="module")
def run(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    data = "reasoning-gym:chain_sum?size=10&seed=1&max_terms=2&max_digits=1"
    flags = ["--budget", "4", "--num-rollouts", "4", "--max-tokens", "5", "--stop", "\n"]
    flags += ["--verifier", "number", "--assistant-prefix", PREFIX, "--sketch-size", "128"]
    flags += ["--set", "gradients.num_resampled=2", "--out", str(out), "--num-bootstrap", "20"]
    flags += ["--method", "learnalign"]
    done = call("select", str(sums), data, *flags)
    assert done.returncode == 0, done.stderr
    assert "4 of" in done.stdout
    assert "report.html" in done.stdout
    return out


VERBS = (
    "select", "warmup", "stages", "rollout", "gradients", "score", "compare", "train", "evaluate",
    "export", "report", "explore", "plot", "prompt", "inspect",
)  # fmt: skip


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_teaches(verb: str) -> None:
    text = call(*([verb] if verb else []), "--help").stdout
    assert "Usage: " in text
    assert all(name in text for name in VERBS if not verb)
    assert verb != "select" or "learnability" in text


@pytest.mark.parametrize("verb", ["", "select"])
def test_help_is_quick(verb: str) -> None:
    seconds = []
    for _ in range(3):
        # Processor time: on a machine with nothing else to do the clock shows the same.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PROGRAM, *([verb] if verb else []), "--help"], check=True, stdout=-3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


def test_heavy_packages_stay_out_of_every_verbs_help() -> None:
    script = "import importlib, sys, learnalign\n"
    script += f"for verb in {VERBS}: importlib.import_module(f'learnalign.cli.{{verb}}')\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "print(*sys.modules)"], capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert {f"learnalign.cli.{verb}" for verb in VERBS} <= loaded, done.stderr
    assert not loaded & {"torch", "transformers", "datasets", "plotly", "scipy", "math_verify"}
    assert "matplotlib" not in loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("select", "no/such/model", "x.jsonl"), "x.jsonl|no/such/model"),
        (("select", "MODEL", "missing.jsonl"), "no file or folder missing.jsonl"),
        (("select", "MODEL"), "got no data"),
        (("select", "MODEL", "DATA", "--num-rollouts", "many"), "rollouts.num_rollouts = 'many'"),
        (("select", "MODEL", "DATA", "--method", "lernalign"), "nearest is 'learnalign'"),
        (("select", "MODEL", "DATA", "--set", "rollouts.temprature=1"), "'temperature'"),
        (("select", "MODEL", "DATA", "--prompt-column", "qestion"), "nearest is 'question'"),
        (("score", "nothing"), "nothing is not a run folder"),
        (("report", "nothing"), "nothing is not a run folder"),
        (("inspect", "nothing", "x"), "nothing has no finished table"),
        (("export", "nothing", "--as", "trl"), "nothing is not a run folder"),
        (("select", "--config", "missing.yaml"), "missing.yaml does not exist"),
        (("export", "nothing"), "Missing option"),
        (("select", "MODEL", "two.jsonl", "--id-column", "id"), "the id '7' again"),
        (("select", "MODEL", "broken.jsonl"), "line 2: broken JSON"),
        (("select", "MODEL", "latin.jsonl"), "is not valid UTF-8"),
        (("select", "MODEL", "empty.jsonl"), "has no rows"),
        (("select", "MODEL", "DATA", "--budget", "2"), "got a budget of 2"),
        (("select", "MODEL", "DATA", "--verifier", "nowhere:f"), "cannot import the verifier's"),
        (("select", "MODEL", "blank.jsonl"), "no usable problem: all 1 were excluded"),
        (("select", "MODEL", "DATA", "--temperature", "0"), "so that they can differ"),
        (
            ("select", "MODEL", "DATA", "--method", "learnalign", "--kl-beta", "0.04"),
            "policy to itself is zero",
        ),
        (("train", "MODEL", "DATA", "--trainer", "verl"), "'native' or 'trl'"),
        (("train", "MODEL", "DATA", "--set", "rollouts.engine=vllm"), "would ignore it"),
        (("warmup", "MODEL", "DATA", "--set", "vllm.max_model_len=9"), "would ignore it"),
        (("train", "MODEL", "DATA", "--engine", "vllm"), "No such option '--engine'"),
        (("train", "MODEL", "DATA", "--set", "training.stepz=3"), "nearest is 'steps'"),
        (("train", "MODEL", "DATA", "--steps", "1", "--redo", "verdicts"), "got --redo verdicts"),
        (("train", "MODEL", "DATA", "--subset", "random"), "got --subset random for pool.jsonl"),
        (("warmup", "MODEL"), "got no data"),
        (("stages", "MODEL", "DATA", "--easy-share", "1"), "stages.easy_share"),
        (("evaluate", "MODEL", "gsm9k"), "the nearest is 'gsm8k'"),
        (("evaluate", "MODEL", "DATA", "--against", "nothing"), "nothing is not an evaluation"),
    ],
)
def test_users_errors_end_with_2(
    arguments: tuple[str, ...], message: str, smollm2: Path, tmp_path: Path
) -> None:
    row = '{"id": 7, "question": "1+1?", "answer": "2"}\n'
    (tmp_path / "pool.jsonl").write_text(row)
    (tmp_path / "two.jsonl").write_text(row + row.replace("1+1", "2+0"))
    (tmp_path / "broken.jsonl").write_text(row + "{\n")
    (tmp_path / "latin.jsonl").write_bytes(row.replace("1+1", "groß").encode("latin-1"))
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "blank.jsonl").write_text(row.replace("1+1?", " "))
    known = {"MODEL": str(smollm2), "DATA": "pool.jsonl"}
    # In this process: what the program's own start adds is seen by the tests of faults.
    done = call(*(known.get(a, a) for a in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert "Traceback" not in done.stderr


def test_model_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    done = call("select", str(tmp_path), "pool.jsonl", cwd=tmp_path)
    assert (done.returncode, "is not a model: it contains pool.jsonl" in done.stderr) == (2, True)


def test_unknown_option_in_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("rollouts: {num_rolouts: 4}\n")
    done = call("select", "--config", "c.yaml", cwd=tmp_path)
    assert (done.returncode, "nearest is 'num_rollouts'" in done.stderr) == (2, True)


def test_dry_run_does_no_work(smollm2: Path, tmp_path: Path) -> None:
    data = "reasoning-gym:chain_sum?size=10&seed=1"
    arguments = ["select", str(smollm2), data, "--budget", "3", "--out", str(tmp_path / "x")]
    arguments += ["--method", "learnalign"]
    done = call(*arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "num_rollouts: 8" in done.stdout
    assert "rollouts: 80" in done.stdout
    work = json.loads(call(*arguments, "--dry-run", "--json").stdout)["work"]
    assert work["problems"] == 10
    assert work["parameters"] == 134_515_008
    assert work["gradient_minutes_at_most"] > 0
    assert not (tmp_path / "x").exists()


def test_prompt_prints_what_the_model_sees(smollm2: Path) -> None:
    data = "reasoning-gym:chain_sum?size=3&seed=1"
    done = call("prompt", str(smollm2), data, "--assistant-prefix", PREFIX, "--system", "Be brief.")
    assert done.stdout.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert "assistant\n4 - 1 - 7 =" in done.stdout
    plain = json.loads(call("prompt", str(smollm2), data, "--json", "--index", "1").stdout)
    assert plain["answer"] == "6"


def test_score_again(run: Path) -> None:
    done = call("score", str(run), "--budget", "0.5", "--method", "learnability", "--json")
    summary = json.loads(done.stdout)
    assert summary["method"] == "learnability"
    assert summary["num_selected"] == round(summary["num_problems"] / 2)
    assert json.loads(
        call("score", str(run), "--budget", "4", "--method", "learnalign", "--json").stdout
    )


def test_compare(run: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    before = (run / "scores.parquet").read_bytes()
    unasked = call("compare", str(run), "--methods", "selectit", "--budget", "3")
    assert unasked.returncode == 2
    assert "--set features.ratings=true" in unasked.stderr
    methods = "learnalign,learnability,features,ifd,selectit,random"
    flags = ["--methods", methods, "--budget", "0.4", "--out", str(tmp_path)]
    asked = ["--set", "features.ratings=true"]
    done = call("compare", str(run), *flags, *asked)
    assert done.returncode == 0, done.stderr
    assert "Each method's " in done.stdout
    chosen = {name: (tmp_path / f"{name}.txt").read_text().split() for name in methods.split(",")}
    assert {len(names) for names in chosen.values()} == {4}
    scores = pq.read_table(run / "scores.parquet")
    # The run's own choice stands.
    assert (run / "scores.parquet").read_bytes() == before
    assert "budget: 4\n  method: learnalign\n" in (run / "config.yaml").read_text()
    found = json.loads((tmp_path / "compare.json").read_text())
    for row, one in zip(found["overlaps"], chosen.values(), strict=True):
        assert row == [len(set(one) & set(other)) / 4 for other in chosen.values()]
    rates = {r["problem_id"]: r["success_rate"] for r in scores.to_pylist()}
    for choice in found["choices"]:
        mine = [rates[name] for name in chosen[choice["method"]]]
        assert choice["success_rate"] == pytest.approx(sum(mine) / 4)
        assert choice["with_signal"] == sum(0 < rate < 1 for rate in mine) / 4
    again = call("compare", str(run), "--budget", "4", *asked, "--json", "--out", str(tmp_path))
    assert json.loads(again.stdout)["num_problems"] == scores.num_rows
    assert "features" in json.loads((run / "manifest.json").read_text())["stages"]


def test_compare_needs_a_budget_and_known_methods(run: Path, tmp_path: Path) -> None:
    wrong = call("compare", str(run), "--methods", "learnalin", "--budget", "3")
    assert wrong.returncode == 2
    assert "the nearest is 'learnalign'" in wrong.stderr
    lacking = call("compare", str(run), "--methods", "limr", "--budget", "3")
    assert lacking.returncode == 2
    assert "--history TRAINING" in lacking.stderr


def test_inspect_and_report(run: Path) -> None:
    import pyarrow.parquet as pq

    first = pq.read_table(run / "scores.parquet")["problem_id"][0].as_py()
    known = json.loads(call("inspect", str(run), first, "--json").stdout)
    assert len(known["rollouts"]) == 4
    assert known["scores"]["rank"] == 1
    assert known["gradient"]["status"] == "ok"
    assert {"extracted_answer", "parsed_answer", "detail"} <= set(known["rollouts"][0])
    shown = call("inspect", str(run), first).stdout
    assert "rank: 1" in shown
    assert f", answer {known['rollouts'][0]['parsed_answer']!r}" in shown
    done = call("inspect", str(run), first[:-1] + "_")
    assert (done.returncode, f"'{first}'" in done.stderr) == (2, True)
    (run / "report.html").unlink()
    assert call("report", str(run)).returncode == 0
    assert first in (run / "report.html").read_text()


@pytest.mark.parametrize("kind", ["trl", "verl", "jsonl", "parquet", "ids"])
def test_export(run: Path, kind: str) -> None:
    done = call("export", str(run), "--as", kind, "--batch-size", "3", "--json")
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    recipe = [kind] if kind in ("trl", "verl") else []
    stems = [Path(path).stem for path in plain["paths"]]
    assert stems == ["selected", "control", "manifest", *recipe]
    # 4 problems are not a multiple of 3; and rows that a trainer prompts with hold no prefix.
    assert any("batch size 3" in warning for warning in plain["warnings"])
    told = any("--assistant-prefix" in warning for warning in plain["warnings"])
    assert told == (kind in {"trl", "verl"})
    # An assistant's beginning is no message: the way out that is named is one that there is.
    assert not any("--prompts scored" in warning for warning in plain["warnings"])
    about = json.loads(Path(plain["paths"][2]).read_text())["about"]
    assert about["model"]["path"]


def test_export_of_prompts_that_messages_cannot_hold(run: Path) -> None:
    done = call("export", str(run), "--as", "trl", "--prompts", "scored")
    assert (done.returncode, "scored with --assistant-prefix" in done.stderr) == (2, True)
    done = call("export", str(run), "--as", "trl", "--prompts", "mine")
    assert (done.returncode, "got --prompts mine" in done.stderr) == (2, True)


def test_rollout_then_gradients_then_score(sums: Path, tmp_path: Path) -> None:
    out = tmp_path / "steps"
    flags = ["--num-rollouts", "4", "--max-tokens", "5", "--stop", "\n", "--verifier", "number"]
    flags += ["--assistant-prefix", PREFIX, "--out", str(out), "--json"]
    data = "reasoning-gym:chain_sum?size=6&seed=1&max_terms=2&max_digits=1"
    counts = json.loads(call("rollout", str(sums), data, *flags).stdout)
    assert counts["problems"] + counts["excluded"] == 6
    done = call("score", str(out), "--budget", "2", "--method", "learnalign")
    assert (done.returncode, "gradients" in done.stderr) == (2, True)
    assert call("score", str(out), "--budget", "2").returncode == 0
    done = call("gradients", str(out), "--sketch-size", "64")
    assert done.returncode == 0, done.stderr
    assert call("score", str(out), "--budget", "2", "--method", "learnalign").returncode == 0
