"""The engine ``vllm``: each shard of problems is one batch of a vLLM engine that it starts.

vLLM is imported only in this file, when the engine is opened. It runs in separate processes;
closing the engine ends them and frees the device's memory.
"""

import hashlib
import math
import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from textwrap import shorten
from threading import Thread
from typing import Any

import pyarrow as pa

from learnalign.config import ModelConfig, RolloutConfig, VllmConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import context_length
from learnalign.process_guard import isolated_python, unwatch, watching_new
from learnalign.rollouts.engine import Engine
from learnalign.rollouts.vllm_options import llm_arguments, logprobs_mode
from learnalign.tables import ROLLOUTS
from learnalign.terminal.progress import Advance

#: Defaults for variables that the user has not set: log only warnings, to stderr; send no usage
#: statistics.
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
#: Seconds that vLLM's processes have to exit by themselves if this one is killed.
_GRACE_S = 20.0


class VllmEngine(Engine):
    """Samples rollouts with vLLM.

    Args:
        model: Model and adapter. vLLM finds the devices itself (CUDA_VISIBLE_DEVICES).
        config: G, temperature, top-p and so on.
        options: vLLM's resource limits, and any other of its arguments.
        seed: Sample g of a problem depends on (seed, problem_id, g), the prompt and the model.

    Raises:
        LearnAlignError: if vLLM is not installed, cannot open the model or rejects the options.
    """

    def __init__(
        self, model: ModelConfig, config: RolloutConfig, options: VllmConfig, *, seed: int
    ) -> None:
        super().__init__()
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM, SamplingParams
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise LearnAlignError(
                f"the engine 'vllm' needs the package vllm ({error})",
                do="pip install 'learnalign[vllm]'",
            ) from error
        self.config, self.seed = config, seed
        self._sampling_params = SamplingParams
        self._llm: Any = None
        self._adapter: Any = None
        context_length(model)  # reports a wrong path before vLLM takes half a minute
        arguments = llm_arguments(model, config, options, seed=seed)
        self._processes: list[BaseProcess] = []
        self._pids: list[int] = []
        try:
            self._parameters("", range(1), 1)
            # An engine left running would keep its device's memory.
            with isolated_python(), watching_new(_GRACE_S) as self._pids:
                self._llm = LLM(**arguments)
            if model.adapter is not None:
                self._adapter = LoRARequest("policy", 1, str(model.adapter))
                self._llm.llm_engine.add_lora(self._adapter)
        except Exception as error:  # vLLM's errors share no base class
            self.close()
            raise _open_error(model.path, error) from error
        children = multiprocessing.active_children()
        self._processes = [child for child in children if child.pid in self._pids]
        answers = getattr(self._llm.llm_engine.engine_core, "outputs_queue", None)
        if self._processes and answers is not None:
            sentinels = [child.sentinel for child in self._processes]
            Thread(target=_wake, args=(sentinels, answers), daemon=True).start()
        self.context = int(self._llm.llm_engine.model_config.max_model_len)

    def sample(
        self,
        problems: pa.Table,
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Sample the rollouts of each problem.

        Args:
            problems: PROBLEMS table.
            progress: Called with 1 for each finished problem.
            samples: Which samples of each problem; 0..G-1 by default.

        Returns:
            ROLLOUTS table in the order of ``problems``. A problem whose prompt fills vLLM's
            context, or whose logits contain NaN or Inf, is left out and added to ``failures``.
        """
        requested = range(self.config.num_rollouts) if samples is None else samples
        assert requested.step == 1, "vLLM's seeds are consecutive"
        kept: list[str] = []
        prompts, parameters = [], []
        for row in problems.select(["problem_id", "prompt_ids"]).to_pylist():
            name, ids = row["problem_id"], row["prompt_ids"]
            room = self.context - len(ids)
            if room > 0:
                kept.append(name)
                prompts.append({"prompt_token_ids": ids})
                parameters.append(self._parameters(name, requested, room))
                continue
            detail = f"{len(ids)} tokens; vLLM's context length is {self.context}"
            self.failures.append((name, "prompt_too_long", detail))
            if progress is not None:
                progress(1)
        rows: list[dict[str, Any]] = []
        outputs = self._run(prompts, parameters, progress) if prompts else []
        for name, completions in zip(kept, outputs, strict=True):
            group = rollout_rows(name, requested, completions)
            if all(math.isfinite(p) for row in group for p in row["logprobs"] or ()):
                rows += group
            else:
                detail = "the model's logits contain NaN or Inf"
                self.failures.append((name, "nonfinite_logits", detail))
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    def close(self) -> None:
        """End vLLM's processes and free the device's memory."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
            for process in self._processes:
                process.join(timeout=60)  # its memory is free once it has exited
                if process.is_alive():
                    process.kill()
        while self._pids:
            unwatch(self._pids.pop())

    def _parameters(self, problem_id: str, samples: range, room: int) -> Any:
        """Return a problem's sampling parameters; vLLM samples completion n with seed + n."""
        config = self.config
        greedy = config.temperature == 0.0
        return self._sampling_params(
            n=1 if greedy else len(samples),
            seed=first_seed(self.seed, problem_id) + samples.start,
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=min(config.max_tokens, room),
            stop=list(config.stop),
            logprobs=None if logprobs_mode(config) is None else 0,
        )

    def _run(
        self, prompts: list[Any], parameters: list[Any], progress: Advance | None
    ) -> list[Sequence[Any]]:
        """Sample all prompts at once; return each prompt's completions."""
        engine = self._llm.llm_engine
        requests = self._llm.enqueue(
            prompts, parameters, lora_request=self._adapter, use_tqdm=False
        )
        done: dict[int, Sequence[Any]] = {}
        try:
            while engine.has_unfinished_requests():
                for output in engine.step():
                    done[int(output.request_id)] = output.outputs
                    if progress is not None:
                        progress(1)
        except Exception as error:
            raise LearnAlignError(
                f"vLLM failed while sampling: {_message(error)}",
                do="see its output above, then run the same command to resume; finished shards "
                "are kept",
            ) from error
        except BaseException:
            engine.abort_request(requests, internal=True)
            raise
        return [done[number] for number in sorted(done)]


def first_seed(seed: int, problem_id: str) -> int:
    """Return the seed of a problem's sample 0; sample g has this seed plus g.

    Example:
        >>> first_seed(0, "a") == first_seed(0, "a") != first_seed(1, "a")
        True
    """
    digest = hashlib.sha256(f"{seed} {problem_id}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def rollout_rows(
    problem_id: str, samples: range, completions: Sequence[Any]
) -> list[dict[str, Any]]:
    """Convert vLLM's completions of a problem to rows; a greedy one is repeated for all samples."""
    if len(completions) == 1:
        completions = [completions[0]] * len(samples)
    return [
        {
            "problem_id": problem_id,
            "sample": sample,
            "completion": output.text,
            "token_ids": list(output.token_ids),
            "logprobs": output.logprobs
            and [
                step[i].logprob for step, i in zip(output.logprobs, output.token_ids, strict=True)
            ],
            "finish_reason": "length" if output.finish_reason == "length" else "stop",
        }
        for sample, output in zip(samples, completions, strict=True)
    ]


def _wake(sentinels: list[int], answers: Any) -> None:
    """Stop waiting for an answer if a vLLM process is killed; vLLM itself would wait forever."""
    connection.wait(sentinels)
    answers.put_nowait(RuntimeError("its process ended"))


def _message(error: Exception) -> str:
    return shorten(str(error) or type(error).__name__, 500, placeholder=" ...")


def _open_error(path: str, error: Exception) -> LearnAlignError:
    return LearnAlignError(
        f"vLLM cannot open '{path}': {_message(error)}",
        do="see vLLM's output above; if memory is short, change vllm.max_model_len, "
        "vllm.gpu_memory_utilization or vllm.tensor_parallel_size; in a script, open the engine "
        'under `if __name__ == "__main__":`',
    )
