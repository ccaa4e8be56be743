"""How long sampling takes: measured by a profile here, and predicted on GPUs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.profiling.costs import Estimate
from learnalign.runs.folder import RunFolder


@dataclass(frozen=True)
class Gpus:
    """GPUs that share the work; twice as many are expected to take half the time."""

    count: int = 1
    price: float | None = None
    """Of one GPU for an hour, in any currency."""
    tokens_per_second: float | None = None
    """Response tokens that one GPU samples in a second; None for what was measured here."""

    def tokens_per_second_of(self, seconds_per_token: float | None, config: Config) -> float:
        """Return the speed of one GPU.

        Args:
            seconds_per_token: What one process here took; None before anything was measured.
            config: Says whether it samples on a GPU, and on how many at once.

        Raises:
            LearnAlignError: if no speed is given, and none is measured on a GPU of this machine.
        """
        from learnalign.models.loading import resolve_device

        if self.tokens_per_second is not None:
            return self.tokens_per_second
        engine = config.rollouts.engine
        here = engine == "vllm" or (
            engine == "transformers" and resolve_device(config.model.device).type == "cuda"
        )
        if not here:
            raise LearnAlignError(
                "got --gpus, but the rollouts are not sampled on a GPU of this machine: how fast "
                "yours samples is not known",
                expected="--gpu-rate, the response tokens that one GPU samples in a second",
                do="measure it, or start from the table in docs/guides/gpu.md",
            )
        split = config.vllm.tensor_parallel_size if engine == "vllm" else 1
        return 1.0 / (seconds_per_token or 1.0) / split


@dataclass(frozen=True)
class Speed:
    """What was measured here, and the GPUs to predict for."""

    seconds_per_rollout: float
    """Wall-clock seconds, verifying included."""
    seconds_per_token: float
    """The same, per response token."""
    gpus: Gpus | None = None
    gpu_rate: float | None = None
    """Response tokens per second of one GPU."""

    def of(self, tokens: Estimate) -> dict[str, Any]:
        """Return the ``hours`` of some tokens here; on GPUs ``gpu_hours`` of all, and the ``price``.

        ``gpu_hours`` is how long the GPUs take together; the price counts each of them.

        Example:
            >>> speed = Speed(2.0, 0.02, Gpus(count=4, price=3.0), gpu_rate=1000.0)
            >>> found = speed.of(Estimate(7_200_000.0, 3_600_000.0, 9e6))
            >>> [found[name]["value"] for name in ("hours", "gpu_hours", "price")]
            [40.0, 0.5, 6.0]
        """  # noqa: E501
        hours = {"hours": _scaled(tokens, self.seconds_per_token / 3600.0)}
        if self.gpus is None or self.gpu_rate is None:
            return hours
        one = 1.0 / self.gpu_rate / 3600.0
        hours["gpu_hours"] = _scaled(tokens, one / self.gpus.count)
        if self.gpus.price is not None:
            hours["price"] = _scaled(tokens, one * self.gpus.price)
        return hours


def measured_speed(
    folder: RunFolder,
    config: Config,
    tokens_per_rollout: float,
    gpus: Gpus | None,
    reused: Collection[str] = (),
) -> Speed:
    """Read from the manifest how long the rollouts and verdicts took.

    The first shard includes loading the model and starting the verifier's workers, and does not
    count where there are others.

    Args:
        folder: A run with rollouts and verdicts.
        config: Its options; on a cluster, its workers share the work.
        tokens_per_rollout: Mean response tokens.
        gpus: GPUs to predict for.
        reused: Ids of the problems whose rollouts another run sampled: they took no time here.
    """
    shards = folder.manifest.stages["rollouts"].shards
    verdicts = folder.manifest.stages["verdicts"].shards
    sampled = _sampled_tokens(folder, reused)
    new = [index for index in sorted(shards) if sampled[index]]
    counted = new[1:] or new
    tokens = sum(shards[index].tokens for index in counted)
    here = sum(sampled[index] for index in counted)
    sampling = sum(shards[index].seconds for index in counted) / max(1, here)
    verifying = sum(verdicts[index].seconds for index in counted) / max(1, tokens)
    cluster = config.cluster.on != "here"
    together = config.cluster.workers if cluster and config.rollouts.engine != "server" else 1
    seconds = sampling / together + verifying / (config.cluster.workers if cluster else 1)
    rate = None if gpus is None else gpus.tokens_per_second_of(sampling, config)
    return Speed(seconds * tokens_per_rollout, seconds, gpus, rate)


def _sampled_tokens(folder: RunFolder, reused: Collection[str]) -> dict[int, int]:
    """Count the response tokens of each shard, without those of reused problems."""
    shards = folder.manifest.stages["rollouts"].shards
    if not reused:
        return {index: shard.tokens for index, shard in shards.items()}
    others = pa.array(reused, pa.string())
    found = {}
    for index, table in zip(sorted(shards), folder.shards("rollouts"), strict=True):
        new = table.filter(pc.invert(pc.is_in(table["problem_id"], others)))
        found[index] = pc.sum(pc.list_value_length(new["token_ids"])).as_py() or 0
    return found


def _scaled(tokens: Estimate, factor: float) -> dict[str, float]:
    return {name: round(value * factor, 12) for name, value in vars(tokens).items()}
