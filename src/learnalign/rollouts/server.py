"""The engine that asks a server: one request a rollout, none paid for twice.

A rollout has a seed of its own, made from the run's seed, the problem and the sample. Each answer
is kept as soon as it has come; whoever calls `sample` again with the same options, in this process
or another, is given it instead of a second one.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from learnalign.config import RolloutConfig, ServerConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.endings import Endings
from learnalign.rollouts.endpoint import Endpoint
from learnalign.rollouts.engine import Engine, Progress
from learnalign.rollouts.request_cache import Journal, entry_name
from learnalign.rollouts.requests import Request
from learnalign.rollouts.responses import Answer, Rows
from learnalign.tables import ROLLOUTS

Messages = list[dict[str, str]]
Made = TypeVar("Made")

_COLUMNS = ("problem_id", "prompt", "prompt_ids", "messages", "row")


@dataclass(frozen=True)
class _Job:
    """One rollout that is wanted."""

    problem: dict[str, Any]
    sample: int
    request: Request
    name: str
    """Of its answer in the journal."""


class ServerEngine(Engine):
    """Samples rollouts with an OpenAI-compatible server of the policy.

    Args:
        config: G, temperature, top-p, the longest response, stop strings.
        server: Where it is and how it is asked.
        tokenizer: Of the model whose gradients will be taken.
        seed: Sample g of a problem is asked for with a seed made of (seed, problem_id, g).
        context: Tokens the model sees, prompt and response together.
        journal: Folder that keeps the answers until `forget`.
        asked: Turns a problem's messages and row into those that are sent; for the chat API.
        endings: What ends a response.
        template_kwargs: Variables of the chat template; for the chat API.

    Raises:
        LearnAlignError: for an address that is none.
    """

    def __init__(
        self,
        config: RolloutConfig,
        server: ServerConfig,
        tokenizer: Any,
        *,
        seed: int,
        context: int | None = None,
        journal: Path | None = None,
        asked: Callable[[Any, str], Messages] | None = None,
        endings: Endings | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        assert server.api == "completions" or asked is not None
        self.config, self.server, self.seed, self.asked = config, server, seed, asked
        self.context = context or 1 << 30
        self.journal = Journal(journal)
        self.rows = Rows(tokenizer, config, endings)
        self.template_kwargs = dict(template_kwargs or {}) if server.api == "chat" else {}
        self.counts = self.rows.counts
        self.endpoint = Endpoint(server)
        self._kept: set[str] = set()

    def sample(
        self,
        problems: pa.Table,
        progress: Progress | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Ask for the rollouts of each problem that the journal does not hold.

        Args:
            problems: PROBLEMS table.
            progress: Called with 1 when all the samples of a problem are there.
            samples: Which samples of each problem; 0..G-1 if not given.

        Returns:
            ROLLOUTS table in the order of ``problems``. A problem that leaves the model no room to
            respond is left out and added to ``failures``.

        Raises:
            LearnAlignError: if the server refuses, keeps failing, or has another prompt than the
                model. What it answered before is kept.
        """
        wanted = range(self.config.num_rollouts) if samples is None else samples
        columns = [name for name in _COLUMNS if name in problems.column_names]
        pool = problems.select(columns).to_pylist()
        found = _finished(self._sample(pool, wanted, progress))
        rows = [found[p["problem_id"]][g] for p in pool if p["problem_id"] in found for g in wanted]
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    def discard_cached(self) -> None:
        """Throw away the kept answers of all calls so far: their tables stand."""
        self.journal.remove(self._kept)
        self._kept.clear()

    async def _sample(
        self, pool: list[dict[str, Any]], samples: range, progress: Progress | None
    ) -> dict[str, dict[int, Any]]:
        """Have so many workers as requests may be under way; each takes the next job."""
        found: dict[str, dict[int, Any]] = {}
        there = await asyncio.to_thread(self.journal.names)
        async with self.endpoint:
            await self.endpoint.find_model()
            jobs = self._jobs(pool, samples, progress)

            errors: list[Exception] = []

            async def work() -> None:
                for job in jobs:
                    try:
                        row = await self._row(job, there)
                    except Exception as error:
                        # What is under way is paid for: it is waited for, and kept.
                        errors.append(error)
                        self.endpoint.give_up()
                    else:
                        group = found.setdefault(row["problem_id"], {})
                        group[job.sample] = row
                        if progress is not None and len(group) == len(samples):
                            progress(1)
                    if errors:
                        return

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.server.concurrency, len(pool) * len(samples))):
                    workers.create_task(work())
        if errors:
            raise errors[0]
        return found

    def _jobs(
        self, pool: list[dict[str, Any]], samples: range, progress: Progress | None
    ) -> Iterator[_Job]:
        context = min(self.context, self.endpoint.max_context or self.context)
        for problem in pool:
            name, prompt_ids = problem["problem_id"], problem["prompt_ids"]
            room = min(self.config.max_tokens, context - len(prompt_ids))
            if room < 1:
                detail = f"{len(prompt_ids)} tokens; the server's model sees {context}"
                self.failures.append((name, "prompt_too_long", detail))
                if progress is not None:
                    progress(1)
                continue
            messages = None
            if self.server.api == "chat":
                assert self.asked is not None
                messages = self.asked(problem["messages"], problem["row"])
            for sample in samples:
                options = self._options(request_seed(self.seed, name, sample), room)
                request = Request(problem["prompt"], prompt_ids, messages, options)
                asked = {
                    "model": self.endpoint.model,
                    "prompt_ids": prompt_ids,
                    "messages": messages,
                    "logprobs": self.server.logprobs,
                    **options,
                }
                yield _Job(problem, sample, request, entry_name(name, sample, asked))

    def _options(self, seed: int, max_tokens: int) -> dict[str, Any]:
        options: dict[str, Any] = {"seed": seed, "max_tokens": max_tokens}
        options |= {"temperature": self.config.temperature, "top_p": self.config.top_p}
        if self.template_kwargs:  # they make the prompt: no server is asked without them
            options["chat_template_kwargs"] = self.template_kwargs
        return options | ({"stop": list(self.config.stop)} if self.config.stop else {})

    async def _row(self, job: _Job, there: set[str]) -> dict[str, Any]:
        """Take the kept answer, or ask and keep what comes; make a row of it."""
        self._kept.add(job.name)
        kept = await asyncio.to_thread(self.journal.read, job.name) if job.name in there else None
        if kept is None:
            answer, way = await self.endpoint.ask(job.request)
            self._check_prompt(job, answer)
            kept = {
                "problem_id": job.problem["problem_id"],
                "sample": job.sample,
                "extras": way.extras,
                # The prompt is the same, and long.
                "answer": {k: v for k, v in vars(answer).items() if k != "prompt_ids"},
            }
            # A thread that has begun to write ends, even if this task is cancelled meanwhile.
            await asyncio.to_thread(self.journal.write, job.name, kept)
        if not kept["extras"]:
            self.counts["ungoverned"] += 1
        name, answer = job.problem["problem_id"], Answer(**kept["answer"])
        return self.rows.row(name, job.sample, answer, job.request.prompt_ids)

    def _check_prompt(self, job: _Job, answer: Answer) -> None:
        """Stop where the server saw another prompt than the gradient will."""
        ours, theirs = job.request.prompt_ids, answer.prompt_ids
        if theirs is None or theirs == ours:
            return
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
        place = min(len(ours), len(theirs)) if same is None else same
        raise LearnAlignError(
            f"problem {job.problem['problem_id']}: the server's prompt has {len(theirs)} tokens, "
            f"ours has {len(ours)}; they differ from token {place} on",
            expected="the same tokens: a server of this very model, with its template",
            do="leave server.api at completions, or serve the model with its own tokenizer and "
            "chat template",
        )


def request_seed(seed: int, problem_id: str, sample: int) -> int:
    """Give a rollout's own seed, from 1 to 2**31 - 1, which all servers take.

    Example:
        >>> request_seed(0, "a", 1) == request_seed(0, "a", 1) != request_seed(0, "a", 2)
        True
    """
    digest = hashlib.sha256(f"{seed}:{sample}:{problem_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1) + 1


def served_model(server: ServerConfig) -> str:
    """Ask a server, once, what it calls the model.

    Raises:
        LearnAlignError: if it does not answer, or serves no model of the given name.
    """

    async def ask() -> str:
        async with Endpoint(server.model_copy(update={"attempts": 1})) as endpoint:
            await endpoint.find_model()
            return endpoint.model

    return _finished(ask())


def _finished(work: Coroutine[Any, Any, Made]) -> Made:
    """Run a coroutine to its end in a thread of its own.

    A notebook's running loop is then no hindrance, and Ctrl-C comes while waiting for the thread,
    not in the middle of a request.
    """
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def begin() -> Made:
        begun.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(asyncio.run, begin())
        try:
            return future.result()
        finally:
            if begun and not future.done():
                loop, task = begun[0]
                assert task is not None
                with suppress(RuntimeError):  # it has ended by itself just now
                    loop.call_soon_threadsafe(task.cancel)
