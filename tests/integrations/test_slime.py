"""Curricula in slime: its data source and its loop of a rollout are real, the server is not.

Skipped where slime is not on the path; it is not on PyPI.
"""

import json
import random
from argparse import Namespace

import pytest

from helpers.curricula import keeping
from helpers.digits import digits_model
from helpers.trainer_docs import shown_lines
from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.integrations import slime as integration

source = pytest.importorskip("slime.rollout.data_source", reason="slime is not installed")
rollout = pytest.importorskip("slime.rollout.sglang_rollout", reason="slime is not installed")

#: Rollouts of a problem, prompts of a rollout, rows.
GROUP, BATCH, ROWS = 4, 3, 12


class Source(integration.CurriculumMixin, source.RolloutDataSourceWithBuffer):
    """The user's class."""

    name = "mapp"

    def make_curriculum(self, num_problems):
        make = curriculum_named if self.args.dynamic_sampling_filter_path else keeping
        return make(self.name, num_problems, seed=3)


def named(name):
    return type("Named", (Source,), {"name": name})


def is_right(row, place, rollout_id):
    """The reward of a rollout; two rows are always right."""
    return float(row < 2 or (7 * row + 3 * place + rollout_id) % 5 < 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slime")
    digits_model(folder / "model")
    rows = [json.dumps({"text": f"{row}+1=", "label": str(row)}) for row in range(ROWS)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return folder


def arguments(files, **more):
    options = {
        "rollout_global_dataset": True, "prompt_data": str(files / "rows.jsonl"),
        "hf_checkpoint": str(files / "model"), "dump_details": None, "rollout_max_prompt_len": None,
        "input_key": "text", "multimodal_keys": None, "label_key": "label", "tool_key": None,
        "metadata_key": "metadata", "apply_chat_template": False,
        "apply_chat_template_kwargs": None, "rollout_seed": 1, "rollout_shuffle": True,
        "n_samples_per_prompt": GROUP, "buffer_filter_path": None, "reward_key": None,
        "save": None, "load": None, "rollout_batch_size": BATCH,
        "over_sampling_batch_size": BATCH, "dynamic_sampling_filter_path": None,
        "rollout_sample_filter_path": None, "partial_rollout": False,
        "rollout_all_samples_process_path": "learnalign.integrations.slime.observe",
        "sglang_server_concurrency": 8, "rollout_temperature": 1.0, "rollout_top_p": 1.0,
        "rollout_top_k": -1, "rollout_max_response_len": 1, "rollout_stop": None,
        "rollout_stop_token_ids": None, "rollout_skip_special_tokens": True,
        "rollout_num_gpus": 1, "rollout_num_gpus_per_engine": 1, "sglang_dp_size": 1,
        "sglang_router_ip": "", "sglang_router_port": 0, "sglang_server_config": None,
    }  # fmt: skip
    return Namespace(**(options | more))


@pytest.fixture
def server(monkeypatch):
    """Answer slime's requests; record the rows it samples, in the order in which they finish."""
    asked = Namespace(rollout_id=0, groups=[], reward=is_right)

    async def generate(_args, group, *_more, **_options):
        row = int(group[0].label)
        asked.groups.append(row)
        for place, sample in enumerate(group):
            sample.reward, sample.response = asked.reward(row, place, asked.rollout_id), "1"
        return group

    async def nothing(*_arguments):
        return {"workers": []}

    monkeypatch.setattr(rollout, "generate_and_rm_group", generate)
    monkeypatch.setattr(rollout, "get", nothing)
    monkeypatch.setattr(rollout, "abort_servers_until_idle", nothing)
    rollout.SingletonMeta._instances = {}
    return asked


def rolled_out(args, data, server, rollout_id):
    """Make one rollout as slime does; return the rows it sampled and those it trains on."""
    server.rollout_id, server.groups = rollout_id, []
    output = rollout.generate_rollout(args, rollout_id, data)
    return server.groups, [int(group[0].label) for group in output.samples]


def counted(rows, rollout_id):
    return [sum(is_right(row, place, rollout_id) for place in range(GROUP)) for row in rows]


@pytest.mark.parametrize("name", ["order", "mapp", "learnalign"])
def test_sampled_is_chosen_and_observed_once(files, server, name):
    args = arguments(files)
    data, independent = named(name)(args), keeping(name, ROWS, seed=3)
    seen = set()
    for rollout_id in range(6):
        sampled, trained = rolled_out(args, data, server, rollout_id)
        chosen = independent.next_batch(BATCH).tolist()
        assert trained == chosen
        independent.observe(chosen, counted(chosen, rollout_id), GROUP)
        seen |= set(sampled)
        metrics = {"rollout/other": 1.0}
        assert not integration.log_metrics(rollout_id, args, [], metrics, 1.0)
        assert metrics["curriculum/coverage"] == len(seen) / ROWS
    assert (independent.times_observed == data.curriculum.times_observed).all()
    assert independent.next_batch(BATCH).tolist() == data.curriculum.next_batch(BATCH).tolist()


@pytest.mark.parametrize("name", ["dynamic", "greso"])
def test_slimes_filter_drops_and_refills(files, server, name):
    path = "slime.rollout.filter_hub.dynamic_sampling_filters.check_reward_nonzero_std"
    args = arguments(files, dynamic_sampling_filter_path=path)
    data, dropped = named(name)(args), 0
    for rollout_id in range(6):
        before = data.curriculum.times_observed.copy()
        sampled, trained = rolled_out(args, data, server, rollout_id)
        assert len(set(sampled)) == len(sampled)
        assert len(trained) == BATCH
        assert all(0 < count < GROUP for count in counted(trained, rollout_id))
        times = data.curriculum.times_observed - before
        shown = set(times.nonzero()[0].tolist())
        assert set(trained) <= shown <= set(sampled)
        dropped += len(shown - set(trained))
    assert dropped > 0


def test_resumed_equals_uninterrupted(files, server, tmp_path):
    args = arguments(files, save=str(tmp_path))
    whole = named("order")(args)
    asked = []
    for rollout_id in range(4):
        asked.append(rolled_out(args, whole, server, rollout_id)[1])
        whole.save(rollout_id)
    resumed = named("order")(arguments(files, load=str(tmp_path)))
    resumed.load(1)
    rest = [rolled_out(resumed.args, resumed, server, rollout_id)[1] for rollout_id in (2, 3)]
    assert rest == asked[2:]
    assert resumed.curriculum.state_dict() == whole.curriculum.state_dict()
    assert resumed.sample_group_index == whole.sample_group_index
    fresh = named("order")(arguments(files, load=str(tmp_path)))
    fresh.load(-1)
    assert fresh.curriculum.times_observed.sum() == 0


def test_a_checkpoint_without_a_state_is_refused(files, tmp_path):
    source.RolloutDataSourceWithBuffer(arguments(files, save=str(tmp_path))).save(1)
    with pytest.raises(LearnAlignError, match="without the state"):
        Source(arguments(files, load=str(tmp_path))).load(1)


def test_aborted_groups_come_back_first(files):
    data = named("order")(arguments(files))
    first = data.get_samples(BATCH)
    data.add_samples(first[1:])
    second = data.get_samples(BATCH)
    assert second[:2] == first[1:]
    chosen = {group[0].metadata[integration.PROBLEM] for group in (*first, second[2])}
    assert len(chosen) == BATCH + 1


def test_a_rollout_of_several_samples_has_the_last_ones_reward(files):
    data = Source(arguments(files))
    groups = data.get_samples(BATCH)
    for group in groups:
        for place, sample in enumerate(group):
            sample.reward = None if place == 0 else float(place % 2)
    split = [[[random.choice(group), sample] for sample in group] for group in groups]
    data.observe(split)
    independent = curriculum_named("mapp", ROWS, seed=3)
    chosen = independent.next_batch(BATCH)
    independent.observe(chosen, [2] * BATCH, GROUP - 1)
    assert data.curriculum.state_dict() == independent.state_dict()


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("greso", {}, "--dynamic-sampling-filter-path"),
        ("mapp", {"rollout_all_samples_process_path": None}, "integrations.slime.observe"),
        ("mapp", {"over_sampling_batch_size": 13}, "lower --over-sampling-batch-size"),
        ("mapp", {"rollout_global_dataset": False}, "--prompt-data"),
    ],
)
def test_what_does_not_fit_is_refused(files, name, more, message):
    with pytest.raises(LearnAlignError, match=message):
        named(name)(arguments(files, **more))


def test_the_docs_lines_roll_out(files, server):
    given = {}
    exec(shown_lines("slime"), given)
    data = given["CurriculumSource"](arguments(files))
    assert data.curriculum.num_rollouts == GROUP
    trained = [rolled_out(data.args, data, server, rollout_id)[1] for rollout_id in range(2)]
    assert data.curriculum.times_observed.sum() == sum(map(len, trained))
