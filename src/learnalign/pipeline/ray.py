"""Compute shards on a Ray cluster; each actor loads the model once.

An actor reads a shard's inputs from the run folder, writes its file there and returns its manifest
record, so every node must see the folder. Only the process that was started writes the manifest.
The actors live through all stages and get one shard at a time: when one dies, another is started
and the next idle actor gets the shard.
"""

import json
import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from learnalign import __version__
from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.shard import compute_shard
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import Shard
from learnalign.terminal.progress import Advance

try:
    import ray
except ImportError as error:
    raise LearnAlignError(
        "a cluster needs the package ray", do="pip install 'learnalign[ray]'"
    ) from error

#: Seconds between two checks whether the manifest is due to be written.
_LOOK_S = 5.0
#: After this many deaths a shard is not retried.
_DEATHS = 3
#: Options that name files an actor reads.
_PATHS = (
    ("run", "out"),
    ("model", "path"),
    ("model", "adapter"),
    ("rollouts", "reuse"),
    ("gradients", "reference"),
    ("gradients", "preconditioner"),
)


class RayCluster:
    """A Ray cluster during a run: the one at RAY_ADDRESS, or else one on this machine.

    Args:
        config: The run's options, ``cluster`` among them.

    Raises:
        LearnAlignError: on entering, if no cluster answers at the address, or it has no room for
            one actor.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        # By reference: each busy actor and its shard, or None while it starts (or waits for room).
        self._busy: dict[Any, tuple[Any, int | None]] = {}
        self._idle: list[Any] = []

    def __enter__(self) -> "RayCluster":
        address = self.config.cluster.on
        self._joined = ray.is_initialized()
        if not self._joined:
            try:
                ray.init(
                    # By default, Ray looks for the last cluster on this machine, dead or alive.
                    os.environ.get("RAY_ADDRESS", "local") if address == "ray" else address,
                    logging_level=logging.WARNING,
                    log_to_driver=False,
                )
            except (ConnectionError, RuntimeError, TimeoutError) as error:
                raise LearnAlignError(
                    f"no Ray cluster answers at {address}: {' '.join(str(error).split())[:300]}",
                    expected="the address of a head node whose client server runs",
                    do="start it with `ray start --head`, or use --on ray on one of its nodes; "
                    "for a cluster that requires a token, set RAY_AUTH_MODE=token here",
                ) from error
        try:
            self._actor_class = self._sized_actor()
        except LearnAlignError:
            self.__exit__(None, None, None)
            raise
        tree = _for_actors(self.config).model_dump(mode="json")
        self._arguments = (tree, __version__, os.getcwd())
        # Started now, so that they import their packages while the pool is read.
        for _ in range(self.config.cluster.workers):
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            ray.kill(actor)
        if not self._joined:
            ray.shutdown()

    def shards(
        self, folder: RunFolder, stage: str, left: list[int], plan: Any, advance: Advance
    ) -> Iterator[tuple[int, Shard]]:
        """Compute shards in parallel; yield each when it is finished, in any order.

        Raises:
            LearnAlignError: what an actor raised, or for a shard that kills its actors; finished
                shards are kept.
        """
        pools = folder.manifest.stages["problems"].shards
        job = (stage, folder.manifest.stages[stage].fingerprint, ray.put(plan))
        waiting, deaths, workers = deque(left), Counter[int | None](), self.config.cluster.workers
        while waiting or any(index is not None for _, index in self._busy.values()):
            while waiting and self._idle:
                actor, index = self._idle.pop(), waiting.popleft()
                self._busy[actor.compute.remote(*job, index)] = actor, index
            ready, _ = ray.wait(list(self._busy), timeout=_LOOK_S)
            folder.save_due()
            for ref in ready:
                actor, computed = self._busy.pop(ref)
                try:
                    record, refusal = ray.get(ref)
                except ray.exceptions.RayActorError as error:
                    deaths[computed] += 1
                    if deaths[computed] == _DEATHS * (1 if computed is not None else workers):
                        raise _deadly(stage, computed, error) from error
                    if computed is not None:
                        waiting.appendleft(computed)
                    self._start()
                    continue
                self._idle.append(actor)
                if refusal:
                    raise LearnAlignError(**json.loads(refusal))
                if computed is not None:
                    yield computed, Shard.model_validate_json(record)
                    advance(pools[computed].rows)

    def _start(self) -> None:
        """Start an actor."""
        actor = self._actor_class.remote(*self._arguments)
        self._busy[actor.ready.remote()] = actor, None

    def _sized_actor(self) -> Any:
        """Return the actor class with its share of a node, if the cluster has room for one."""
        options, total = self.config.cluster, ray.cluster_resources()  # type: ignore[no-untyped-call]
        available = {name: total.get(name, 0.0) for name in ("CPU", "GPU")}
        gpus = options.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if available["GPU"] else 0.0
        if available["CPU"] < options.cpus_per_worker or available["GPU"] < gpus:
            raise LearnAlignError(
                f"an actor needs {options.cpus_per_worker:g} processors and {gpus:g} GPUs; the "
                f"cluster has {available['CPU']:g} and {available['GPU']:g}",
                expected="room for at least one actor",
                do="change --cpus-per-worker and --gpus-per-worker",
            )
        return ray.remote(num_cpus=options.cpus_per_worker, num_gpus=gpus)(_Actor)


class _Actor:
    """Computes one shard at a time and keeps the model loaded in between."""

    def __init__(self, config: dict[str, Any], expected: str, folder: str = "") -> None:
        if folder:
            # Ray searches the driver's current folder first, where a file may have any name.
            sys.path[:] = [*(entry for entry in sys.path if entry not in ("", folder)), folder]
        self.config, self.expected = Config.model_validate(config), expected
        self.resources = Resources(self.config)
        self.folder, self.stage = RunFolder(self.config.run.out), ""

    def ready(self) -> tuple[str, str]:
        """Return once the actor runs: nothing, or why it cannot work."""
        if __version__ == self.expected:
            import learnalign.models.loading  # noqa: F401  (torch and transformers take seconds)

            return "", ""
        return "", _refusal(
            LearnAlignError(
                f"a node of the cluster has learnalign {__version__}",
                expected=f"{self.expected}, as where the run was started",
                do="install the same version on all nodes",
            )
        )

    def compute(self, stage: str, fingerprint: str, plan: Any, index: int) -> tuple[str, str]:
        """Compute one shard; return its record, or why there is none."""
        try:
            if stage != self.stage:
                self.folder, self.stage = self._folder(stage, fingerprint), stage
            shard = compute_shard(
                self.folder, stage, index, self.resources, plan, lambda count: None
            )
        except LearnAlignError as error:
            return "", _refusal(error)
        return shard.model_dump_json(), ""

    def _folder(self, stage: str, fingerprint: str) -> RunFolder:
        """Open the run folder, if this node sees the one of the run."""
        folder = RunFolder(self.config.run.out)
        record = folder.manifest.stages.get(stage)
        if record is None or record.fingerprint != fingerprint:
            raise LearnAlignError(
                f"a node of the cluster does not find the run at {self.config.run.out}",
                expected="a run folder that every node sees",
                do="put --out on a shared disk (by its absolute path) or at s3://bucket/run",
            )
        return folder


def _refusal(error: LearnAlignError) -> str:
    """Encode an error as a value: raised, Ray would wrap it and lose its parts."""
    return json.dumps({"got": error.got, "expected": error.expected, "do": error.do})


def _deadly(stage: str, index: int | None, error: Exception) -> LearnAlignError:
    cause = "at their start" if index is None else f"on shard {index} of {stage}"
    return LearnAlignError(
        f"actors die {cause}, every time: {' '.join(str(error).split())[:300]}",
        expected="an actor that survives it; running out of memory is the usual cause",
        do="lower the stage's token_budget, or give an actor more with --gpus-per-worker; run the "
        "same command to resume",
    )


def _for_actors(config: Config) -> Config:
    """Make paths absolute, and give an actor's verifier the actor's processors."""
    tree = config.model_dump(mode="json")
    for section, name in _PATHS:
        value = tree[section][name]
        if value and Path(value).exists():
            tree[section][name] = str(Path(value).resolve())
    if tree["verifier"]["workers"] is None:
        tree["verifier"]["workers"] = max(1, int(config.cluster.cpus_per_worker))
    return Config.model_validate(tree)
