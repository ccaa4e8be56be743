"""A profile: its numbers from its tables by plain loops, its commands by running them."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import learnalign
from helpers.command_line import PROGRAM, call
from helpers.sums_run import OPTIONS, QUIET, configure
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.workflows.estimate import dry_run_profile
from learnalign.workflows.profile import Profile, _command, _next_round, run_profile
from learnalign.workflows.speed import Gpus, measured_speed

SMALL: dict[str, Any] = {"data__sample": 10, "selection__budget": 3, "training__epochs": 4.0}
GPUS = Gpus(count=4, price=2.5, tokens_per_second=100.0)


@pytest.fixture(scope="module")
def profiled(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    out = tmp_path_factory.mktemp("profile") / "p"
    return run_profile(configure(sums, out, **SMALL), progress=QUIET, gpus=GPUS)


def _rows(out: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((out / table).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_every_number_from_the_tables(profiled: Profile) -> None:
    out = profiled.path
    found = json.loads((out / "profile.json").read_text())
    rewards: dict[str, list[float]] = {}
    for row in _rows(out, "verdicts"):
        rewards.setdefault(row["problem_id"], []).append(row["reward"])
    mixed = sum(0 < sum(group) < 4 for group in rewards.values())
    right = sum(sum(group) == 4 for group in rewards.values())
    measures = found["measures"]
    assert measures["problems"] == len(rewards) == 10
    assert [measures[kind]["count"] for kind in ("signal", "solved", "hopeless")] == [
        mixed, right, 10 - mixed - right
    ]  # fmt: skip
    assert 0 < mixed < 10
    assert measures["success_rate"] == pytest.approx(sum(map(sum, rewards.values())) / 40)
    rollouts = _rows(out, "rollouts")
    tokens = sum(len(row["token_ids"]) for row in rollouts)
    assert measures["rollouts"] == len(rollouts) == 40
    assert measures["tokens"] == tokens / 40
    cut = sum(row["finish_reason"] == "length" for row in rollouts)
    assert measures["truncated"] == {
        "count": cut, "total": 40, "share": cut / 40, "low": None, "high": None
    }  # fmt: skip
    unread = sum(row["verdict"] == "unparsed_answer" for row in _rows(out, "verdicts"))
    assert measures["unread"]["count"] == unread
    # Time: the first shard loads the model and starts the workers, and is left out.
    manifest = json.loads((out / "manifest.json").read_text())["stages"]
    seconds, later_tokens = 0.0, 0
    for stage in ("rollouts", "verdicts"):
        for index, shard in manifest[stage]["shards"].items():
            seconds += shard["seconds"] * (index != "0")
            later_tokens += shard["tokens"] * (index != "0" and stage == "rollouts")
    seconds /= later_tokens
    assert found["speed"]["seconds_per_rollout"] == pytest.approx(seconds * tokens / 40)
    costs = {cost["name"]: cost for cost in found["costs"]}
    everything = costs["train on everything"]
    assert everything["rollouts"] == 4 * 14 * 4
    assert everything["tokens"]["value"] == pytest.approx(4 * 14 * tokens / 10)
    assert everything["hours"]["value"] == pytest.approx(
        everything["tokens"]["value"] * seconds / 3600
    )
    assert everything["gpu_hours"]["value"] == pytest.approx(
        everything["tokens"]["value"] / 100 / 4 / 3600
    )
    assert everything["price"]["value"] == pytest.approx(
        everything["tokens"]["value"] / 100 / 3600 * 2.5
    )
    assert costs["select"]["rollouts"] == (14 - 10) * 4
    assert found["plan"] == {
        "pool": 14, "chosen": 3, "passes": 4.0, "num_rollouts": 4, "reused": 10
    }  # fmt: skip


def test_the_dry_run_counts_what_is_done(profiled: Profile, sums: Path, tmp_path: Path) -> None:
    config = configure(sums, tmp_path / "p", **SMALL)
    work = json.loads(dry_run_profile(config, as_json=True))["work"]
    assert not (tmp_path / "p").exists()
    assert work["problems"] == profiled.measures.problems
    assert work["rollouts"] == profiled.measures.rollouts
    assert work["problems_in_the_pool"] == 14


def test_problems_that_cannot_be_used_shrink_the_pool(sums: Path, tmp_path: Path) -> None:
    rows = [
        {"question": f"{i % 7} + {i // 7} =", "answer": str(i % 7 + i // 7) if i % 2 else "x"}
        for i in range(40)
    ]
    data = tmp_path / "half.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = SMALL | {
        "data__paths": (str(data),),
        "data__sample": 20,
        "selection__budget": 0.5,
        "prompt__assistant_prefix": "{{ row.question }}",
    }
    done = run_profile(configure(sums, tmp_path / "p", **more), progress=QUIET)
    kept = done.measures.problems
    assert 0 < kept < 20  # half of the golds are no number
    assert done.plan.pool == round(40 * kept / 20)
    assert done.plan.chosen == round(done.plan.pool / 2)
    assert any("gold answer cannot be read" in warning for warning in done.warnings)


@pytest.mark.parametrize("action", ["train", "curriculum", "select", "stop"])
def test_the_next_command_runs(action: str, profiled: Profile, sums: Path, tmp_path: Path) -> None:
    config = configure(sums, profiled.path, **SMALL)
    example = _rows(profiled.path, "problems")[0]["problem_id"]
    command = shlex.split(_command(config, action, example))
    assert command[0] == "learnalign"
    short = ["--steps", "1"] if command[1] == "train" else []
    done = call(*command[1:], *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if action == "select":
        selection = RunFolder(tmp_path / "runs" / "select")
        assert f"{10 * 4} rollouts were reused" in done.stdout
        assert selection.scores().num_rows == 14
        assert selection.scores()["selected"].to_pylist().count(True) == 3
        old = {(r["problem_id"], r["sample"]): r for r in _rows(profiled.path, "rollouts")}
        new = {(r["problem_id"], r["sample"]): r for r in _rows(selection.path, "rollouts")}
        assert {key: new[key] for key in old} == old
    elif action != "stop":
        history = _rows(tmp_path / "runs" / "train", "history")
        assert len(history) == 14 * 4  # one step holds all problems


def test_a_second_round_samples_only_new_problems(
    profiled: Profile, sums: Path, tmp_path: Path
) -> None:
    """It equals a profile of as many that sampled all of them, but for the time."""
    more = SMALL | {"data__sample": 13}
    reuse = {"rollouts__reuse": profiled.path}
    second = run_profile(configure(sums, tmp_path / "b", **more, **reuse), progress=QUIET)
    fresh = run_profile(configure(sums, tmp_path / "c", **more), progress=QUIET)
    assert (second.measures, second.plan, second.costs) == (
        fresh.measures, fresh.plan, fresh.costs
    )  # fmt: skip
    old = {row["problem_id"] for row in _rows(profiled.path, "rollouts")}
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())["stages"]
    counted = []  # shards with problems that were sampled here
    for path in sorted((tmp_path / "b" / "rollouts").glob("*.parquet")):
        rows = pq.read_table(path).to_pylist()
        new = sum(len(row["token_ids"]) for row in rows if row["problem_id"] not in old)
        index = str(int(path.stem.rpartition("-")[2]))
        taken = [manifest[stage]["shards"][index] for stage in ("rollouts", "verdicts")]
        if new:
            counted.append((new, sum(len(row["token_ids"]) for row in rows), *taken))
    counted = counted[1:] or counted
    new, tokens = (sum(shard[k] for shard in counted) for k in (0, 1))
    sampling, verifying = (sum(shard[k]["seconds"] for shard in counted) for k in (2, 3))
    expected = sampling / new + verifying / tokens
    assert second.speed.seconds_per_token == pytest.approx(expected)
    with pytest.raises(LearnAlignError, match="all 10 problems are reused"):
        run_profile(configure(sums, tmp_path / "d", **SMALL, **reuse), progress=QUIET)


def test_the_next_round_is_a_command(profiled: Profile, sums: Path, tmp_path: Path) -> None:
    """Offered where the interval reaches into another answer and the pool has more problems."""
    out = Path(shutil.copytree(profiled.path, tmp_path / "runs" / "p"))
    done = run_profile(configure(sums, out, **SMALL), progress=QUIET)
    assert (done.next_round is None) == done.advice.sure
    command = shlex.split(_next_round(configure(sums, out, **SMALL), 10, 14))
    assert command[:2] == ["learnalign", "profile"]
    again = call(*command[1:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert RunFolder(f"{out}-14").manifest.stages["problems"].facts["pool"] == 14
    assert "or first" not in again.stdout  # the whole pool was sampled


@pytest.mark.slow  # a program of its own; kills at every kind of file operation: test_kills.py
def test_a_killed_profile_resumes(profiled: Profile, sums: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "killed", tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(configure(sums, out, **SMALL).model_dump(mode="json")))
    command = [*PROGRAM, "profile", "--config", str(file), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("rollouts/part-*.parquet")):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "profile.json").exists()
    done = call(*command[len(PROGRAM) :])
    assert done.returncode == 0, done.stderr
    found, whole = json.loads(done.stdout), json.loads(json.dumps(profiled.summary, default=str))
    assert found["measures"] == whole["measures"]
    assert found["plan"] == whole["plan"]
    assert found["advice"] == whole["advice"]
    assert _rows(out, "rollouts") == _rows(profiled.path, "rollouts")


def test_in_python_and_again(profiled: Profile, sums: Path, tmp_path: Path) -> None:
    options = {k: v for k, v in OPTIONS.items() if k not in ("data.paths", "selection.budget")}
    out = Path(shutil.copytree(profiled.path, tmp_path / "p"))
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("*/part-*.parquet")}
    done = learnalign.profile(
        str(sums),
        OPTIONS["data.paths"],
        problems=10,
        budget=3,
        out=out,
        options=options | {"training.epochs": 4.0},
        progress="none",
    )
    assert isinstance(done, learnalign.Profile)
    assert done.measures == profiled.measures
    assert done.costs == profiled.costs
    assert done.speed.gpus is None
    assert stamps == {p: p.stat().st_mtime_ns for p in out.glob("*/part-*.parquet")}


def test_hostile_names_are_shown_and_never_interpreted(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    evil = "\x1b[31m<script>alert(1)</script>[red]"
    rows = [
        {"question": f"{a} + {b} =", "answer": str(a + b), "source": evil if a % 2 else "plain"}
        for a in range(4)
        for b in range(3)
    ]
    data = tmp_path / "<b>evil.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = configure(
        sums, tmp_path / "p", **SMALL,
        data__paths=(str(data),), prompt__assistant_prefix="{{ row.question }}",
    )  # fmt: skip
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    printed = call("profile", "--config", file)
    assert printed.returncode == 0, printed.stderr
    assert "\x1b[31m" not in printed.stdout + printed.stderr
    assert "<script>" in printed.stdout  # on a terminal these are letters
    assert "next      learnalign " in printed.stdout
    page = (tmp_path / "p" / "profile.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[red]" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "default-src 'none'" in page
    as_json = call("profile", "--config", file, "--json").stdout
    assert as_json.isascii()
    names = [group["name"] for group in json.loads(as_json)["measures"]["groups"]["source"]]
    assert sorted(names) == sorted([evil, "plain"])


@pytest.mark.parametrize(
    ("more", "gpus", "message"),
    [
        ({"rollouts__engine": "recorded"}, None, "with recorded rollouts"),
        ({"selection__warmup": 3}, None, "with --warmup"),
        ({"rollouts__num_rollouts": 1}, None, "got 1 rollouts per problem"),
        ({}, Gpus(count=8), "not sampled on a GPU of this machine"),
    ],
)
def test_what_cannot_be_profiled(
    more: dict[str, Any], gpus: Gpus | None, message: str, sums: Path, tmp_path: Path
) -> None:
    config = configure(sums, tmp_path / "p", **(SMALL | more))
    with pytest.raises(LearnAlignError, match=message):
        run_profile(config, progress=QUIET, gpus=gpus)
    assert not (tmp_path / "p").exists()


def test_a_budget_beyond_the_pool_costs_no_rollouts_twice(
    profiled: Profile, sums: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(profiled.path, tmp_path / "p"))
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("*/part-*.parquet")}
    more = SMALL | {"selection__budget": 500}
    with pytest.raises(LearnAlignError, match=r"(?s)budget of 500 .*at most the 14 problems"):
        run_profile(configure(sums, out, **more), progress=QUIET)
    done = run_profile(configure(sums, out, **SMALL), progress=QUIET)
    assert done.costs == profiled.costs
    assert stamps == {p: p.stat().st_mtime_ns for p in out.glob("*/part-*.parquet")}


def test_more_to_be_chosen_than_have_a_signal(
    profiled: Profile, sums: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(profiled.path, tmp_path / "p"))
    done = run_profile(configure(sums, out, **SMALL | {"selection__budget": 14}), progress=QUIET)
    with_signal = round(14 * done.measures.signal.count / 10)
    assert any(text.startswith(f"about {with_signal} of 14 problems") for text in done.warnings)
    assert not any("to be chosen" in text for text in profiled.warnings)


def test_workers_and_gpus_share_the_work(profiled: Profile, sums: Path, tmp_path: Path) -> None:
    config = configure(sums, profiled.path, **SMALL)
    folder = RunFolder(profiled.path)
    alone = measured_speed(folder, config, 5.0, None)
    four = configure(sums, profiled.path, cluster__on="ray", cluster__workers=4, **SMALL)
    together = measured_speed(folder, four, 5.0, None)
    assert together.seconds_per_rollout == pytest.approx(alone.seconds_per_rollout / 4)
    assert alone.seconds_per_rollout == pytest.approx(5.0 * alone.seconds_per_token)
    # vLLM measures what two GPUs sample together.
    two = configure(sums, tmp_path, rollouts__engine="vllm", vllm__tensor_parallel_size=2, **SMALL)
    assert Gpus().tokens_per_second_of(0.01, two) == pytest.approx(50.0)
    assert Gpus(tokens_per_second=7.0).tokens_per_second_of(0.01, two) == 7.0


def test_flags(tmp_path: Path) -> None:
    done = call("profile", "m", "d", "--gpu-price", 3, cwd=tmp_path)
    assert (done.returncode, "without --gpus" in done.stderr) == (2, True)
    text = call("profile", "--help").stdout
    for flag in ("--problems", "--budget", "--epochs", "--gpus", "--gpu-price", "--gpu-rate"):
        assert flag in text
