"""The models of `paying.py`: a tiny one for the whole map, SmolLM2 for the cells that decide."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from harness import ROOT

#: The policy of rows that name none.
UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class Model:
    """A policy, and what is particular to it."""

    name: str
    preset: Path
    path: Path
    mixture_signal: float
    """Share of the mixture of `arithmetic` that has a signal for it."""
    num_test: int
    """Held-out problems that are asked."""
    longer: tuple[int, ...]
    """Further passes of the rules that pay for no choice, so that equal costs can be compared."""
    results: str
    """Name of the file of its rows."""

    @property
    def work(self) -> Path:
        """The folder of its pools and trainings."""
        return ROOT / "runs" / "paying" / self.name

    def policy(self) -> str:
        """Return what tells its weights from others: training it again gives other ones.

        The map's rows were written before it was recorded. They are all of one policy, too.
        """
        return sha256((self.path / "model.safetensors").read_bytes()).hexdigest()[:8]


_PRESETS = ROOT / "benchmarks" / "presets"
MODELS = {
    model.name: model
    for model in (
        Model(
            name="tiny",
            preset=_PRESETS / "tiny.yaml",
            path=ROOT / "runs" / "paying" / "tiny" / "model",
            mixture_signal=0.5,
            num_test=1500,
            longer=(8, 16),
            results="paying",
        ),
        Model(
            name="smollm2",
            preset=_PRESETS / "smollm2.yaml",
            path=ROOT / "models" / "SmolLM2-135M-Instruct",
            mixture_signal=0.35,
            num_test=600,
            longer=(),
            results="paying.smollm2",
        ),
    )
}
