"""The loop of fixed shapes against the loop that grows, and against plain forward passes."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.tiny_models import tiny_model
from learnalign.config import ModelConfig, RolloutConfig
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.rollouts import fixed_decoding, fixed_step
from learnalign.rollouts.fixed_decoding import FixedDecoder, can_decode
from learnalign.rollouts.graphs import GraphRunner
from learnalign.rollouts.transformers import TransformersEngine

FAMILIES = ("llama", "qwen2", "qwen3", "gpt2", "gemma", "mixtral")
END_IDS = (2, 11)


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return load_tokenizer(ModelConfig(path=str(smollm2), device="cpu"))


@pytest.fixture(autouse=True)
def small_lengths(monkeypatch):
    """Let the cache of the tiny models grow several times within their context of 64."""
    monkeypatch.setattr(fixed_decoding, "_LEAST_LENGTH", 8)


def pool(lengths=(2, 9, 5, 17, 1)):
    rows = [
        {"problem_id": f"p{n}", "prompt_ids": [3 + (7 * i * n) % 50 for i in range(n)]}
        for n in lengths
    ]
    return pa.Table.from_pylist(rows)


def engines(model, tokenizer, config, *, seed=0, end_ids=END_IDS):
    """Return an engine with the growing loop, and one with fixed shapes."""
    made = []
    for fixed in (None, FixedDecoder(model, capture=False)):
        engine = TransformersEngine(model, tokenizer, config, seed=seed)
        engine.end_ids, engine.fixed = torch.tensor(end_ids, dtype=torch.long), fixed
        made.append(engine)
    return made


def assert_same(growing, fixed, problems, *, atol=1e-5):
    """Both engines sample the same; returns the rows."""
    expected, found = growing.sample(problems).to_pylist(), fixed.sample(problems).to_pylist()
    assert fixed.fixed is not None
    assert fixed.fixed.store is not None
    assert len(expected) == len(found)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b.pop("logprobs"), a["logprobs"], atol=atol)
        assert b == {key: value for key, value in a.items() if key != "logprobs"}
    assert fixed.failures == growing.failures
    return expected


OPTIONS = {
    "plain": {},
    "greedy": {"temperature": 0.0},
    "nucleus": {"temperature": 0.7, "top_p": 0.8},
    "batches": {"token_budget": 300},
    "one token": {"max_tokens": 1},
    "one look": {"max_tokens": fixed_step.STEPS},
    "one more": {"max_tokens": fixed_step.STEPS + 1},
    "single rows": {"num_rollouts": 1, "token_budget": 1},
}


@pytest.mark.parametrize(
    ("family", "options"),
    [*(("llama", name) for name in OPTIONS), *((family, "nucleus") for family in FAMILIES[1:])],
)
def test_token_for_token(tokenizer, family, options):
    model = tiny_model(family, torch.float32)
    config = RolloutConfig(**({"num_rollouts": 4, "max_tokens": 40} | OPTIONS[options]))
    assert_same(*engines(model, tokenizer, config), pool())


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_those_of_a_plain_forward_pass(tokenizer, family):
    model = tiny_model(family, torch.float32)
    config = RolloutConfig(num_rollouts=4, max_tokens=40, temperature=0.7)
    problems = pool()
    _, engine = engines(model, tokenizer, config)
    prompts = {row["problem_id"]: row["prompt_ids"] for row in problems.to_pylist()}
    for row in engine.sample(problems).to_pylist():
        prompt, ids = prompts[row["problem_id"]], row["token_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = (logits / 0.7).log_softmax(-1)[range(len(ids)), ids]
        np.testing.assert_allclose(row["logprobs"], logprobs, atol=2e-3)


def test_stop_strings_wherever_they_fall(tokenizer):
    """Of one, two and three tokens, completed at the beginning and the end of a look."""
    model = tiny_model("llama", torch.float32)
    plain = RolloutConfig(num_rollouts=8, max_tokens=40)
    texts = engines(model, tokenizer, plain, end_ids=())[0].sample(pool())["completion"].to_pylist()
    stops = (texts[0][3], texts[1][10:12], texts[9][20:23], texts[17][7:9])
    config = RolloutConfig(num_rollouts=8, max_tokens=40, stop=stops)
    rows = assert_same(*engines(model, tokenizer, config), pool())
    lengths = {len(row["token_ids"]) for row in rows if row["finish_reason"] == "stop"}
    assert {n % fixed_step.STEPS for n in lengths} == set(range(fixed_step.STEPS))
    assert any(row["finish_reason"] == "length" for row in rows)
    assert not any(stop in row["completion"] for row in rows for stop in stops)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_responses_end_where_the_context_does(tokenizer, family):
    """Also when a finished row stays in the batch, beyond the positions that gpt2 has."""
    problems = pool((61, 3, 4, 5, 6, 7, 8))
    config = RolloutConfig(num_rollouts=1, max_tokens=30)
    growing, fixed = engines(tiny_model(family, torch.float32), tokenizer, config, end_ids=())
    rows = assert_same(growing, fixed, problems)
    assert [len(row["token_ids"]) for row in rows] == [3, *[30] * 6]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sick_problem_does_not_touch_later_batches(tokenizer, temperature):
    """NaN that it leaves in the memory of the cache must not reach the rows that come after it."""
    model = tiny_model("llama", torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = float("nan")
    never = torch.tensor([60])  # is that token sampled
    model.lm_head.register_forward_hook(lambda _m, _i, out: out.index_fill(-1, never, -1e9))
    sick = {"problem_id": "sick", "prompt_ids": [5] * 20 + [60] * 5}
    well = [{"problem_id": f"well{n}", "prompt_ids": [4] * n} for n in (3, 6, 9)]
    config = RolloutConfig(num_rollouts=4, max_tokens=40, temperature=temperature, token_budget=300)
    problems = pa.Table.from_pylist([sick, *well])
    growing, fixed = engines(model, tokenizer, config)
    rows = assert_same(growing, fixed, problems)
    assert fixed.failures == [("sick", "nonfinite_logits", "the model's logits contain NaN or Inf")]
    assert {row["problem_id"] for row in rows} == {"well3", "well6", "well9"}


def test_a_sample_depends_on_its_number_only(tokenizer):
    """Not on the rows beside it, the order, or which samples are asked for."""
    model = tiny_model("qwen2", torch.float32)
    config = RolloutConfig(num_rollouts=6, max_tokens=40)
    _, whole = engines(model, tokenizer, config)
    everything = {
        (row["problem_id"], row["sample"]): row["token_ids"]
        for row in whole.sample(pool()).to_pylist()
    }
    part = whole.sample(pool((17, 5)), samples=range(3, 5)).to_pylist()
    assert [(row["problem_id"], row["sample"]) for row in part] == [
        ("p17", 3),
        ("p17", 4),
        ("p5", 3),
        ("p5", 4),
    ]
    assert all(everything[row["problem_id"], row["sample"]] == row["token_ids"] for row in part)
    _, other = engines(model, tokenizer, config, seed=1)
    assert [row["token_ids"] for row in other.sample(pool()).to_pylist()] != list(
        everything.values()
    )


def test_few_shapes(tokenizer, monkeypatch):
    """Rows and lengths shrink and grow in steps, and a later batch meets the same shapes."""
    model = tiny_model("llama", torch.float32)
    _, engine = engines(model, tokenizer, RolloutConfig(num_rollouts=8, max_tokens=40))
    shapes = []
    run = GraphRunner.run

    def noting(self, kind, step, times):
        shapes.append((kind.rows, kind.length))
        run(self, kind, step, times)

    monkeypatch.setattr(GraphRunner, "run", noting)
    engine.sample(pool())
    rows, lengths = zip(*shapes, strict=True)
    assert rows[0] == 48  # 40, rounded up
    assert sorted(rows, reverse=True) == list(rows)
    assert sorted(lengths) == list(lengths)
    assert len(set(rows)) > 2
    assert len(set(lengths)) > 2
    assert set(rows) <= {48, 32, 24, 16, 12, 8, 4}
    assert set(lengths) <= {24, 32, 40, 48, 56, 64}
    engine.seed = 1
    seen = set(shapes)
    engine.sample(pool())
    assert len(set(shapes) - seen) <= 4


def test_models_that_keep_more_than_keys_and_values_grow(tokenizer):
    model = tiny_model("sliding", torch.float32)
    _, engine = engines(model, tokenizer, RolloutConfig(num_rollouts=2, max_tokens=8))
    assert engine.sample(pool()).num_rows == 10
    assert engine.fixed.store is None


def test_which_models_can():
    cache = lambda model: model(torch.tensor([[3, 4]]), use_cache=True).past_key_values  # noqa: E731
    for family in FAMILIES:
        model = tiny_model(family, torch.float32)
        assert can_decode(model, cache(model)), family
    model = tiny_model("sliding", torch.float32)
    assert not can_decode(model, cache(model))
    model = tiny_model("llama", torch.float32)
    kept = cache(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_decode(model, kept)
    model.config.rope_parameters["rope_type"] = "dynamic"
    assert not can_decode(model, kept)
    model = tiny_model("llama", torch.float32)
    model.set_attn_implementation("eager")
    assert not can_decode(model, kept)


class WaitCounter(TorchDispatchMode):
    """Counts what would make the CPU wait for a GPU: reading values, or shapes that follow them."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount")
    READING = ("tolist", "item", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__")

    def __init__(self, monkeypatch):
        super().__init__()
        self.found = []
        for name in self.READING:
            monkeypatch.setattr(torch.Tensor, name, self._noting(name, getattr(torch.Tensor, name)))

    def _noting(self, name, method):
        def noted(tensor, *args, **kwargs):
            self.found.append(name)
            return method(tensor, *args, **kwargs)

        return noted

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if masked or any(name.startswith(waiting) for waiting in self.WAITING):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_the_host_waits_for_no_step(tokenizer, monkeypatch, family, temperature, top_p):
    model = tiny_model(family, torch.float32)
    config = RolloutConfig(num_rollouts=4, max_tokens=40, temperature=temperature, top_p=top_p)
    _, engine = engines(model, tokenizer, config)
    waits, steps = WaitCounter(monkeypatch), []
    run = GraphRunner.run

    def counted(self, kind, step, times):
        with waits:
            before = len(waits.found)
            run(self, kind, step, times)
        steps.append((times, waits.found[before:]))

    monkeypatch.setattr(GraphRunner, "run", counted)
    engine.sample(pool())
    assert sum(times for times, _ in steps) >= fixed_step.STEPS - 1
    assert all(not found for _, found in steps)
    with waits:  # the loop that grows does wait: transformers looks into its mask
        state, logits = engine._start(engine._run_prompts([[3, 4], [5]]), 2)
        waits.found.clear()
        engine._step(state, logits.argmax(-1))
    assert waits.found


class Recorded(GraphRunner):
    """Stands in for CUDA: what is captured is kept and not run; a replay runs it."""

    def __init__(self):
        super().__init__(capture=True)
        self.captures, self.replays = [], 0

    def _warm_up(self, step):
        step()

    def _captured(self, step):
        self.captures.append(step)
        runner = self

        class Graph:
            def replay(self):
                runner.replays += 1
                step()

        return Graph()

    def _synchronize(self):
        pass


def with_graphs(engine):
    """Give an engine the stand-in for CUDA graphs."""
    engine.fixed.runner = Recorded()
    return engine.fixed.runner


def test_a_shape_is_captured_once_and_then_replayed(tokenizer):
    model = tiny_model("llama", torch.float32)
    config = RolloutConfig(num_rollouts=8, max_tokens=40)
    growing, fixed = engines(model, tokenizer, config)
    runner = with_graphs(fixed)
    assert_same(growing, fixed, pool())
    first, replays = len(runner.captures), runner.replays
    assert first > 2
    assert replays > 2 * first
    for seed in range(1, 4):
        growing.seed = fixed.seed = seed
        assert_same(growing, fixed, pool())
    assert len(runner.captures) < 2 * first
    assert runner.replays > 3 * replays


def test_graphs_follow_weights_that_change_and_are_dropped_with_weights_that_move(tokenizer):
    model = tiny_model("llama", torch.float32)
    growing, fixed = engines(model, tokenizer, RolloutConfig(num_rollouts=8, max_tokens=24))
    runner = with_graphs(fixed)
    before = assert_same(growing, fixed, pool())
    graphs = list(runner._graphs.values())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    assert assert_same(growing, fixed, pool()) != before
    assert set(graphs) <= set(runner._graphs.values())
    weight = model.get_input_embeddings().weight
    weight.data = weight.data.clone()
    assert_same(growing, fixed, pool())
    assert not set(graphs) & set(runner._graphs.values())
    fixed.close()
    assert not runner._graphs
    assert fixed.fixed.store is None
    assert_same(growing, fixed, pool())


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, torch.OutOfMemoryError])
def test_a_step_that_cannot_be_captured_costs_a_warning(tokenizer, monkeypatch, error):
    model = tiny_model("llama", torch.float32)
    config = RolloutConfig(num_rollouts=4, max_tokens=24, token_budget=300)
    growing, fixed = engines(model, tokenizer, config)
    runner = with_graphs(fixed)

    def refuses(step):
        raise error("operation not permitted when stream is capturing")

    monkeypatch.setattr(runner, "_captured", refuses)
    with pytest.warns(RuntimeWarning, match="without CUDA graphs.*not permitted") as warned:
        found = fixed.sample(pool()).to_pylist()
    assert len(warned) == 1
    assert found == growing.sample(pool()).to_pylist()
    assert fixed.fixed is None
    assert model.config._attn_implementation == "sdpa"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed.sample(pool())


def test_lora(tokenizer):
    peft = pytest.importorskip("peft")
    plain = tiny_model("llama", torch.float32)
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(1)
    model = peft.get_peft_model(plain, settings).eval()
    config = RolloutConfig(num_rollouts=4, max_tokens=24)
    adapted = assert_same(*engines(model, tokenizer, config), pool())
    with model.disable_adapter():
        assert assert_same(*engines(model, tokenizer, config), pool()) != adapted


@pytest.mark.slow
def test_smollm2(smollm2, tokenizer):
    model = load_model(ModelConfig(path=str(smollm2), device="cpu"), dtype=torch.float32)
    questions = ("What is 3 + 4?", "Name two rivers, one a line.", "Say hello.")
    rows = []
    for number, question in enumerate(questions):
        chat = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        rows.append({"problem_id": str(number), "prompt_ids": ids})
    config = RolloutConfig(num_rollouts=4, max_tokens=20, temperature=0.7, top_p=0.9, stop=("\n",))
    ends = tuple(TransformersEngine(model, tokenizer, config, seed=3).end_ids.tolist())
    growing, fixed = engines(model, tokenizer, config, seed=3, end_ids=ends)
    found = assert_same(growing, fixed, pa.Table.from_pylist(rows), atol=1e-4)
    assert {row["finish_reason"] for row in found} == {"stop", "length"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_graphs_on_a_gpu(tokenizer, monkeypatch, options):
    """Also: no step makes the CPU wait, as torch itself sees it."""

    def watched(*args):
        torch.cuda.set_sync_debug_mode("error")
        try:
            fixed_step.step(*args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(fixed_decoding, "step", watched)
    model = tiny_model("llama", torch.float32).cuda()
    config = RolloutConfig(**({"num_rollouts": 4, "max_tokens": 40} | options))
    growing = TransformersEngine(
        model, tokenizer, config.model_copy(update={"cuda_graphs": False}), seed=0
    )
    fixed = TransformersEngine(model, tokenizer, config, seed=0)
    assert growing.fixed is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(growing, fixed, pool())
        assert_same(growing, fixed, pool())
    assert config.max_tokens == 1 or fixed.fixed.runner._graphs
