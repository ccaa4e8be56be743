"""The engine that asks a server, against a small one with real sockets, faults and a rule."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.fake_server import FakeServer
from helpers.processes import interrupts_heeded
from learnalign.config import ModelConfig, PromptConfig, RolloutConfig, ServerConfig
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.pipeline.order import stage_options
from learnalign.problems.prompts import Prompter
from learnalign.rollouts import endpoint
from learnalign.rollouts.responses import Rows, read_answer, warnings
from learnalign.rollouts.server import ServerEngine, request_seed, served_model
from learnalign.workflows.estimate import estimate_rollouts

KEY = "sk-a-key-that-must-stay-secret"
FAULTS = ("drop", "half", "no json", "no choices", "slow", "busy", "error")


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


@pytest.fixture(scope="module")
def pool(tokenizer: Any) -> pa.Table:
    prompter, rows = Prompter(tokenizer, PromptConfig()), []
    for i in range(6):
        messages = [{"role": "user", "content": f"What is {i} + {i}?"}]
        prompt, ids = prompter(messages, "{}")
        rows.append({"problem_id": f"p{i}", "prompt": prompt, "prompt_ids": ids})
        rows[-1] |= {"messages": messages, "row": "{}"}
    return pa.Table.from_pylist(rows)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_FIRST_PAUSE_S", 0.01)


def open_engine(
    tokenizer: Any, server: FakeServer | str, journal: Path | None = None, **options: Any
) -> ServerEngine:
    """Open an engine; options of the section server are those that it has."""
    url = server if isinstance(server, str) else server.url
    of_server = {k: v for k, v in options.items() if k in ServerConfig.model_fields}
    others = {k: v for k, v in options.items() if k not in of_server}
    context = others.pop("context", None)
    return ServerEngine(
        RolloutConfig(**({"num_rollouts": 4, "max_tokens": 10} | others)),
        ServerConfig(**({"url": url, "attempts": 3, "timeout_s": 20.0} | of_server)),
        tokenizer,
        seed=5,
        context=context,
        journal=journal,
        build_messages=Prompter(tokenizer, PromptConfig()).with_instructions,
    )


def by_the_rule(server: FakeServer, pool: pa.Table, **options: Any) -> list[dict[str, Any]]:
    rows = []
    for problem in pool.to_pylist():
        for sample in range(4):
            seed = request_seed(5, problem["problem_id"], sample)
            body = {"seed": seed, "max_tokens": 10} | options
            ids, text, end = server.sampled(problem["prompt_ids"], body)
            rows.append({"problem_id": problem["problem_id"], "sample": sample})
            rows[-1] |= {"completion": text, "token_ids": ids}
            rows[-1] |= {"finish_reason": "length" if end == "length" else "stop"}
    return rows


def without_logprobs(table: pa.Table) -> list[dict[str, Any]]:
    return table.drop(["logprobs", "recorded_reward"]).to_pylist()


def test_rows_are_what_the_server_sampled(tokenizer: Any, pool: pa.Table) -> None:
    with FakeServer(tokenizer) as server:
        engine = open_engine(tokenizer, server)
        done: list[int] = []
        table = engine.sample(pool, done.append)
        assert without_logprobs(table) == by_the_rule(server, pool)
        assert done == [1] * pool.num_rows
        assert engine.counts == {"sampled": 24}
        assert warnings(engine.counts) == []
        ends = {row["token_ids"][-1] == tokenizer.eos_token_id for row in table.to_pylist()}
        assert ends == {True, False}
        for row in table.to_pylist():
            assert row["logprobs"] == [-0.5] * len(row["token_ids"])
        assert set(server.paid.values()) == {1}
        assert len({body["seed"] for body in server.bodies}) == len(server.bodies) == 24
        for body in server.bodies:
            assert "n" not in body
            assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1.0, 1.0, 10)
            assert (body["min_p"], body["repetition_penalty"]) == (0.0, 1.0)
            assert body["top_k"] >= len(tokenizer)
        again = open_engine(tokenizer, server).sample(pool, samples=range(1, 3))
        expected = table.filter(pa.array([row % 4 in (1, 2) for row in range(24)]))
        assert again == expected


def test_faults_change_nothing(tokenizer: Any, pool: pa.Table) -> None:
    faults = dict(zip(range(3, 30, 3), FAULTS, strict=False))
    with FakeServer(tokenizer, faults=faults.get) as server:
        engine = open_engine(tokenizer, server, timeout_s=1.5, attempts=8)
        assert without_logprobs(engine.sample(pool)) == by_the_rule(server, pool)
        assert len(server.bodies) >= 24 + len(FAULTS)
        assert len(server.paid) == 24


def test_as_many_requests_at_a_time_as_are_allowed(tokenizer: Any, pool: pa.Table) -> None:
    with FakeServer(tokenizer, delay_s=0.05) as server:
        engine = open_engine(tokenizer, server, concurrency=5)
        begin = time.monotonic()
        engine.sample(pool)
        assert server.most_under_way == 5
        assert time.monotonic() - begin > 0.05 * 24 / 5


def test_waits_as_long_as_it_is_told(tokenizer: Any, pool: pa.Table) -> None:
    with FakeServer(tokenizer, faults={0: "busy"}.get) as server:
        begin = time.monotonic()
        open_engine(tokenizer, server, num_rollouts=1).sample(pool[:1])
        assert 0.2 < time.monotonic() - begin < 5.0


def test_nothing_is_paid_for_twice_after_an_error(
    tokenizer: Any, pool: pa.Table, tmp_path: Path
) -> None:
    journal = tmp_path / "requests"
    with FakeServer(tokenizer, die_after=11) as server:
        with pytest.raises(LearnAlignError, match="failed 3 times") as error:
            open_engine(tokenizer, server, journal, concurrency=4).sample(pool)
        assert "the same command resumes from there" in str(error.value)
        assert len(list(journal.iterdir())) == sum(server.paid.values()) == 11
        server.stop()
        server.die_after = None
        server.start()
        engine = open_engine(tokenizer, server, journal, concurrency=4)
        assert without_logprobs(engine.sample(pool)) == by_the_rule(server, pool)
        assert set(server.paid.values()) == {1}
        # Other options are other questions; and what is forgotten is asked again.
        before = len(server.bodies)
        open_engine(tokenizer, server, journal, temperature=0.5).sample(pool)
        assert len(server.bodies) == before + 24
        assert len(list(journal.iterdir())) == 48
        engine.discard_cached()
        assert len(list(journal.iterdir())) == 24
        engine.sample(pool)
        assert set(server.paid.values()) == {3}


def test_a_broken_entry_is_asked_for_again(tokenizer: Any, pool: pa.Table, tmp_path: Path) -> None:
    with FakeServer(tokenizer) as server:
        table = open_engine(tokenizer, server, tmp_path).sample(pool)
        next(tmp_path.iterdir()).write_text("{")
        assert open_engine(tokenizer, server, tmp_path).sample(pool) == table
        assert sorted(server.paid.values()) == [1] * 23 + [2]


@pytest.mark.parametrize("gives", ["ids", "pieces"])
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_stop_strings(tokenizer: Any, pool: pa.Table, gives: str, api: str) -> None:
    stop = (".", "e", "3")
    with FakeServer(tokenizer, gives=gives) as server:
        engine = open_engine(tokenizer, server, stop=stop, api=api)
        table = engine.sample(pool)
        assert without_logprobs(table) == by_the_rule(server, pool, stop=list(stop))
        assert engine.counts == {"sampled": 24}
        assert not any(s in text for s in stop for text in table["completion"].to_pylist())


def test_pieces_of_text_are_tokens_only_where_there_is_no_doubt(
    tokenizer: Any, pool: pa.Table
) -> None:
    with FakeServer(tokenizer, gives="pieces") as server:
        exact = open_engine(tokenizer, server)
        truth = by_the_rule(server, pool)
        assert without_logprobs(exact.sample(pool)) == truth
        assert exact.counts == {"sampled": 24}
        # The text alone gives other tokens than were sampled.
        text = open_engine(tokenizer, server, logprobs=False)
        rows = without_logprobs(text.sample(pool))
        assert [row["completion"] for row in rows] == [row["completion"] for row in truth]
        assert sum(a["token_ids"] != b["token_ids"] for a, b in zip(rows, truth, strict=True)) > 0
        assert text.counts == {"sampled": 24, "retokenised": 24}
        assert warnings(text.counts)[0].startswith("24 of 24 rollouts were tokenised again")
        for row in rows:
            ended = row["token_ids"][-1] == tokenizer.eos_token_id
            assert ended == (row["finish_reason"] == "stop")
        # Half a character is a piece that many tokens have.
        words, server.words = (
            server.words,
            tokenizer("日本語の猫", add_special_tokens=False).input_ids,
        )
        doubtful = open_engine(tokenizer, server)
        doubtful.sample(pool)
        assert doubtful.counts["retokenised"] > 6
        server.words = words


def test_a_server_is_asked_as_it_understands(tokenizer: Any, pool: pa.Table) -> None:
    with FakeServer(tokenizer, takes_ids=False) as server:
        engine = open_engine(tokenizer, server)
        assert without_logprobs(engine.sample(pool)) == by_the_rule(server, pool)
        assert all(isinstance(body["prompt"], str) for body in server.bodies)
        assert all(body["add_special_tokens"] is False for body in server.bodies)
    with FakeServer(tokenizer, takes_extras=False) as server:
        engine = open_engine(tokenizer, server)
        assert without_logprobs(engine.sample(pool)) == by_the_rule(server, pool)
        assert engine.counts["ungoverned"] == 24
        assert all(isinstance(body["prompt"], list) for body in server.bodies)


def test_answers_as_other_servers_put_them(tokenizer: Any) -> None:
    ids = tokenizer("It is 4", add_special_tokens=False)["input_ids"]
    end, prompt = tokenizer.eos_token_id, [1, 2, 3]

    def row(choice: dict[str, Any], num_tokens: int, *stop: str) -> tuple[Any, ...]:
        rows = Rows(tokenizer, RolloutConfig(stop=stop))
        choice = {"text": "It is 4", "finish_reason": "stop"} | choice
        usage = {"prompt_tokens": 3, "completion_tokens": num_tokens}
        made = rows.row("p", 0, read_answer({"choices": [choice], "usage": usage}), prompt)
        return made["token_ids"], made["completion"], rows.counts["retokenised"]

    def content(tokens: list[int]) -> dict[str, Any]:
        said = [{"id": i, "token": tokenizer.decode([i]), "logprob": -1.0} for i in tokens]
        return {"logprobs": {"content": said}}

    # SGLang names the end token apart, and may leave it out of the ids.
    for told in (ids, [*ids, end]):
        sglang = {"token_ids": told, "matched_stop": end}
        assert row(sglang, len(ids) + 1, "!") == ([*ids, end], "It is 4", 0)
    period = tokenizer("It is 4.", add_special_tokens=False)["input_ids"]
    sglang = {"token_ids": period, "matched_stop": "."}
    assert row(sglang, len(period), ".") == (period, "It is 4", 0)
    # llama.cpp's own server has ids in its log-probabilities, but not those of a stop string.
    assert row(content([*ids, end]), len(ids) + 1, ".") == ([*ids, end], "It is 4", 0)
    assert row(content(ids), len(ids) + 1, ".") == (ids, "It is 4", 1)
    # Without any of that, a server's text is all there is.
    assert row({}, len(ids) + 1) == ([*ids, end], "It is 4", 1)
    assert row({}, len(ids) + 1, ".") == (ids, "It is 4", 1)


def test_log_probabilities_at_another_temperature_are_not_ours(
    tokenizer: Any, pool: pa.Table
) -> None:
    with FakeServer(tokenizer) as server:
        table = open_engine(tokenizer, server, temperature=0.7).sample(pool)
        assert table["logprobs"].null_count == table.num_rows


def test_another_prompt_is_an_error_or_a_warning(tokenizer: Any, pool: pa.Table) -> None:
    with FakeServer(tokenizer, extra_prompt_tokens=(1, 2)) as server:
        for api in ("completions", "chat"):
            with pytest.raises(LearnAlignError, match="the server's prompt has") as error:
                open_engine(tokenizer, server, api=api).sample(pool)
            assert "they differ from token" in str(error.value)
        server.gives = "pieces"
        engine = open_engine(tokenizer, server, api="chat")
        engine.sample(pool)
        assert engine.counts == {"sampled": 24, "other_prompts": 24}
        assert "different number of tokens" in warnings(engine.counts)[0]


def test_the_chat_apis_template_gets_its_variables(smollm2: Path) -> None:
    """The server's own template makes the very prompt, or the run stops."""
    tokenizer = load_tokenizer(ModelConfig(path=str(smollm2)))
    quick = "{% if enable_thinking is defined and not enable_thinking %}<|im_start|>{% endif %}"
    tokenizer.chat_template += quick
    variables = {"enable_thinking": False}
    prompter = Prompter(tokenizer, PromptConfig(chat_template_kwargs=variables))
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    prompt, ids = prompter(messages, "{}")
    row = {"problem_id": "p", "prompt": prompt, "prompt_ids": ids, "messages": messages}
    problems = pa.Table.from_pylist([row | {"row": "{}"}])
    with FakeServer(tokenizer) as server:

        def sample(**more: Any) -> pa.Table:
            config, chat = RolloutConfig(num_rollouts=2), ServerConfig(url=server.url, api="chat")
            engine = ServerEngine(
                config, chat, tokenizer, seed=5, build_messages=prompter.with_instructions, **more
            )
            return engine.sample(problems)

        assert sample(template_kwargs=variables).num_rows == 2
        assert [body["chat_template_kwargs"] for body in server.bodies] == [variables] * 2
        with pytest.raises(LearnAlignError, match="they differ from token"):
            sample()
        server.takes_extras = False
        sample(template_kwargs=variables)
        assert server.bodies[-1]["chat_template_kwargs"] == variables


def test_a_text_ends_as_the_template_ends_a_turn(smollm2: Path) -> None:
    tokenizer = load_tokenizer(ModelConfig(path=str(smollm2)))
    tokenizer.eos_token = "<|endoftext|>"
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    choice = {"text": "It is 4", "finish_reason": "stop"}
    answer = read_answer({"choices": [choice], "usage": usage})
    ids = Rows(tokenizer, RolloutConfig()).row("p", 0, answer, [1, 2, 3])["token_ids"]
    assert tokenizer.decode(ids) == "It is 4<|im_end|>"
    tokenizer.eos_token = tokenizer.chat_template = None
    ids = Rows(tokenizer, RolloutConfig()).row("p", 0, answer, [1, 2, 3])["token_ids"]
    assert tokenizer.decode(ids) == "It is 4"


def test_responses_end_where_the_context_does(tokenizer: Any, pool: pa.Table) -> None:
    length = len(pool["prompt_ids"][0].as_py())
    with FakeServer(tokenizer, max_model_len=length + 3) as server:
        engine = open_engine(tokenizer, server, context=4096)
        engine.sample(pool)
        assert {body["max_tokens"] for body in server.bodies} == {3}
        tight = open_engine(tokenizer, server, context=length)
        done: list[int] = []
        assert tight.sample(pool, done.append).num_rows == 0
        assert done == [1] * 6
        assert tight.failures[0] == (
            "p0",
            "prompt_too_long",
            f"{length} tokens; the server's context length is {length}",
        )


def test_in_a_notebook_a_loop_is_running_already(tokenizer: Any, pool: pa.Table) -> None:
    async def cell() -> pa.Table:
        return open_engine(tokenizer, server).sample(pool)

    with FakeServer(tokenizer) as server:
        assert without_logprobs(asyncio.run(cell())) == by_the_rule(server, pool)


def test_ctrl_c_keeps_what_has_come(tokenizer: Any, pool: pa.Table, tmp_path: Path) -> None:
    with FakeServer(tokenizer, delay_s=0.1) as server:
        engine = open_engine(tokenizer, server, tmp_path, concurrency=2)
        Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
        with interrupts_heeded(), pytest.raises(KeyboardInterrupt):
            engine.sample(pool)
        kept = [json.loads(file.read_text()) for file in tmp_path.iterdir()]
        again = open_engine(tokenizer, server, tmp_path)
        assert without_logprobs(again.sample(pool)) == by_the_rule(server, pool)
        bought = {seed: count for (_, seed), count in server.paid.items()}
        for entry in kept:
            assert bought[request_seed(5, entry["problem_id"], entry["sample"])] == 1


@pytest.mark.parametrize("fault", ["no json", "no choices", "error", "drop"])
def test_what_never_gets_better_ends(tokenizer: Any, pool: pa.Table, fault: str) -> None:
    with FakeServer(tokenizer, faults=lambda number: fault) as server:
        with pytest.raises(LearnAlignError, match="failed 3 times") as error:
            open_engine(tokenizer, server, concurrency=1).sample(pool)
        assert len(server.bodies) == 3
        said = {"error": "500: out of memory", "drop": "RemoteProtocolError"}
        assert said.get(fault, "a broken answer") in str(error.value)


def test_what_is_refused_ends_at_once(
    tokenizer: Any, pool: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeServer(tokenizer, key="another", models=("tiny", "small")) as server:
        with pytest.raises(LearnAlignError, match="refused: 401: wrong key") as error:
            open_engine(tokenizer, server).sample(pool)
        assert KEY not in str(error.value)
        assert "environment variable OPENAI_API_KEY" in str(error.value)
        server.key = None
        with pytest.raises(LearnAlignError, match="serves 2 models: tiny, small"):
            open_engine(tokenizer, server).sample(pool)
        with pytest.raises(LearnAlignError, match="the nearest is 'tiny'"):
            open_engine(tokenizer, server, model="tinny").sample(pool)
        open_engine(tokenizer, server, model="small").sample(pool[:1])
        assert {body["model"] for body in server.bodies} == {"small"}
        with pytest.raises(LearnAlignError, match="refused: 404"):
            open_engine(tokenizer, server.url + "/other").sample(pool)


def test_addresses() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(LearnAlignError, match="failed 1 times"):
        served_model(ServerConfig(url=f"http://127.0.0.1:{port}"))
    for url in (None, "localhost:8000", "ftp://host"):
        with pytest.raises(LearnAlignError, match="for the engine 'server'"):
            served_model(ServerConfig(url=url))
    with pytest.raises(LearnAlignError, match="a user name or password") as error:
        load_config(overrides={"server.url": "http://me:secret@host/v1"})
    assert "secret" not in str(error.value)


def test_a_dry_run_asks_who_is_there(tokenizer: Any, smollm2: Path) -> None:
    given = {"model.path": str(smollm2), "data.paths": (DATA,), "rollouts.engine": "server"}
    with FakeServer(tokenizer) as server:
        config = load_config(overrides=given | {"server.url": server.url})
        work = estimate_rollouts(config)
        assert work["served_model"] == "tiny"
        assert work["rollouts"] == 12 * 8
        assert not any("minutes" in name for name in work)
        assert server.bodies == []
    with pytest.raises(LearnAlignError, match="failed 1 times"):
        estimate_rollouts(config)


def test_what_the_rollouts_depend_on() -> None:
    def of_rollouts(**options: Any) -> dict[str, Any]:
        given = {key.replace("__", "."): value for key, value in options.items()}
        return stage_options(load_config(overrides=given), ["rollouts"])["rollouts"]

    plain = of_rollouts()
    assert not any(name.startswith("server.") for name in plain)
    assert of_rollouts(server__model="a") == plain
    served = of_rollouts(rollouts__engine="server", server__model="a")
    assert served["server.model"] == "a"
    assert served["server.api"] == "completions"
    elsewhere = {"server__url": "http://b/v1", "server__concurrency": 2, "server__timeout_s": 9.0}
    assert of_rollouts(rollouts__engine="server", server__model="a", **elsewhere) == served
    with pytest.raises(LearnAlignError, match="does not serve the policy"):
        of_rollouts(rollouts__engine="server", selection__warmup=8)


PROGRAM = [sys.executable, "-c", "from learnalign.cli.main import main; main()"]
DATA = "reasoning-gym:chain_sum?size=12&seed=1&max_terms=2&max_digits=1"
FLAGS = ["--budget", "3", "--num-rollouts", "4", "--max-tokens", "8", "--verifier", "number"]
FLAGS += ["--method", "learnability", "--num-bootstrap", "10", "--shard-size", "4"]


@pytest.mark.slow
def test_a_killed_run_goes_on_without_paying_again(
    tokenizer: Any, smollm2: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
    with FakeServer(tokenizer, key=KEY, delay_s=0.02) as server:
        out = tmp_path / "run"
        command = [*PROGRAM, "select", str(smollm2), DATA, *FLAGS, "--out", str(out)]
        command += ["--server-url", server.url, "--set", "server.concurrency=2"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        until = time.monotonic() + 150
        while sum(server.paid.values()) < 21 and time.monotonic() < until:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        said = process.communicate()[1]
        # The first shard's table stands, and some answers of the second.
        kept = [json.loads(file.read_text()) for file in (out / "requests").glob("*.json")]
        (shard,) = (out / "rollouts").glob("*.parquet")
        kept += pq.read_table(shard).to_pylist()
        assert len(kept) >= 20
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        said += done.stderr + done.stdout
        bought = {seed: count for (_, seed), count in server.paid.items()}
        for row in kept:
            assert bought[request_seed(0, row["problem_id"], row["sample"])] == 1
        table = pa.concat_tables(map(pq.read_table, sorted((out / "rollouts").glob("*.parquet"))))
        assert table.num_rows == len(bought) == 48
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KEY.encode() not in written + said
    assert b"server:\n  url:" in written
