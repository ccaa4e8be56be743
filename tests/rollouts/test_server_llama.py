"""The engine that asks a server, against llama.cpp's: the same model, quantised, over a socket."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.processes import alive
from learnalign import select
from learnalign.config import ModelConfig, RolloutConfig, ServerConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.process_guard import Child
from learnalign.rollouts.server import ServerEngine
from learnalign.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-llama" / "bin" / "python"
DATA = "reasoning-gym:chain_sum?size=6&seed=1&max_terms=2&max_digits=1"
# What the binding is asked for by itself: the prompts' greedy continuations.
GREEDY = """
import json, sys
from llama_cpp import Llama
llama = Llama(sys.argv[1], n_ctx=256, n_threads=1, verbose=False)
said = {"max_tokens": 12, "temperature": 0.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
print(json.dumps([llama(prompt, **said)["choices"][0]["text"] for prompt in json.load(sys.stdin)]))
"""


class LlamaServer:
    """llama-cpp-python's server in its own environment, on a free port of this machine."""

    def __init__(self, gguf: Path, log: Path) -> None:
        self.gguf, self.log = gguf, log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [str(PYTHON), "-m", "llama_cpp.server", "--model", str(self.gguf)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--verbose", "False"]
        command += ["--n_ctx", "256", "--n_threads", "1", "--model_alias", "smollm2"]
        with self.log.open("ab") as log:
            self.child = Child(
                command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        until = time.monotonic() + 150
        while time.monotonic() < until and alive(self.child.pid):
            try:
                urllib.request.urlopen(self.url + "/models", timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        self.child.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@pytest.fixture(scope="module")
def gguf() -> Path:
    if not PYTHON.is_file():
        pytest.skip("no .venv-llama; `make llama` builds it")
    path = ROOT / "models" / "SmolLM2-135M-Instruct.gguf"
    script = [sys.executable, str(ROOT / "examples" / "smollm2.py"), str(path)]
    done = subprocess.run(script, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the GGUF cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return path


@pytest.fixture(scope="module")
def server(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    started = LlamaServer(gguf, tmp_path_factory.mktemp("llama") / "log")
    yield started
    started.kill()


def options(server: LlamaServer, **more: Any) -> dict[str, Any]:
    given = {
        "rollouts.engine": "server",
        "rollouts.num_rollouts": 4,
        "rollouts.max_tokens": 4,
        "server.url": server.url,
        "server.concurrency": 2,
        "verifier.kind": "number",
        "gradients.sketch_size": 64,
        "selection.num_bootstrap": 10,
    }
    return given | {key.replace("__", "."): value for key, value in more.items()}


def test_greedy_completions_are_those_of_the_binding(
    server: LlamaServer, gguf: Path, smollm2: Path
) -> None:
    tokenizer = load_tokenizer(ModelConfig(path=str(smollm2)))
    prompts = ["The capital of France is", "2 + 2 =", "Once upon a time, there was"]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts]
    problems = pa.table({"problem_id": ["a", "b", "c"], "prompt": prompts, "prompt_ids": ids})
    config = RolloutConfig(num_rollouts=1, max_tokens=12, temperature=0.0)
    engine = ServerEngine(config, ServerConfig(url=server.url), tokenizer, seed=0)
    rows = engine.sample(problems).to_pylist()
    done = subprocess.run(
        [str(PYTHON), "-c", GREEDY, str(gguf)],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert [row["completion"] for row in rows] == json.loads(done.stdout), done.stderr
    assert engine.counts == {"sampled": 3}
    for row in rows:
        assert tokenizer.decode(row["token_ids"], skip_special_tokens=True) == row["completion"]


def test_a_selection_by_completions_with_gradients(
    server: LlamaServer, smollm2: Path, tmp_path: Path
) -> None:
    prefix = {"prompt.assistant_prefix": "{{ row.metadata.expression }} ="}
    given = options(server, rollouts__stop=("\n",), rollouts__temperature=1.5) | prefix
    done = select(
        str(smollm2), DATA, budget=2, out=tmp_path / "run", options=given, progress="none"
    )
    assert len(done.problem_ids) == 2
    table = RunFolder(tmp_path / "run").table("rollouts")
    assert table.num_rows == 24
    assert any(row["completion"].strip() for row in table.to_pylist())
    assert max(done.scores["score"].to_pylist()) > 0.0


def test_a_selection_by_chat_goes_on_after_the_server_was_killed(
    gguf: Path, smollm2: Path, tmp_path: Path
) -> None:
    server = LlamaServer(gguf, tmp_path / "log")
    given = options(server, server__api="chat", server__logprobs=False, server__attempts=1)
    given |= {"selection.method": "learnability", "run.shard_size": 3}
    call = {"budget": 2, "out": tmp_path / "run", "options": given, "progress": "none"}
    requests = tmp_path / "run" / "requests"
    command = [sys.executable, "-c", "import json, sys; from learnalign import select; "]
    command[-1] += "select(*json.load(sys.stdin), **json.load(open(sys.argv[1])))"
    (tmp_path / "call.json").write_text(json.dumps(call | {"out": str(call["out"])}))
    process = subprocess.Popen(
        [*command, str(tmp_path / "call.json")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps([str(smollm2), DATA]))
    process.stdin.close()
    process.stdin = None
    until = time.monotonic() + 150
    while time.monotonic() < until and len(list(requests.glob("*.json"))) < 3:
        time.sleep(0.005)
    server.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode, said
    assert "the same command resumes from there" in said
    kept = {file: file.read_bytes() for file in requests.glob("*.json")}
    assert len(kept) >= 3
    server.start()
    try:
        done = select(str(smollm2), DATA, **call)
    finally:
        server.kill()
    assert len(done.problem_ids) == 2
    table = RunFolder(tmp_path / "run").table("rollouts")
    texts = {(row["problem_id"], row["sample"]): row["completion"] for row in table.to_pylist()}
    assert len(texts) == 24
    for entry in map(json.loads, kept.values()):
        told = entry["answer"]["text"]
        assert texts[entry["problem_id"], entry["sample"]] == told


def test_a_prompt_that_is_too_long_is_refused_in_its_words(
    server: LlamaServer, smollm2: Path
) -> None:
    tokenizer = load_tokenizer(ModelConfig(path=str(smollm2)))
    prompt = "word " * 300
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    problems = pa.table({"problem_id": ["a"], "prompt": [prompt], "prompt_ids": [ids]})
    engine = ServerEngine(RolloutConfig(), ServerConfig(url=server.url), tokenizer, seed=0)
    with pytest.raises(LearnAlignError, match="maximum context length is 256 tokens") as error:
        engine.sample(problems)
    assert "increase the server's context length" in str(error.value)
