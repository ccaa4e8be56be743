"""Dividing gradients by Adam's second moments, kept as rows and columns, for those who follow LESS.

Adam divides each entry of a gradient by the root of its second moment V. A full V is as large as
the model; its row and column means give it back as ``V_ij = R_i C_j / mean(R)`` (Shazeer and Stern
2018, Adafactor), and the division becomes one of a layer's output gradients by ``sqrt(R)`` and one
of its inputs by ``sqrt(C / mean(R))``: it costs nothing beside the gradient itself.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from learnalign.errors import LearnAlignError
from learnalign.gradients.parameters import Weight

#: Added to the root, as Adam does.
EPSILON = 1e-8
Factors = tuple[torch.Tensor, torch.Tensor]


def write_moments(path: Path, second_moments: Mapping[str, torch.Tensor]) -> None:
    """Keep the row and column means of second moments.

    Args:
        path: A safetensors file.
        second_moments: Adam's ``exp_avg_sq`` (or any mean of squared gradients) by parameter name,
            of the parameters' own shapes; one-dimensional ones are left out.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "moments.safetensors"
        >>> write_moments(path, {"layer.weight": torch.tensor([[1.0, 4.0], [9.0, 36.0]])})
        >>> load_file(path)["layer.weight.rows"].tolist()
        [2.5, 22.5]
    """
    kept = {}
    for name, moments in second_moments.items():
        if moments.ndim >= 2:
            matrix = moments.detach().float().reshape(-1, moments.shape[-1])
            kept[f"{name}.rows"], kept[f"{name}.columns"] = matrix.mean(1), matrix.mean(0)
    save_file(kept, path)


def moments_of(
    optimizer: torch.optim.Optimizer, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]
) -> dict[str, torch.Tensor]:
    """Read Adam's second moments out of an optimiser that has made a step.

    Args:
        optimizer: Of the Adam family, whose state holds ``exp_avg_sq``.
        named_parameters: The model's, so that the moments get their names.

    Raises:
        LearnAlignError: if it holds none.
    """
    found = {
        name: optimizer.state[parameter]["exp_avg_sq"]
        for name, parameter in named_parameters
        if "exp_avg_sq" in optimizer.state.get(parameter, {})
    }
    if not found:
        raise LearnAlignError(
            f"the {type(optimizer).__name__} holds no second moments",
            expected="exp_avg_sq of an Adam that has made a step",
            do="call it after training, before the optimiser is thrown away",
        )
    return found


def read_factors(path: Path, weights: Iterable[Weight]) -> list[Factors]:
    """Give what each weight's output gradients and inputs are to be multiplied by.

    Args:
        path: A file of `write_moments`.
        weights: The weights to differentiate.

    Returns:
        For each weight (outputs,) and (inputs,) factors on its device.

    Raises:
        LearnAlignError: if the file is none, or a weight is not in it or of another shape.
    """
    if not path.is_file():
        raise LearnAlignError(
            f"got no file {path}",
            expected="a safetensors file of row and column second moments",
            do="make it with learnalign.gradients.preconditioning.write_moments",
        )
    moments = load_file(path)
    factors = []
    for weight in weights:
        rows, columns = (moments.get(f"{weight.name}.{side}") for side in ("rows", "columns"))
        if (
            rows is None
            or columns is None
            or rows.numel() * columns.numel() != (weight.parameter.numel())
        ):
            raise LearnAlignError(
                f"{path} holds no moments of {weight.name} with {weight.shape} values",
                expected="the moments of the very model whose gradients are taken",
                do="make the file anew for this model",
            )
        if weight.transposed:
            rows, columns = columns, rows
        device = weight.parameter.device
        scale = rows.mean().clamp(min=torch.finfo(torch.float32).tiny)
        left = 1.0 / (rows.sqrt() + EPSILON)
        right = 1.0 / ((columns / scale).sqrt() + EPSILON)
        factors.append((left.to(device), right.to(device)))
    return factors
