"""The engine ``server``: one request per rollout, none paid for twice.

Each rollout has its own seed, derived from the run's seed, the problem and the sample. Each answer
is stored as soon as it arrives; calling `sample` again with the same options, in this process or
another, reads it instead of sending a second request.
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
from learnalign.rollouts.engine import Engine
from learnalign.rollouts.request_cache import Journal, entry_name
from learnalign.rollouts.requests import Request
from learnalign.rollouts.responses import Answer, Rows
from learnalign.tables import ROLLOUTS
from learnalign.terminal.progress import Advance

Messages = list[dict[str, str]]
Result = TypeVar("Result")

_COLUMNS = ("problem_id", "prompt", "prompt_ids", "messages", "row")


@dataclass(frozen=True)
class _Job:
    """One requested rollout."""

    problem: dict[str, Any]
    sample: int
    request: Request
    name: str
    """Name of its answer in the journal."""


class ServerEngine(Engine):
    """Samples rollouts with an OpenAI-compatible server of the policy.

    Args:
        config: G, temperature, top-p, the longest response, stop strings.
        server: The server's address and options.
        tokenizer: Tokenizer of the model whose gradients are computed.
        seed: Sample g of a problem is requested with a seed derived from (seed, problem_id, g).
        context: The model's context length in tokens, prompt and response together.
        journal: Folder that stores the answers until `discard_cached`.
        build_messages: Converts a problem's messages and row to the messages to send; for the
            chat API.
        endings: The tokens that end a response.
        template_kwargs: Variables of the chat template; for the chat API.

    Raises:
        LearnAlignError: if the address is invalid.
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
        build_messages: Callable[[Any, str], Messages] | None = None,
        endings: Endings | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        assert server.api == "completions" or build_messages is not None
        self.config, self.server, self.seed = config, server, seed
        self.build_messages = build_messages
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
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Request the rollouts of each problem that are not in the journal.

        Args:
            problems: PROBLEMS table.
            progress: Called with 1 when all samples of a problem are available.
            samples: Which samples of each problem; 0..G-1 by default.

        Returns:
            ROLLOUTS table in the order of ``problems``. A problem whose prompt leaves no room for a
            response is left out and added to ``failures``.

        Raises:
            LearnAlignError: if the server refuses, keeps failing, or has a different prompt than
                the model. Earlier answers are kept.
        """
        requested = range(self.config.num_rollouts) if samples is None else samples
        columns = [name for name in _COLUMNS if name in problems.column_names]
        pool = problems.select(columns).to_pylist()
        groups = _run_in_thread(self._sample(pool, requested, progress))
        names = [name for p in pool if (name := p["problem_id"]) in groups]
        rows = [groups[name][g] for name in names for g in requested]
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    def discard_cached(self) -> None:
        """Delete the stored answers of all calls so far; their tables have been written."""
        self.journal.remove(self._kept)
        self._kept.clear()

    async def _sample(
        self, pool: list[dict[str, Any]], samples: range, progress: Advance | None
    ) -> dict[str, dict[int, Any]]:
        """Run as many workers as requests may be in flight; each takes the next job."""
        groups: dict[str, dict[int, Any]] = {}
        stored = await asyncio.to_thread(self.journal.names)
        async with self.endpoint:
            await self.endpoint.find_model()
            jobs = self._jobs(pool, samples, progress)

            errors: list[Exception] = []

            async def work() -> None:
                for job in jobs:
                    try:
                        row = await self._row(job, stored)
                    except Exception as error:
                        # Requests in flight are paid for: wait for them and store them.
                        errors.append(error)
                        self.endpoint.give_up()
                    else:
                        group = groups.setdefault(row["problem_id"], {})
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
        return groups

    def _jobs(
        self, pool: list[dict[str, Any]], samples: range, progress: Advance | None
    ) -> Iterator[_Job]:
        context = min(self.context, self.endpoint.max_context or self.context)
        for problem in pool:
            name, prompt_ids = problem["problem_id"], problem["prompt_ids"]
            room = min(self.config.max_tokens, context - len(prompt_ids))
            if room < 1:
                detail = f"{len(prompt_ids)} tokens; the server's context length is {context}"
                self.failures.append((name, "prompt_too_long", detail))
                if progress is not None:
                    progress(1)
                continue
            messages = None
            if self.server.api == "chat":
                assert self.build_messages is not None
                messages = self.build_messages(problem["messages"], problem["row"])
            for sample in samples:
                options = self._options(request_seed(self.seed, name, sample), room)
                request = Request(problem["prompt"], prompt_ids, messages, options)
                content = {
                    "model": self.endpoint.model,
                    "prompt_ids": prompt_ids,
                    "messages": messages,
                    "logprobs": self.server.logprobs,
                    **options,
                }
                yield _Job(problem, sample, request, entry_name(name, sample, content))

    def _options(self, seed: int, max_tokens: int) -> dict[str, Any]:
        options: dict[str, Any] = {"seed": seed, "max_tokens": max_tokens}
        options |= {"temperature": self.config.temperature, "top_p": self.config.top_p}
        if self.template_kwargs:  # part of the prompt: every server must get them
            options["chat_template_kwargs"] = self.template_kwargs
        return options | ({"stop": list(self.config.stop)} if self.config.stop else {})

    async def _row(self, job: _Job, stored: set[str]) -> dict[str, Any]:
        """Read the stored answer, or request and store it; return its row."""
        self._kept.add(job.name)
        entry = None
        if job.name in stored:
            entry = await asyncio.to_thread(self.journal.read, job.name)
        if entry is None:
            answer, variant = await self.endpoint.ask(job.request)
            self._check_prompt(job, answer)
            entry = {
                "problem_id": job.problem["problem_id"],
                "sample": job.sample,
                "extras": variant.extras,
                # The prompt is long, and already known.
                "answer": {k: v for k, v in vars(answer).items() if k != "prompt_ids"},
            }
            # A thread that has started to write finishes, even if this task is cancelled meanwhile.
            await asyncio.to_thread(self.journal.write, job.name, entry)
        if not entry["extras"]:
            self.counts["ungoverned"] += 1
        name, answer = job.problem["problem_id"], Answer(**entry["answer"])
        return self.rows.row(name, job.sample, answer, job.request.prompt_ids)

    def _check_prompt(self, job: _Job, answer: Answer) -> None:
        """Raise an error if the server's prompt differs from the one the gradient uses."""
        ours, theirs = job.request.prompt_ids, answer.prompt_ids
        if theirs is None or theirs == ours:
            return
        pairs = enumerate(zip(ours, theirs, strict=False))
        position = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        raise LearnAlignError(
            f"problem {job.problem['problem_id']}: the server's prompt has {len(theirs)} tokens, "
            f"ours has {len(ours)}; they differ from token {position} on",
            expected="the same tokens: a server of the same model and chat template",
            do="set server.api to completions, or serve the model with its own tokenizer and "
            "chat template",
        )


def request_seed(seed: int, problem_id: str, sample: int) -> int:
    """Return a rollout's own seed, from 1 to 2**31 - 1, which all servers accept.

    Example:
        >>> request_seed(0, "a", 1) == request_seed(0, "a", 1) != request_seed(0, "a", 2)
        True
    """
    digest = hashlib.sha256(f"{seed}:{sample}:{problem_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1) + 1


def served_model(server: ServerConfig) -> str:
    """Ask a server for its model's name, without retries.

    Raises:
        LearnAlignError: if it does not answer, or serves no model of the given name.
    """

    async def ask() -> str:
        async with Endpoint(server.model_copy(update={"attempts": 1})) as endpoint:
            await endpoint.find_model()
            return endpoint.model

    return _run_in_thread(ask())


def _run_in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to completion in a separate thread.

    This works inside a notebook's running event loop, and Ctrl-C arrives while waiting for the
    thread, not in the middle of a request.
    """
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def begin() -> Result:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(asyncio.run, begin())
        try:
            return future.result()
        finally:
            if started and not future.done():
                loop, task = started[0]
                assert task is not None
                with suppress(RuntimeError):  # it has just ended by itself
                    loop.call_soon_threadsafe(task.cancel)
