"""The engine that asks a server, against vLLM's on a CPU: exact tokens and their probabilities."""

import json
import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from helpers.processes import alive, wait_for
from learnalign.config import ModelConfig, PromptConfig, RolloutConfig, ServerConfig
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.problems.prompts import Prompter
from learnalign.process_guard import Child
from learnalign.rollouts.server import ServerEngine, request_seed, served_model

PYTHON = Path(__file__).resolve().parents[2] / ".venv-vllm" / "bin" / "python"
CONTEXT = 256
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON.is_file(), reason="no .venv-vllm"),
]


@pytest.fixture(scope="module")
def url(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm2)]
    command += ["--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(CONTEXT), "--dtype", "float32", "--enforce-eager"]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    quiet |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    path = tmp_path_factory.mktemp("vllm") / "log"
    with path.open("wb") as log:
        server = Child(command, grace_s=20.0, env=os.environ | quiet, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/v1"
    until = time.monotonic() + 400
    while True:
        try:
            urllib.request.urlopen(address + "/models", timeout=5).close()
            break
        except OSError:
            assert alive(server.pid), path.read_text()[-3000:]
            assert time.monotonic() < until, path.read_text()[-3000:]
            time.sleep(0.5)
    yield address
    server.process.terminate()
    wait_for(lambda: not alive(server.pid), 60)
    server.end()


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


@pytest.fixture(scope="module")
def pool(tokenizer: Any) -> pa.Table:
    prompter, rows = Prompter(tokenizer, PromptConfig()), []
    for i in range(5):
        messages = [{"role": "user", "content": f"What is {i} + {10 * i}?"}]
        prompt, ids = prompter(messages, "{}")
        rows.append({"problem_id": f"p{i}", "prompt": prompt, "prompt_ids": ids})
        rows[-1] |= {"messages": messages, "row": "{}"}
    return pa.Table.from_pylist(rows)


def sample(
    url: str, tokenizer: Any, pool: pa.Table, *, api: str = "completions", **more: Any
) -> Any:
    engine = ServerEngine(
        RolloutConfig(**{"num_rollouts": 3, "max_tokens": 24} | more),
        ServerConfig(url=url, api=api, concurrency=4),
        tokenizer,
        seed=5,
        build_messages=Prompter(tokenizer, PromptConfig()).with_instructions,
    )
    table = engine.sample(pool)
    assert engine.counts == {"sampled": table.num_rows}
    assert engine.endpoint.max_context == CONTEXT
    return table.to_pylist()


def test_tokens_are_those_of_a_plain_request(url: str, tokenizer: Any, pool: pa.Table) -> None:
    assert served_model(ServerConfig(url=url)) == "smollm2"
    rows = sample(url, tokenizer, pool)
    for row in rows[::4]:
        prompt = pool["prompt_ids"][int(row["problem_id"][1:])].as_py()
        body = {"model": "smollm2", "prompt": prompt, "max_tokens": 24, "temperature": 1.0}
        body |= {"seed": request_seed(5, row["problem_id"], row["sample"])}
        body |= {"return_token_ids": True}
        request = urllib.request.Request(
            url + "/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            choice = json.load(answer)["choices"][0]
        assert row["token_ids"] == choice["token_ids"]
        assert row["completion"] == choice["text"]
        assert row["finish_reason"] == choice["finish_reason"]
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    for row in rows:
        ended = row["token_ids"][-1] == tokenizer.eos_token_id
        assert ended == (row["finish_reason"] == "stop")


def test_log_probabilities_are_the_models(
    url: str, tokenizer: Any, pool: pa.Table, smollm2: Path
) -> None:
    model = load_model(ModelConfig(path=str(smollm2), device="cpu"), dtype=torch.float32)
    prompts = dict(zip(pool["problem_id"].to_pylist(), pool["prompt_ids"].to_pylist(), strict=True))
    for row in sample(url, tokenizer, pool)[::3]:
        prompt, ids = prompts[row["problem_id"]], row["token_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits, -1)[range(len(ids)), ids]
        np.testing.assert_allclose(row["logprobs"], logprobs, atol=2e-3)


def test_chat_and_text_ask_for_the_same(url: str, tokenizer: Any, pool: pa.Table) -> None:
    ours = sample(url, tokenizer, pool)
    theirs = sample(url, tokenizer, pool, api="chat")
    same = [a["token_ids"] == b["token_ids"] for a, b in zip(ours, theirs, strict=True)]
    assert sum(same) >= len(same) - 2  # other batches round otherwise


def test_stop_strings_keep_their_tokens(url: str, tokenizer: Any, pool: pa.Table) -> None:
    ended = 0
    for row in sample(url, tokenizer, pool, stop=("2", " is", ".")):
        text = tokenizer.decode(row["token_ids"], skip_special_tokens=True)
        places = [text.find(stop) for stop in ("2", " is", ".") if stop in text]
        assert row["completion"] == (text[: min(places)] if places else text)
        ended += bool(places)
        assert row["finish_reason"] == "stop" or not places
    assert ended > 5
