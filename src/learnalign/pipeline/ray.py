"""Shards made on a Ray cluster: each actor loads the model once, and only this process counts.

An actor reads a shard's inputs from the run folder, writes its file there and sends back the
manifest's record of it; so the folder must be one that every node sees. The actors stay from stage
to stage. They are handed one shard at a time: when one dies, its shard goes to the next that is
free, and another actor is asked for.
"""

import json
import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.shard import make_shard
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import Shard
from learnalign.terminal.progress import Advance

try:
    import ray
except ImportError as error:
    raise LearnAlignError(
        "a cluster needs the package ray", do="pip install 'learnalign[ray]'"
    ) from error

#: Seconds between two looks at whether the manifest should be written.
_LOOK_S = 5.0
#: A shard whose actors die so often is not given out again.
_DEATHS = 3
#: Options that name files an actor reads.
_PLACES = (
    ("run", "out"),
    ("model", "path"),
    ("model", "adapter"),
    ("rollouts", "reuse"),
    ("gradients", "reference"),
    ("gradients", "preconditioner"),
)


class RayCluster:
    """A Ray cluster while a run works: the one RAY_ADDRESS names, or else one on this machine.

    Args:
        config: The run's options; ``cluster`` among them.

    Raises:
        LearnAlignError: on entering, if no cluster answers at the address, and if it has no room
            for a single actor.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        # What each busy actor is at: its shard, or None while it starts (and may wait for room).
        self._at: dict[Any, tuple[Any, int | None]] = {}
        self._idle: list[Any] = []

    def __enter__(self) -> "RayCluster":
        where = self.config.cluster.on
        self._joined = ray.is_initialized()
        if not self._joined:
            try:
                ray.init(
                    # Ray itself would look for the last cluster on this machine, dead or alive.
                    os.environ.get("RAY_ADDRESS", "local") if where == "ray" else where,
                    logging_level=logging.WARNING,
                    log_to_driver=False,
                )
            except (ConnectionError, RuntimeError, TimeoutError) as error:
                raise LearnAlignError(
                    f"no Ray cluster answers at {where}: {' '.join(str(error).split())[:300]}",
                    expected="the address of a head node whose client server runs",
                    do="start it with `ray start --head`, or give --on ray on one of its nodes; "
                    "for a cluster that wants a token, set RAY_AUTH_MODE=token here",
                ) from error
        try:
            self._new = self._kind_of_actor()
        except LearnAlignError:
            self.__exit__(None, None, None)
            raise
        tree = _everywhere(self.config).model_dump(mode="json")
        self._work = (tree, version("learnalign"), os.getcwd())
        # Now, so that they import what they need while the pool is read.
        for _ in range(self.config.cluster.workers):
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for actor in [*self._idle, *(actor for actor, _ in self._at.values())]:
            ray.kill(actor)
        if not self._joined:
            ray.shutdown()

    def shards(
        self, folder: RunFolder, stage: str, left: list[int], given: Any, advance: Advance
    ) -> Iterator[tuple[int, Shard]]:
        """Have shards made side by side; give them as they come, in whatever order.

        Raises:
            LearnAlignError: what an actor raised, and for a shard that kills its actors; those
                that came before are kept.
        """
        pools = folder.manifest.stages["problems"].shards
        order = (stage, folder.manifest.stages[stage].fingerprint, ray.put(given))
        waiting, deaths, workers = deque(left), Counter[int | None](), self.config.cluster.workers
        while waiting or any(index is not None for _, index in self._at.values()):
            while waiting and self._idle:
                actor, index = self._idle.pop(), waiting.popleft()
                self._at[actor.make.remote(*order, index)] = actor, index
            done, _ = ray.wait(list(self._at), timeout=_LOOK_S)
            folder.save_due()
            for ref in done:
                actor, made = self._at.pop(ref)
                try:
                    record, refusal = ray.get(ref)
                except ray.exceptions.RayActorError as error:
                    deaths[made] += 1
                    if deaths[made] == _DEATHS * (1 if made is not None else workers):
                        raise _deadly(stage, made, error) from error
                    if made is not None:
                        waiting.appendleft(made)
                    self._start()
                    continue
                self._idle.append(actor)
                if refusal:
                    raise LearnAlignError(**json.loads(refusal))
                if made is not None:
                    yield made, Shard.model_validate_json(record)
                    advance(pools[made].rows)

    def _start(self) -> None:
        """Ask for an actor."""
        actor = self._new.remote(*self._work)
        self._at[actor.ready.remote()] = actor, None

    def _kind_of_actor(self) -> Any:
        """Say what an actor holds of a node, and see that one would find room."""
        options, room = self.config.cluster, ray.cluster_resources()  # type: ignore[no-untyped-call]
        there = {name: room.get(name, 0.0) for name in ("CPU", "GPU")}
        gpus = options.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if there["GPU"] else 0.0
        if there["CPU"] < options.cpus_per_worker or there["GPU"] < gpus:
            raise LearnAlignError(
                f"an actor wants {options.cpus_per_worker:g} processors and {gpus:g} GPUs; the "
                f"cluster has {there['CPU']:g} and {there['GPU']:g}",
                expected="room for one actor at least",
                do="change --cpus-per-worker and --gpus-per-worker",
            )
        return ray.remote(num_cpus=options.cpus_per_worker, num_gpus=gpus)(_Actor)


class _Actor:
    """Makes the shards it is handed, and keeps the model between them."""

    def __init__(self, config: dict[str, Any], wanted: str, here: str = "") -> None:
        if here:
            # Ray searches the driver's current folder first, where a file may have any name.
            sys.path[:] = [*(entry for entry in sys.path if entry not in ("", here)), here]
        self.config, self.wanted = Config.model_validate(config), wanted
        self.resources = Resources(self.config)
        self.folder, self.stage = RunFolder(self.config.run.out), ""

    def ready(self) -> tuple[str, str]:
        """Answer once the actor runs: with nothing, or why it cannot work."""
        if version("learnalign") == self.wanted:
            import learnalign.models.loading  # noqa: F401  (torch and transformers take seconds)

            return "", ""
        return "", _refusal(
            LearnAlignError(
                f"a node of the cluster has learnalign {version('learnalign')}",
                expected=f"{self.wanted}, as where the run was started",
                do="install the same version on all nodes",
            )
        )

    def make(self, stage: str, fingerprint: str, given: Any, index: int) -> tuple[str, str]:
        """Make one shard; give its record, or why there is none."""
        try:
            if stage != self.stage:
                self.folder, self.stage = self._folder(stage, fingerprint), stage
            shard = make_shard(self.folder, stage, index, self.resources, given, lambda count: None)
        except LearnAlignError as error:
            return "", _refusal(error)
        return shard.model_dump_json(), ""

    def _folder(self, stage: str, fingerprint: str) -> RunFolder:
        """Open the run folder, if this node sees the one that the run has."""
        folder = RunFolder(self.config.run.out)
        record = folder.manifest.stages.get(stage)
        if record is None or record.fingerprint != fingerprint:
            raise LearnAlignError(
                f"a node of the cluster does not find the run at {self.config.run.out}",
                expected="a run folder that every node sees",
                do="give --out on a shared disk (by its absolute path) or s3://bucket/run",
            )
        return folder


def _refusal(error: LearnAlignError) -> str:
    """Write an error as a value: raised, it would come out wrapped in Ray's own, its parts lost."""
    return json.dumps({"got": error.got, "expected": error.expected, "do": error.do})


def _deadly(stage: str, index: int | None, error: Exception) -> LearnAlignError:
    what = "their start" if index is None else f"shard {index} of {stage}"
    return LearnAlignError(
        f"actors end with {what}, every time: {' '.join(str(error).split())[:300]}",
        expected="an actor that lives through it; out of memory is the usual reason",
        do="lower the stage's token_budget, or give an actor more with --gpus-per-worker; the same "
        "command goes on",
    )


def _everywhere(config: Config) -> Config:
    """Name files by their absolute paths, and give an actor's verifier its own processors."""
    tree = config.model_dump(mode="json")
    for section, name in _PLACES:
        value = tree[section][name]
        if value and Path(value).exists():
            tree[section][name] = str(Path(value).resolve())
    if tree["verifier"]["workers"] is None:
        tree["verifier"]["workers"] = max(1, int(config.cluster.cpus_per_worker))
    return Config.model_validate(tree)
