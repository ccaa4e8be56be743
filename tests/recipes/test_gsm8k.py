"""The recipe of the paper's experiment: its settings, its plan, the commands that it starts."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from learnalign import load_config
from learnalign.evaluating.benchmarks import PRESETS
from learnalign.models.loading import load_tokenizer
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import run

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "gsm8k-qwen2.5-1.5b"
VENV = Path(sys.executable).parent

#: What the scripts read; none of it may come from the shell that runs the tests.
VARIABLES = {
    *("MODEL", "DATA", "TEST", "OUT", "BUDGET", "SEEDS", "SUBSETS", "TRAIN", "DRY_RUN"),
    *("RUN", "SUBSET", "BATCH", "NODES", "GPUS"),
}

#: A python3 that keeps what verl is started with, and is the real one otherwise.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  "-m verl."*) printf '%s\\n' "$@" > "$VERL_STARTED_WITH" ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
"""


def write_rows(path: Path, count: int, first: int = 0) -> Path:
    """Write problems in GSM8K's own form: a worked answer with the gold one after ``####``."""
    with path.open("w") as file:
        for n in range(first, first + count):
            question = f"Ann has {n} apples and buys 3 more. How many apples has she?"
            answer = f"She has {n} + 3 = <<{n}+3={n + 3}>>{n + 3} apples.\n#### {n + 3}"
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")
    return path


def call(
    script: str, *arguments: str, path: Sequence[Path] = (), **environment: object
) -> subprocess.CompletedProcess[str]:
    """Run a script of the recipe as a user does, without the hub."""
    variables = {
        **{name: text for name, text in os.environ.items() if name not in VARIABLES},
        "PATH": os.pathsep.join([*map(str, path), str(VENV), os.environ["PATH"]]),
        "HF_HUB_OFFLINE": "1",
        **{name: str(value) for name, value in environment.items()},
    }
    return subprocess.run(
        ["sh", str(RECIPE / script), *arguments], env=variables, capture_output=True, text=True
    )


def steps_of(told: str) -> list[tuple[str, str, dict[str, list[float]]]]:
    """Read a plan: each step's title, its command, and its figures in the order they come."""
    found = []
    for part in re.split(r"\n(?=\d+\. )", told)[1:]:
        title, command, *lines = part.split("\n\nin all")[0].splitlines()
        figures: dict[str, list[float]] = {}
        for line in lines:
            counted = re.fullmatch(r" {5,}([a-z ]+): ([0-9.]+)", line)
            if counted is not None:
                figures.setdefault(counted[1], []).append(float(counted[2]))
        found.append((title.partition(". ")[2], command.strip(), figures))
    return found


def test_settings_are_the_papers() -> None:
    config = load_config(RECIPE / "select.yaml")
    assert config.model.path == "Qwen/Qwen2.5-1.5B-Instruct"
    assert (config.data.paths, config.data.split) == (("openai/gsm8k:main",), "train")
    assert (config.rollouts.num_rollouts, config.rollouts.temperature) == (8, 1.0)
    assert (config.selection.method, config.selection.budget) == ("learnalign", 1000)
    assert (config.selection.warmup, config.selection.learnability) == (300, "plugin")
    assert config.gradients.kl_beta == 0.04
    training = config.training
    assert (training.learning_rate, training.kl_beta, training.clip) == (1e-6, 0.04, 0.2)
    assert (training.problems_per_step, training.parameters) == (48, "full")
    assert (config.gradients.loss, config.gradients.scale_rewards) == ("grpo", "group")
    # Trained on and evaluated with one prompt, whichever way the test problems come.
    gsm8k = PRESETS["gsm8k"]
    assert (config.prompt.instruction, config.verifier.kind) == (gsm8k.instruction, gsm8k.verifier)
    assert config.prompt.instruction.endswith("\\boxed{}.")


@pytest.mark.slow
def test_dry_run_names_each_step_and_counts(smollm2: Path, tmp_path: Path) -> None:
    done = call(
        "run.sh",
        *("--set", "selection.warmup=5", "--set", "rollouts.max_tokens=10"),
        *("--set", "training.problems_per_step=4"),
        MODEL=smollm2,
        DATA=write_rows(tmp_path / "train.jsonl", 13),
        TEST=f"gsm8k={write_rows(tmp_path / 'test.jsonl', 6, first=100)}",
        OUT=tmp_path / "out",
        BUDGET="6 8",
        SEEDS="3",
        TRAIN="--epochs 2",
        DRY_RUN=1,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out").exists()
    steps = steps_of(done.stdout)
    assert [title for title, _, _ in steps] == [
        "evaluate the model as it is",
        "select 6 problems, seed 3",
        "train on selected (6 problems), seed 3",
        "evaluate selected (6 problems), seed 3",
        "train on random (6 problems), seed 3",
        "evaluate random (6 problems), seed 3",
        "select 8 problems, seed 3",
        "train on selected (8 problems), seed 3",
        "evaluate selected (8 problems), seed 3",
        "train on random (8 problems), seed 3",
        "evaluate random (8 problems), seed 3",
        "train on all problems, seed 3",
        "evaluate all problems, seed 3",
        "compare",
    ]
    # Two passes over n problems, 4 a step, 8 rollouts of at most 10 tokens each.
    trained = {"selected (6": (6, 3), "random (6": (6, 3), "selected (8": (8, 4), "all": (13, 7)}
    for title, command, figures in steps:
        verb = command.split()[1]
        if verb == "evaluate":
            assert (figures["problems"], figures["rollouts"]) == ([6], [6]), title
            assert figures["response tokens at most"] == [60]
            assert re.search(r" rollout time at most: [\d.]+ s\n", done.stdout)
            assert ("--against" in command) == (title != "evaluate the model as it is")
        for name, (problems, count) in trained.items():
            if title.startswith(f"train on {name}"):
                assert (figures["problems"], figures["steps"]) == ([problems], [count])
                assert figures["rollouts"] == [count * 4 * 8]
                assert f"--subset {name.split()[0]} " in command
    # A warm-up on 5 problems, 2 steps, then 8 rollouts of each of the 13; once, for both budgets.
    select, again = (s[2] for s in steps if s[0].startswith("select"))
    assert (select["problems"], select["rollouts"], select["steps"]) == ([5, 13], [64, 104], [2])
    assert again == {}
    rollouts = 6 * 6 + 64 + 104 + 32 * (3 + 3 + 4 + 4 + 7)
    total = re.search(r"in all: (\d+) rollouts, at most (\d+) response tokens", done.stdout)
    assert total is not None
    assert total.groups() == (str(rollouts), str(rollouts * 10))
    # Each step's time, of at most two units, adds up to the whole.
    unit = {"s": 1, "min": 60}
    times = re.findall(r" time at most: (.+)", done.stdout)
    parts = [re.findall(r"([0-9.]+) (s|min)", told) for told in times]
    assert all(parts)
    seconds = sum(float(count) * unit[name] for told in parts for count, name in told)
    assert f"at most {seconds / 60:.0f} min on this device" in done.stdout


def test_a_failing_verb_ends_the_script(smollm2: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "train.jsonl", 2)
    done = call("run.sh", MODEL=smollm2, DATA=rows, TEST="gsm9k", OUT=tmp_path / "out")
    assert done.returncode == 2
    assert "the nearest is 'gsm8k'" in done.stderr
    assert "2. " not in done.stdout


@pytest.fixture(scope="module")
def selection(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished selection with the recipe's own file, from recorded rollouts."""
    place = tmp_path_factory.mktemp("selection")
    rows = write_rows(place / "train.jsonl", 9)
    with (place / "rollouts.jsonl").open("w") as file:
        for n, line in enumerate(rows.open()):
            answers = [n + 3 if g < n else 0 for g in range(8)]
            texts = [f"That makes \\boxed{{{answer}}}." for answer in answers]
            row = {"question": json.loads(line)["question"], "completions": texts}
            file.write(json.dumps(row) + "\n")
    changes = {
        "model.path": str(smollm2),
        "data.paths": (str(rows),),
        "rollouts.engine": "recorded",
        "rollouts.recorded": (str(place / "rollouts.jsonl"),),
        "verifier.workers": 1,
        "selection.method": "learnability",
        "selection.budget": 5,
        "run.out": str(place / "run"),
    }
    config = load_config(RECIPE / "select.yaml", sets=["selection.warmup=null"], overrides=changes)
    done = run(config, progress=Progress("none"))
    assert sorted(done.scores["success_rate"].to_pylist()) == [n / 8 for n in range(9)]
    return place / "run"


@pytest.mark.slow
def test_verl_is_started_on_the_prompts_that_were_scored(
    selection: Path, smollm2: Path, tmp_path: Path
) -> None:
    (tmp_path / "python3").write_text(FAKE_PYTHON)
    (tmp_path / "python3").chmod(0o755)
    started = tmp_path / "started"
    done = call(
        *("verl.sh", "trainer.total_epochs=3"),
        path=[tmp_path],
        RUN=selection,
        BATCH=2,
        NODES=2,
        GPUS=4,
        VERL_STARTED_WITH=started,
        REAL_PYTHON=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 5 rows would be lost" in done.stderr
    module, *given = started.read_text().splitlines()[1:]
    assert module == "verl.trainer.main_ppo"
    options = dict(option.split("=", 1) for option in given)  # the last one wins, as in Hydra
    rows = Path(options["data.train_files"])
    assert rows.is_absolute()
    assert options["data.val_files"] == options["data.train_files"]
    assert options["actor_rollout_ref.model.path"] == str(smollm2)
    wanted = {
        "trainer.nnodes": "2",
        "trainer.n_gpus_per_node": "4",
        "trainer.total_epochs": "3",
        "data.train_batch_size": "2",
        "actor_rollout_ref.rollout.n": "8",
        "actor_rollout_ref.actor.optim.lr": "1e-06",
        "actor_rollout_ref.actor.optim.weight_decay": "0",
        "actor_rollout_ref.actor.kl_loss_coef": "0.04",
        "actor_rollout_ref.actor.clip_ratio_high": "0.2",
        "trainer.save_freq": "10",
        "+reward.custom_reward_function.reward_kwargs.kind": "math",
    }
    assert {name: options[name] for name in wanted} == wanted
    # verl puts the chat template on the messages: that must give the prompts of the run.
    tokenizer = load_tokenizer(load_config(selection / "config.yaml").model)
    problems = {row["problem_id"]: row for row in pq.read_table(selection / "problems").to_pylist()}
    table = pq.read_table(rows).to_pylist()
    assert len(table) == 5
    for row in table:
        problem = problems[row["extra_info"]["learnalign_problem_id"]]
        text = tokenizer.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        assert text == problem["prompt"]
        assert row["reward_model"]["ground_truth"] == problem["answer"]


@pytest.mark.slow
def test_verl_dry_run_says_what_fits(selection: Path) -> None:
    before = sorted(selection.rglob("*"))
    done = call("verl.sh", RUN=selection, BATCH=2, GPUS=4, DRY_RUN=1)
    assert done.returncode == 0, done.stderr
    assert sorted(selection.rglob("*")) == before
    titles = [title for title, _, _ in steps_of(done.stdout)]
    assert titles == [
        "export 5 problems",
        "train with verl on 1 x 4 GPUs",
    ]
    assert "2 steps of 2 problems, 1 problems left over" in done.stdout
    assert "rollouts: 32, 4 a step and GPU" in done.stdout
    assert f"response tokens at most: {32 * 1024}" in done.stdout
    done = call("verl.sh", RUN=selection, BATCH=2, GPUS=5, DRY_RUN=1)
    assert done.returncode == 2
    assert "2 problems of 8 rollouts a step, for 5 GPUs" in done.stderr


@pytest.mark.slow
def test_the_whole_way_with_a_small_model(smollm2: Path, tmp_path: Path) -> None:
    """Nothing to learn in so few steps: what is checked is that each step meets the next."""
    out = tmp_path / "out"
    changes = ["selection.warmup=2", "rollouts.max_tokens=24", "rollouts.num_rollouts=4"]
    changes += ["training.problems_per_step=2", "verifier.workers=1", "gradients.sketch_size=256"]
    arguments = [word for change in changes for word in ("--set", change)]
    places = {
        "MODEL": smollm2,
        "DATA": write_rows(tmp_path / "train.jsonl", 6),
        "TEST": f"gsm8k={write_rows(tmp_path / 'test.jsonl', 4, first=50)}",
        "OUT": out,
        "BUDGET": 2,
    }
    done = call("run.sh", *arguments, **places)
    assert done.returncode == 0, done.stderr
    seed = out / "seed-0"
    scores = pq.read_table(seed / "selection" / "scores.parquet").to_pylist()
    trained = {
        name: set(pq.read_table(seed / name / "training" / "problems")["problem_id"].to_pylist())
        for name in ("selected-2", "random-2", "all")
    }
    assert trained["selected-2"] == {row["problem_id"] for row in scores if row["selected"]}
    assert (len(trained["random-2"]), len(trained["all"])) == (2, 6)
    assert (seed / "selection" / "warmup" / "model" / "config.json").is_file()
    results = json.loads((seed / "all" / "evaluation" / "results.json").read_text())
    assert results["results"][0]["accuracy"]["num_problems"] == 4
    assert results["against"] == str(out / "base")
    rows = (out / "comparison.md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows if row] == [
        *("| trained on", "| ---", "| nothing", "| random-2", "| selected-2", "| all"),
        *("| trained on", "| ---", "| selected-2", "| selected-2"),
    ]
    # Called again it has nothing to sample and nothing to learn.
    made = {path: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")}
    assert len(made) > 10
    again = call("run.sh", *arguments, SUBSETS="selected", **places)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")} == made
    shutil.rmtree(out)  # four models


def test_commands_of_the_readme_name_what_there_is() -> None:
    text = (RECIPE / "README.md").read_text()
    for name in re.findall(r"recipes/gsm8k-qwen2\.5-1\.5b/(\S+\.(?:sh|yaml|py))", text):
        assert (RECIPE / name).is_file(), name
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (RECIPE / target).exists(), target
