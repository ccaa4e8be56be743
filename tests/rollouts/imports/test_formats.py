"""The rollouts that trainers leave behind, in each trainer's own form, are read as they are."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest

from learnalign.config import ModelConfig, PromptConfig, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.problems.prompts import Prompter
from learnalign.rollouts.imports.reading import read_records
from learnalign.rollouts.imports.told import warnings
from learnalign.rollouts.recorded import RecordedEngine
from learnalign.tables import PROBLEMS
from learnalign.terminal.progress import Progress

QUESTION, SAID = "How many legs have 3 spiders?", ("24 legs", "18 legs")
CHAT = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


@pytest.fixture(scope="module")
def pool(tokenizer: Any) -> pa.Table:
    prompt, ids = Prompter(tokenizer, PromptConfig())(CHAT, "{}")
    row = {"problem_id": "spiders", "messages": CHAT, "prompt": prompt, "prompt_ids": ids}
    return pa.Table.from_pylist([row], schema=PROBLEMS)


class Written:
    """What each trainer writes of two rollouts, one right and one wrong."""

    def __init__(self, tokenizer: Any, pool: pa.Table) -> None:
        self.tokenizer = tokenizer
        self.prompt, self.prompt_ids = pool["prompt"][0].as_py(), pool["prompt_ids"][0].as_py()
        self.ids = [
            [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            for text in SAID
        ]

    def verl(self, folder: Path, number: int = 4, **more: Any) -> Path:
        """The v1 trainer adds a uid, which counts a prompt's rollouts."""
        path = folder / "rollout_data" / f"{number}.jsonl"
        bare = self.tokenizer.decode(self.prompt_ids, skip_special_tokens=True)
        self._lines(
            path,
            [
                {"input": bare, "output": text, "gts": "24", "score": r}
                | {"step": number, "uid": f"8f0c_{i}_0", **more}
                for i, (text, r) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
            ],
        )
        return path.parent

    def trl(self, folder: Path) -> Path:
        """A function without a reward for a rollout leaves NaN in its column."""
        path = folder / "completions" / "completions_00003.parquet"
        path.parent.mkdir()
        columns = {
            "step": [3, 3],
            "prompt": [CHAT] * 2,
            "completion": [[{"role": "assistant", "content": text}] for text in SAID],
            "accuracy_reward": [1.0, 0.0],
            "advantage": [0.7, -0.7],
        }
        pq.write_table(pa.table(columns), path)
        return path.parent

    def open_instruct(self, folder: Path, rewards: Sequence[float] = (10.0, 0.0)) -> Path:
        rows = [
            {"step": 9, "sample_idx": i, "prompt_idx": 0, "prompt_tokens": self.prompt_ids}
            | {"response_tokens": self.ids[i % 2], "reward": reward, "advantage": 0.1}
            | {"finish_reason": "stop", "dataset": "math", "ground_truth": [24]}
            | {"request_info": {"num_calls": 0, "timeouts": 0, "tool_calleds": False}}
            | {"logprobs": [-0.5] * len(self.ids[i % 2])}
            for i, reward in enumerate(rewards)
        ]
        about = {"run_name": "run", "git_commit": "c", "model_name": "org/policy", "timestamp": "t"}
        self._lines(folder / "traces" / "run_metadata.jsonl", [about])
        for i, row in enumerate(rows):
            self._lines(folder / "traces" / f"run_rollouts_{i:06d}.jsonl", [row])
        return folder / "traces"

    def nemo_rl(self, folder: Path) -> Path:
        rows = []
        for i, (ids, reward) in enumerate(zip(self.ids, (1.0, 0.0), strict=True)):
            before, after = [0] * len(self.prompt_ids), [0] * 4
            rows.append(
                {"idx": i, "content": [self.prompt, SAID[i]], "rewards": reward}
                | {"token_ids": [*self.prompt_ids, *ids, *after]}
                | {"token_loss_mask": [*before, *[1] * len(ids), *after]}
                | {"generation_logprobs": [*before, *[-0.5] * len(ids), *after]}
            )
        validation = {"content": ["a", "b"], "rewards": 1.0}
        self._lines(folder / "logs" / "val_data_step6.jsonl", [validation])
        return self._lines(folder / "logs" / "train_data_step6.jsonl", rows).parent

    def nemo_gym(self, folder: Path) -> Path:
        rows = [
            {
                "responses_create_params": {"input": CHAT},
                "response": {
                    "output": [
                        {"type": "reasoning", "summary": []},
                        {
                            "type": "message",
                            "role": "assistant",
                            "content": [{"type": "output_text", "text": text}],
                        },
                    ]
                },
                "reward": reward,
                "_ng_task_index": 0,
                "_ng_rollout_index": i,
            }
            for i, (text, reward) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        failed = {"_ng_failure_class": "judge_failed", "_ng_failure_judge_error": "refused"}
        self._lines(
            folder / "gym" / "rollouts_failures.jsonl", [rows[0] | {"reward": 0.0} | failed] * 3
        )
        self.nemo_gym_profile(folder / "gym")
        about = [{"agent_ref": {"name": "simple"}, "mean/reward": 0.5}]
        for name in ("rollouts_agent_metrics.json", "rollouts_aggregate_metrics.json"):
            (folder / "gym" / name).write_text(json.dumps(about))
        self._lines(folder / "gym" / "rollouts_materialized_inputs.jsonl", [{"_ng_task_index": 0}])
        return self._lines(folder / "gym" / "rollouts.jsonl", rows).parent

    def nemo_gym_profile(self, folder: Path) -> Path:
        infos = [
            {"rollout_id": f"0:{i}", "_ng_task_index": 0, "_ng_rollout_index": i, "reward": reward}
            for i, reward in enumerate((1.0, 0.0, 1.0))
        ]
        row = {"_ng_task_index": 0, "mean/reward": 2 / 3, "num_rollouts": 3}
        row |= {"sample": {"responses_create_params": {"input": CHAT}}, "rollout_infos": infos}
        return self._lines(folder / "rollouts_reward_profiling.jsonl", [row])

    def prime_rl(self, folder: Path) -> Path:
        """The episodes that the real verifiers wrote; see write_traces.py."""
        text = Path(__file__).with_name("verifiers_traces.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        step = folder / "rollouts" / "step_5" / "train"
        self._lines(step / "all" / "traces.jsonl", rows)
        self._lines(step / "effective" / "traces.jsonl", rows[:1])
        resolved = folder / "rollouts" / "configs" / "resolved"
        self._lines(resolved / "eval.json", [{"model": "org/policy", "num_rollouts": 2}])
        self._lines(folder / "rollouts" / "step_5" / "eval" / "all" / "traces.jsonl", rows)
        return folder / "rollouts"

    def verifiers(self, folder: Path) -> Path:
        rows = [
            {"example_id": i, "prompt": CHAT, "answer": "24", "reward": reward, "metrics": {}}
            | {"completion": [{"role": "assistant", "content": text}], "is_truncated": False}
            for i, (text, reward) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        (folder / "vf").mkdir()
        (folder / "vf" / "metadata.json").write_text(json.dumps({"env": "count", "model": "m"}))
        return self._lines(folder / "vf" / "results.jsonl", rows).parent

    def areal(self, folder: Path) -> Path:
        """The text has its special tokens; task_id counts what was sent to the engine."""
        rows = [
            {"task_id": 7, "sample_idx": i, "seqlen": 9, "prompt_len": 4, "reward": r}
            | {"head_version": 12, "tail_version": 12, "prompt": self.prompt}
            | {"completion": text + self.tokenizer.eos_token}
            for i, (text, r) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        older = [row | {"reward": 0.3, "head_version": 11, "tail_version": 11} for row in rows]
        self._lines(folder / "rollout" / "11" / "7.jsonl", older)
        return self._lines(folder / "rollout" / "12" / "7.jsonl", rows).parent.parent

    def rllm(self, folder: Path) -> Path:
        """What EpisodeLogger.log_episodes_batch writes: a file an episode, no tokens."""
        episodes = folder / "episodes"
        for mode in ("train", "val"):
            step = episodes / f"{mode}_step_4_epoch_0"
            step.mkdir(parents=True)
            for i, text in enumerate(SAID):
                (step / f"episode_hashab_idt9_{i}.json").write_text(self._episode(i, text))
            summary = {"training_step": 4, "mode": mode, "episode_files": [], "summary_stats": {}}
            (step / "batch_summary.json").write_text(json.dumps(summary, indent=2))
        return episodes

    def rllm_eval(self, folder: Path) -> Path:
        """What EvalEpisodeStore writes: the whole episode, with tokens if the engine had them."""
        run = folder / "run"
        (run / "episodes").mkdir(parents=True)
        (run / "meta.json").write_text(json.dumps({"dataset": "count", "model": "m"}))
        items = [{"idx": i, "reward": 1.0 - i, "is_correct": i == 0} for i in range(2)]
        (run / "results.json").write_text(json.dumps({"score": 0.5, "items": items}))
        for i, text in enumerate(SAID):
            episode = json.loads(self._episode(i, text))
            episode |= {"id": episode.pop("episode_id"), "eval_idx": i, "artifacts": {}}
            del episode["training_step"]
            (step,) = episode["trajectories"][0]["steps"]
            step |= {"prompt_ids": self.prompt_ids, "response_ids": self.ids[i], "logprobs": []}
            path = run / "episodes" / f"episode_00000{i}_t9.json"
            path.write_text(json.dumps(episode, indent=2))
        return run

    def _episode(self, i: int, text: str) -> str:
        chat = [*CHAT, {"role": "assistant", "content": text}]
        step = {"observation": None, "thought": "", "action": None, "reward": 0.0, "done": True}
        step |= {"model_response": text, "chat_completions": chat, "timing": {}}
        task = {"id": "t9", "instruction": QUESTION, "metadata": {"answer": "24"}}
        trajectory = {"name": "solver", "uid": f"u{i}", "reward": None, "num_steps": 1}
        episode = {"training_step": 4, "epoch": 0, "episode_id": f"t9:{i}", "session_id": None}
        episode |= {"task": task, "task_hash": "ab", "is_correct": i == 0, "metrics": {}}
        episode |= {"termination_reason": "env_done", "metadata": {}, "timing": {}}
        episode |= {"trajectories": [trajectory | {"timing": {}, "steps": [step]}]}
        return json.dumps(episode, indent=2)

    def open_r1(self, folder: Path) -> Path:
        """Beside the data set's own columns, such as a model's earlier generations."""
        row = {"problem": QUESTION, "solution": "24", "generations": ["It is 24."]}
        row |= {"pass_rate_generations": SAID, "pass_rate_rewards": [1.0, 0.0]}
        return self._lines(folder / "pass_rates.jsonl", [row])

    def openrlhf(self, folder: Path) -> Path:
        rows = [
            {"input": self.prompt, "output": text, "reward": reward}
            for text, reward in zip(SAID, (1.0, 0.0), strict=True)
        ]
        return self._lines(folder / "generated.jsonl", rows)

    def _lines(self, path: Path, rows: list[dict[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path


#: What is told of each trainer's files beyond what is told of all text.
TOLD = {
    "open_instruct": ["a reward of open-instruct's scale"],
    "areal": ["from earlier steps"],
    "nemo_gym": ["3 recorded attempts failed"],
    "prime_rl": [
        "1 recorded attempts failed",
        "1 files of validation",
        "2 of 2 recorded rollouts were sampled with another temperature",
        "1 of 2 recorded rollouts were sampled while the policy was updated",
    ],
    "nemo_rl": ["1 files of validation"],
    "rllm": ["2 files of validation"],
}
TRAINERS = [n for n in vars(Written) if not n.startswith("_") and n != "nemo_gym_profile"]
EXACT = {"open_instruct", "nemo_rl", "prime_rl", "rllm_eval"}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_dump(tmp_path: Path, tokenizer: Any, pool: pa.Table, trainer: str) -> None:
    """Recognised, with all that lies beside it: text, tokens, rewards, steps, and what is told."""
    written = Written(tokenizer, pool)
    path = getattr(written, trainer)(tmp_path)
    engine = RecordedEngine(RolloutConfig(recorded=(path,), num_rollouts=2), tokenizer)
    rows = engine.sample(pool).to_pylist()
    assert [row["completion"] for row in rows] == list(SAID)
    assert [row["recorded_reward"] for row in rows] == [1.0, 0.0]
    assert [row["token_ids"] for row in rows] == written.ids
    assert {row["finish_reason"] for row in rows} == {"stop"}
    records = [record for file in engine.files for record in file]
    assert {record.token_ids is None for record in records} == {trainer not in EXACT}
    told = TOLD.get(trainer, []) + ["2 of"] * (trainer not in EXACT)
    messages = warnings(engine.counts)
    assert len(messages) == len(told)
    assert all(any(part in message for message in messages) for part in told)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_format_that_is_named(tmp_path: Path, tokenizer: Any, pool: pa.Table, trainer: str):
    path = getattr(Written(tokenizer, pool), trainer)(tmp_path)
    found = {record.format for file in read_records([path])[0] for record in file}
    assert found == {trainer.removesuffix("_eval").replace("_", "-")}
    (name,) = found
    assert read_records([path], format_name=name) == read_records([path])
    other = "areal" if name != "areal" else "verl"
    with pytest.raises(LearnAlignError, match=rf"(?s)those of {name}.*the columns of {other}"):
        read_records([path], format_name=other)


def test_a_format_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match=r"(?s)format 'verll'.*nearest is 'verl'"):
        read_records([tmp_path], format_name="verll")


def test_the_steps_of_each_trainer(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    written = Written(tokenizer, pool)
    steps = {"verl": {4}, "trl": {3}, "open_instruct": {9}, "nemo_rl": {6}, "prime_rl": {5}}
    steps |= {"areal": {11, 12}, "rllm": {4}, "rllm_eval": {-1}, "openrlhf": {-1}}
    for trainer, expected in steps.items():
        (tmp_path / trainer).mkdir()
        files, _ = read_records([getattr(written, trainer)(tmp_path / trainer)])
        assert {record.step for file in files for record in file} == expected, trainer


def test_no_id_of_a_rollout_is_taken_for_a_problems(tmp_path: Path, tokenizer: Any, pool: Any):
    """verl's uid and AReaL's task_id number rollouts; a pool may number its problems alike."""
    written = Written(tokenizer, pool)
    for path in (written.verl(tmp_path), written.areal(tmp_path)):
        assert {dict(r.ids).get("uid", dict(r.ids).get("task_id")) for f in read_records([path])[0]
                for r in f} == {None}  # fmt: skip


def test_what_the_real_verifiers_wrote(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    """Token ids and log-probabilities survive, a judge's trace does not count, a retry does."""
    written = Written(tokenizer, pool)
    (records,), counts = read_records([Path(__file__).with_name("verifiers_traces.jsonl")])
    assert [record.token_ids for record in records] == written.ids
    assert [list(record.prompt_ids or ()) for record in records] == [written.prompt_ids] * 2
    assert records[0].logprobs == [-0.5] * len(written.ids[0])
    assert [record.mixed for record in records] == [False, True]
    assert {(r.model, r.temperature, r.finish_reason) for r in records} == {
        ("org/policy", 0.7, "stop")
    }
    assert counts == Counter(failed=1)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ((0.0, 10.0, 4.0), [0.0, 1.0, 0.4]),  # fractional scores
        ((0.0, 0.5, 1.0), [0.0, 0.5, 1.0]),  # verification_reward 1
        ((-10.0, 10.0, 0.0), [0.0, 1.0, 0.0]),  # non_stop_penalty
        ((-10.0, 0.0, 0.0), [0.0, 0.0, 0.0]),
        ((0.0, 1.0, 11.0, 10.0), [0.0, 0.0, 1.0, 1.0]),  # an additive format reward of 1
        ((5.0, 11.0, 0.0), [None, None, None]),  # with fractional scores: not to be separated
        ((0.0, 0.0), [0.0, 0.0]),
    ],
)
def test_the_scale_of_open_instruct(
    tmp_path: Path, tokenizer: Any, pool: pa.Table, written: Any, read: Any
) -> None:
    """It is that of the whole import: each of these rewards is in a file of its own."""
    folder = Written(tokenizer, pool).open_instruct(tmp_path, written)
    files, counts = read_records([folder])
    assert [record.reward for file in files for record in file] == read
    assert {record.model for file in files for record in file} == {"org/policy"}
    assert counts["penalised"] == sum(reward < 0 for reward in written)
    assert counts["inseparable"] == 3 * (read[0] is None)


def test_missing_rewards_are_nan_in_some_formats(tmp_path: Path) -> None:
    """They are judged, not left out as broken."""
    row = {"problem": QUESTION, "pass_rate_generations": SAID}
    path = tmp_path / "r1.jsonl"
    path.write_text(json.dumps(row | {"pass_rate_rewards": [float("nan"), 1.0]}))
    (records,), _ = read_records([path])
    assert [record.reward for record in records] == [None, 1.0]
    table = {"step": [1], "prompt": ["?"], "completion": ["4"], "advantage": [0.0]}
    pq.write_table(pa.table(table | {"accuracy": [float("nan")]}), tmp_path / "trl.parquet")
    (records,), _ = read_records([tmp_path / "trl.parquet"])
    assert [record.reward for record in records] == [None]


def test_pickles_are_refused_by_name_or_counted(tmp_path: Path, tokenizer: Any, pool: pa.Table):
    """Nothing opens them: these are not even valid."""
    folder = Written(tokenizer, pool).verl(tmp_path)
    for name in ("rollout_1.pt", "rollout_2.pkl"):
        (folder / name).write_bytes(b"no pickle")
    engine = RecordedEngine(RolloutConfig(recorded=(folder,)), tokenizer)
    assert engine.sample(pool).num_rows == 2
    assert any(text.startswith("2 pickles were not read") for text in warnings(engine.counts))
    (folder / "4.jsonl").unlink()
    with pytest.raises(LearnAlignError, match=r"(?s)rollout_1.pt, rollout_2.pkl.*slime, SkyRL"):
        read_records([folder])


OTHERS = {
    "meta.json": '{"run": "x", "learning_rate": 1e-6, "files": ["1.jsonl"]}',
    "config.json": '{"model": {"path": "x"}}',
    "trainer_state.json": '{"log_history": [{"loss": 1.0}, {"loss": 0.5}], "best": null}',
    "log.csv": "step,loss\n1,0.5\n",
    "metrics.jsonl": '{"step": 1, "loss": 0.5}\n',
}


def test_files_without_rollouts_are_left_out_of_a_folder(tmp_path: Path) -> None:
    """Whoever wrote them; but not if they are named, are all that there is, or are broken."""
    for name, text in OTHERS.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(LearnAlignError, match=name):
            read_records([tmp_path / name])
    with pytest.raises(LearnAlignError, match=str(tmp_path)):
        read_records([tmp_path])
    rollouts = tmp_path / "rollouts.jsonl"
    rollouts.write_text('{"problem_id": "a", "response": "4", "reward": 1}\n')
    (records, counts) = read_records([tmp_path])
    assert sum(map(len, records)) == 1
    assert counts["other_files"] == len(OTHERS)
    for broken in ('{"problem_id": "a", "resp', "{}\n", '{"response": "4", "reward": 1}\n'):
        (tmp_path / "2.jsonl").write_text(broken)
        with pytest.raises(LearnAlignError, match=r"2\.jsonl"):
            read_records([tmp_path])


def test_reading_shows_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two files of about 2 MiB and one of 1: nothing is shown at first."""
    monkeypatch.setattr("learnalign.terminal.progress._LATE_S", 60.0)
    row = {"id": "a", "completion": "x" * 1000, "reward": 1.0}
    for name, count in (("1", 2000), ("2", 2000), ("3", 1000)):
        lines = (json.dumps(row | {"n": f"{name}-{n}"}) for n in range(count))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    read_records([tmp_path], progress=Progress("lines"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("learnalign.terminal.progress._LATE_S", 0.0)
    monkeypatch.setattr("learnalign.terminal.progress._LINE_S", 0.0)
    read_records([tmp_path], progress=Progress("lines"))
    shown = capsys.readouterr().err.splitlines()
    done = [int(line.split()[1]) for line in shown]
    assert done == sorted(done)
    assert {1, 2, 3, 4, 5} <= set(done)
    assert shown[-1].startswith("recorded: 5 of 5 MiB")


def test_validation_is_read_if_it_is_named(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    episodes = Written(tokenizer, pool).rllm(tmp_path)
    files, counts = read_records([episodes / "val_step_4_epoch_0"])
    assert [record.completion for file in files for record in file] == list(SAID)
    assert counts["validation_files"] == 0


def test_each_step_of_a_training_is_a_file(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    written = Written(tokenizer, pool)
    for step in (2, 10, 9):  # an older verl leaves the step out of the rows
        folder = written.verl(tmp_path, step, **({} if step > 2 else {"step": None}))
    engine = RecordedEngine(RolloutConfig(recorded=(folder,)), tokenizer)
    assert engine.sample(pool).num_rows == 2
    assert {record.step for group in engine.files for record in group} == {2, 9, 10}
    assert engine.counts["recorded_older"] == 4


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_steps_as_text_and_in_names(tmp_path: Path, tokenizer: Any, pool: pa.Table, suffix: str):
    """TRL's tables had the step as text; in CSV so are the rewards. A name may have it, too."""
    row = {
        "prompt": QUESTION,
        "completion": "24 legs",
        "advantage": "0.5",
        "accuracy_reward": "1.0",
    }
    folder = tmp_path / "completions"
    folder.mkdir()
    for step in (9, 10, 100):
        columns = row if step == 100 else row | {"step": str(step)}
        path = folder / f"completions_{step:05d}.{suffix}"
        table = pa.Table.from_pylist([columns] * 2)
        pq.write_table(table, path) if suffix == "parquet" else pc_csv.write_csv(table, path)
    engine = RecordedEngine(RolloutConfig(recorded=(folder,), num_rollouts=2), tokenizer)
    assert engine.sample(pool)["recorded_reward"].to_pylist() == [1.0, 1.0]
    assert [[record.step for record in file] for file in engine.files] == [
        [9] * 2,
        [10] * 2,
        [100] * 2,
    ]
    assert {record.format for file in engine.files for record in file} == {"trl"}
    assert engine.counts["recorded_older"] == 4


@pytest.mark.parametrize(
    ("step", "read"), [("10", 10), ("global_step_7", 7), ("12.0", 12), ("", -1)]
)
def test_a_step_in_any_form(tmp_path: Path, step: str, read: int) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_text(json.dumps({"id": "a", "completion": "b", "step": step}))
    assert read_records([path])[0][0][0].step == read
    path.write_text(json.dumps({"id": "a", "completion": "b", "step": "the last"}))
    with pytest.raises(LearnAlignError, match="line 1: the step is 'the last'"):
        read_records([path])


def test_a_csv_file_has_everything_as_text(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.csv"
    path.write_text(
        "id,token_ids,logprobs,reward,step,is_truncated,completion\n"
        '7,"[5, 6]","[-0.5, -1]",0.25,3,True,\n7,,,,3,False,text\n'
    )
    ((first, second),), _ = read_records([path])
    assert (first.token_ids, first.logprobs, first.reward) == ([5, 6], [-0.5, -1.0], 0.25)
    assert (first.ids, first.step, first.finish_reason) == ({"id": "7"}, 3, "length")
    assert (second.completion, second.reward, second.token_ids) == ("text", None, None)
    path.write_text('id,responses,rewards\n7,"[""a"", ""b""]","[1, 0]"\n')
    (records,), _ = read_records([path])
    assert [(record.completion, record.reward) for record in records] == [("a", 1.0), ("b", 0.0)]


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"output": "24", "gold": "24"}, "counts"),  # a NeMo-RL pool's gold
        ({"input": QUESTION, "output": "24"}, "counts"),
        ({"score": 0.02, "rank": 1}, "counts"),  # scores.parquet
        ({"response": "24 legs", "reward": 1.0}, "plain"),  # a rollout with its group's counts
        ({"responses": ["24 legs"], "score": [1.0]}, "plain"),
        ({"input": "?", "output": "24 legs", "reward": 0.0}, "openrlhf"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_counts_beside_a_gold(tmp_path: Path, columns: Any, name: str, as_text: bool) -> None:
    counts = {"problem_id": "a", "num_correct": 1, "num_rollouts": 4}
    if as_text:
        counts = {key: str(value) for key, value in counts.items()}
    path = tmp_path / "counts.jsonl"
    path.write_text(json.dumps(counts | columns))
    (records,), _ = read_records([path])
    assert {record.format for record in records} == {name}
    if name == "counts":
        assert [record.reward for record in records] == [1.0, 0.0, 0.0, 0.0]


def test_several_reward_functions_are_not_guessed_between(tmp_path: Path, tokenizer: Any) -> None:
    row = {"step": 3, "prompt": "?", "completion": "4", "advantage": 0.0}
    path = tmp_path / "completions_00003.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"accuracy": 1.0, "form": 0.5}]), path)
    with pytest.raises(LearnAlignError, match=r"(?s)accuracy, form.*recorded_reward=accuracy"):
        RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    config = RolloutConfig(recorded=(path,), recorded_reward="form")
    assert RecordedEngine(config, tokenizer).files[0][0].reward == 0.5


def test_an_agents_turns_are_no_response(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    """Several turns, tools and failures are left out, and counted."""
    said = {"message": {"role": "assistant", "content": "24"}}
    tool = {"type": "function_call", "name": "count"}
    rows = [
        {"task": {"data": {"prompt": QUESTION}}, "nodes": [said, said], "rewards": {}},
        {"task": {"data": {"prompt": QUESTION}}, "nodes": [said], "rewards": {"a": None},
         "errors": [{"type": "Timeout"}]},
        {"task": {"data": {"prompt": QUESTION}}, "errors": ["x"], "traces": [{"nodes": [said]}]},
        {"task": {"question": QUESTION}, "is_correct": True,
         "trajectories": [{"steps": [{"model_response": "a"}, {"model_response": "b"}]}]},
        {"responses_create_params": {"input": CHAT}, "reward": 1.0,
         "response": {"output": [tool, {"type": "message", "content": "24"}]}},
        {"token_ids": [1, 2, 3, 4, 5], "token_loss_mask": [0, 1, 0, 1, 0], "rewards": 1.0,
         "prompt": QUESTION},
    ]  # fmt: skip
    rows += [{"prompt": QUESTION, "completion": text} for text in SAID]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    assert engine.sample(pool)["completion"].to_pylist() == list(SAID)
    assert engine.counts["recorded_multi_turn"] == 4
    assert engine.counts["recorded_empty"] == 0
    assert engine.counts["recorded_failed"] == 2


def test_a_dump_of_an_environment_with_tools(tmp_path: Path, tokenizer: Any, pool: pa.Table):
    """Its rewards serve methods without gradients; no message of it becomes a response."""
    call = {"role": "assistant", "content": "Let me count.", "tool_calls": ["{}"]}
    tool, said = {"role": "tool", "content": "24"}, {"role": "assistant", "content": "24 legs"}
    user = {"role": "user", "content": "Are you sure?"}
    several = [[call, tool, said], [call], [said, user], [said, user, said]]
    rows = [
        {"example_id": 0, "prompt": CHAT, "completion": messages, "reward": i % 2, "answer": "24"}
        for i, messages in enumerate(several)
    ]
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    table = engine.sample(pool)
    assert engine.has_counts
    assert table["recorded_reward"].to_pylist() == [0.0, 1.0, 0.0, 1.0]
    assert table["completion"].null_count == table["token_ids"].null_count == 4
    assert warnings(engine.counts)[0].startswith("4 of 4 recorded rollouts have several turns")
    single = [row | {"completion": [*CHAT, said]} for row in rows[:2]]
    path.write_text("\n".join(map(json.dumps, rows + single)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    assert engine.sample(pool)["completion"].to_pylist() == ["24 legs"] * 2
    assert not engine.has_counts
    assert warnings(engine.counts)[-1].startswith("4 recorded rollouts have several turns or use")


def test_a_file_without_rows_among_others_is_counted(tmp_path):
    (tmp_path / "1.jsonl").touch()
    (tmp_path / "2.jsonl").write_text('{"id": "a", "completion": "4", "reward": 1.0}\n')
    records, counts = read_records([tmp_path])
    assert [len(found) for found in records] == [0, 1]
    assert counts["blank_files"] == 1
    assert warnings({"recorded_blank_files": 1}) == ["1 files have no rows"]


def test_hidden_and_temporary_files_are_not_read(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("2.jsonl", ".3.jsonl", "4.jsonl.tmp", ".ipynb_checkpoints/2.jsonl"):
        (tmp_path / name).write_text(f'{{"id": "a", "completion": "{name}", "reward": 1.0}}\n')
    ((record,),), _ = read_records([tmp_path])
    assert record.completion == "2.jsonl"


@pytest.mark.parametrize(
    "name", ["results.json", "meta.json", "batch_summary.json", "metadata.json", "configs/a.json",
             "run_metadata.jsonl", "x_agent_metrics.json"]
)  # fmt: skip
@pytest.mark.parametrize("beside", [None, "more.jsonl", "more.parquet", "more.jsonl.gz"])
def test_another_trainers_names_of_side_files_are_data(tmp_path, name, beside):
    rows = [{"id": f"p{n}", "completion": "4", "reward": 1.0} for n in range(3)]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(
        "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
    )
    if beside == "more.parquet":
        pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / beside)
    elif beside is not None:
        text = json.dumps(rows[0]).encode()
        (tmp_path / beside).write_bytes(gzip.compress(text) if beside.endswith("gz") else text)
    records, _ = read_records([tmp_path])
    assert sum(map(len, records)) == 3 + (beside is not None)


def test_a_response_of_verl_that_ended_at_once_counts(
    tmp_path: Path, tokenizer: Any, pool: pa.Table
) -> None:
    rows = [{"input": QUESTION, "output": text, "gts": "24", "score": score, "step": 1}
            for text, score in (("", 0.0), ("24", 1.0))]  # fmt: skip
    path = tmp_path / "1.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    assert engine.sample(pool)["recorded_reward"].to_pylist() == [0.0, 1.0]
    assert engine.counts["recorded_empty"] == 0
