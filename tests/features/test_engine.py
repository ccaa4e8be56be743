"""Features of problems, held against one plain forward pass a text with all its logits."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from helpers.tiny_models import VOCABULARY, tiny_model
from learnalign import LearnAlignError
from learnalign.config import ModelConfig
from learnalign.features import forward
from learnalign.features.engine import FeatureEngine
from learnalign.features.selectit import RATING_PROMPTS, rating_text
from learnalign.models import head
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.storage.sketch_column import from_column
from learnalign.tables import features_schema

NAMES = ["llama", "qwen2", "gpt2", "gemma", "mixtral", "sliding"]
BOTH = {"bos_token": "<s>", "eos_token": "</s>"}
CHARACTERS = "12345 abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO+-=.,:\n?"


def letters(**special):
    """A tokenizer of single characters for the tiny models' vocabulary."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    vocabulary |= {c: i for i, c in enumerate(CHARACTERS, len(vocabulary))}
    assert len(vocabulary) <= VOCABULARY
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **special)


def problems(count=7, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        length = 1 if i == 2 else int(rng.integers(2, 30))
        answer = "".join(rng.choice(list("12345abc"), size=i % 4))
        rows.append(
            {
                "problem_id": f"p{i}",
                "prompt_ids": rng.integers(3, VOCABULARY, size=length).tolist(),
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": f"{i} + a ="},
                ],
                "answer": answer,
            }
        )
    return pa.Table.from_pylist(rows)


def engine(name="llama", *, special=None, context=64, **options):
    model = tiny_model(name)
    model.config.max_position_embeddings = context
    tokenizer = letters(
        **({"bos_token": "<s>", "eos_token": "</s>"} if special is None else special)
    )
    return FeatureEngine(model, tokenizer, **options)


@torch.no_grad()
def slow_losses(model, ids):
    """Minus the log-probability of each token but the first; one text, all logits, a loop."""
    logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    return [-float(logits[t].log_softmax(-1)[ids[t + 1]]) for t in range(len(ids) - 1)]


@torch.no_grad()
def slow_hidden(model, ids):
    output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    state = output.hidden_states[-1][0, -1].double()
    return (state / state.norm()).numpy()


def slow_mean(losses):
    return float(np.mean(losses)) if losses else None


def slow_row(model, tokenizer, problem, start):
    prompt = problem["prompt_ids"]
    answer = tokenizer(problem["answer"], add_special_tokens=False)["input_ids"]
    return {
        "problem_id": problem["problem_id"],
        "num_prompt_tokens": len(prompt),
        "prompt_nll": slow_mean(slow_losses(model, prompt)),
        "answer_nll": slow_mean(slow_losses(model, prompt + answer)[len(prompt) - 1 :]),
        "answer_alone_nll": slow_mean(slow_losses(model, start + answer)) if answer else None,
    }


@torch.no_grad()
def slow_rating(model, tokenizer, problem):
    ratings = []
    for wording in RATING_PROMPTS:
        text = rating_text(
            tokenizer, wording, problem["messages"][-1]["content"], problem["answer"]
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        probabilities = model(input_ids=torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        digits = [tokenizer.convert_tokens_to_ids(str(k)) for k in range(1, 6)]
        scores = [float(probabilities[i]) for i in digits]
        shares = [score / sum(scores) for score in scores]
        best = max(range(5), key=lambda k: shares[k])
        ratings.append((best + 1) * sum(shares[best] - share for share in shares) / 4)
    return np.mean(ratings) / (1 + 0.2 * np.std(ratings))


def assert_row(row, truth, rel=1e-9):
    for key, value in truth.items():
        if value is None or isinstance(value, str):
            assert row[key] == value, key
        else:
            assert row[key] == pytest.approx(value, rel=rel), key


@pytest.mark.parametrize("budget", [1, 33, 10_000])
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_plain_passes_one_by_one(name, budget):
    subject, pool = engine(name, token_budget=budget), problems()
    table = subject.table(pool)
    assert table.schema.equals(features_schema(16), check_metadata=True)
    plain = tiny_model(name)
    directions, valid = from_column(table["hidden"])
    assert valid.all()
    for i, (row, problem) in enumerate(zip(table.to_pylist(), pool.to_pylist(), strict=True)):
        assert_row(row, slow_row(plain, subject.tokenizer, problem, [1]))
        truth = slow_hidden(plain, problem["prompt_ids"])
        np.testing.assert_allclose(directions[i], truth, rtol=2e-3, atol=1e-6)
        assert row["rating"] is None


def test_what_has_nothing_to_predict_is_null():
    rows = engine().table(problems()).to_pylist()
    assert [row["prompt_nll"] is None for row in rows] == [i == 2 for i in range(7)]
    for key in ("answer_nll", "answer_alone_nll"):
        assert [row[key] is None for row in rows] == [i % 4 == 0 for i in range(7)]
    assert all(row["hidden"] is not None for row in rows)


@pytest.mark.parametrize(
    ("special", "start"), [({"eos_token": "</s>"}, [2]), ({}, []), ({"bos_token": "<s>"}, [1])]
)
def test_an_answer_alone_follows_the_token_that_texts_begin_with(special, start):
    subject, pool = engine(special=special), problems()
    plain = tiny_model("llama")
    for row, problem in zip(subject.table(pool).to_pylist(), pool.to_pylist(), strict=True):
        assert_row(row, slow_row(plain, subject.tokenizer, problem, start))
        if not start and len(problem["answer"]) == 1:
            assert row["answer_alone_nll"] is None


@pytest.mark.parametrize("budget", [1, 700, 10_000])
def test_ratings_are_those_of_all_logits(budget):
    subject = engine(context=4096, ratings=True, token_budget=budget)
    pool, plain = problems(3), tiny_model("llama")
    plain.config.max_position_embeddings = 4096
    for row, problem in zip(subject.table(pool).to_pylist(), pool.to_pylist(), strict=True):
        truth = slow_rating(plain, subject.tokenizer, problem)
        assert row["rating"] == pytest.approx(truth, rel=1e-9)
        assert 0.0 <= row["rating"] <= 5.0


def test_texts_longer_than_the_context_are_not_read():
    pool = problems(seed=1)
    longest = max(map(len, pool["prompt_ids"].to_pylist()))
    short, long = engine("gpt2", context=longest), engine("gpt2", ratings=True)
    rows, full = short.table(pool).to_pylist(), long.table(pool).to_pylist()
    num_cut = 0
    for row, other, problem in zip(rows, full, pool.to_pylist(), strict=True):
        answer = problem["answer"]
        cut = len(problem["prompt_ids"]) + len(answer) > longest
        num_cut += cut
        assert (row["answer_nll"] is None) == (cut or not answer)
        assert_row(row, {key: other[key] for key in ("prompt_nll", "answer_alone_nll")})
        assert other["rating"] is None  # the question alone is longer than 64 tokens
    assert num_cut > 0


def test_no_more_logits_than_a_chunk_exist_at_once(monkeypatch):
    pool = problems()
    truth = engine().table(pool)
    seen = []
    own = head.Head.logits

    def watched(self, output, hidden):
        seen.append(len(hidden))
        return own(self, output, hidden)

    monkeypatch.setattr(head.Head, "logits", watched)
    monkeypatch.setattr(forward, "CHUNK_VALUES", 5 * VOCABULARY)
    found = engine().table(pool)
    assert max(seen) == 5
    for row, other in zip(found.to_pylist(), truth.to_pylist(), strict=True):
        assert_row(row, {key: value for key, value in other.items() if key != "hidden"})


def test_batches_shrink_when_memory_runs_out(monkeypatch):
    pool = problems()
    truth = engine().table(pool).to_pylist()
    own, sizes = forward.Forward._layers, []

    def scarce(self, batch, width):
        sizes.append(len(batch) * width)
        if sizes[-1] > 64:
            raise torch.OutOfMemoryError("out of memory")
        return own(self, batch, width)

    monkeypatch.setattr(forward.Forward, "_layers", scarce)
    for row, other in zip(engine().table(pool).to_pylist(), truth, strict=True):
        assert_row(row, {key: value for key, value in other.items() if key != "hidden"})
    assert sizes[0] > 64
    too_long = pa.Table.from_pylist([{"problem_id": "p", "prompt_ids": [5] * 65, "answer": ""}])
    with pytest.raises(LearnAlignError, match="memory ran out on a single text"):
        engine().table(too_long)


def test_numbers_that_are_not_finite_are_null():
    subject = engine()
    with torch.no_grad():
        subject.model.get_input_embeddings().weight[7] = torch.nan
    rows = [
        {"problem_id": "sick", "prompt_ids": [8, 7, 9], "answer": "12"},
        {"problem_id": "sound", "prompt_ids": [8, 10, 9], "answer": "12"},
    ]
    sick, sound = subject.table(pa.Table.from_pylist(rows)).to_pylist()
    assert (sick["prompt_nll"], sick["answer_nll"], sick["hidden"]) == (None, None, None)
    assert None not in (sound["prompt_nll"], sound["answer_nll"], sound["hidden"])


def test_progress_counts_every_problem_once_and_an_empty_pool_has_no_rows(monkeypatch):
    monkeypatch.setattr("learnalign.features.engine._BLOCK", 3)
    done = []
    table = engine().table(problems(), done.append)
    assert (done, table["problem_id"].to_pylist()) == ([3, 3, 1], [f"p{i}" for i in range(7)])
    empty = engine().table(problems().slice(0, 0))
    assert empty.num_rows == 0
    assert empty.schema.equals(features_schema(16))


@pytest.mark.slow
def test_the_real_model(smollm2):
    config = ModelConfig(path=str(smollm2), device="cpu")
    model, tokenizer = load_model(config, dtype=torch.float32), load_tokenizer(config)
    rows = []
    for i, (question, answer) in enumerate([("What is 2 + 2?", "4"), ("Name a prime > 20.", "23")]):
        messages = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        rows.append(
            {"problem_id": str(i), "prompt_ids": ids, "messages": messages, "answer": answer}
        )
    subject = FeatureEngine(model, tokenizer, ratings=True)
    table = subject.table(pa.Table.from_pylist(rows))
    directions, _ = from_column(table["hidden"])
    for i, (row, problem) in enumerate(zip(table.to_pylist(), rows, strict=True)):
        assert_row(row, slow_row(model, tokenizer, problem, [1]), rel=1e-4)
        assert row["rating"] == pytest.approx(slow_rating(model, tokenizer, problem), rel=1e-3)
        truth = slow_hidden(model, problem["prompt_ids"])
        np.testing.assert_allclose(directions[i], truth, rtol=1e-2, atol=1e-4)
        assert row["answer_nll"] < row["answer_alone_nll"]
