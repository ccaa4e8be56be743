"""Precondition gradients with Adam's factored second moments, in the style of LESS.

Adam divides each entry of a gradient by the root of its second moment V. A full V is as large as
the model; its row and column means approximate it as ``V_ij = R_i C_j / mean(R)`` (Shazeer and
Stern 2018, Adafactor). A layer's output gradients are then divided by ``sqrt(R)`` and its inputs by
``sqrt(C / mean(R))``, at negligible cost compared with the gradient itself.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from learnalign.errors import LearnAlignError
from learnalign.gradients.parameters import Weight

#: Added to the root, as in Adam.
EPSILON = 1e-8
Factors = tuple[torch.Tensor, torch.Tensor]


def write_moments(path: Path, second_moments: Mapping[str, torch.Tensor]) -> None:
    """Write the row and column means of second moments.

    Args:
        path: A safetensors file.
        second_moments: Adam's ``exp_avg_sq`` (or any mean of squared gradients) by parameter name,
            in the parameters' shapes; one-dimensional ones are left out.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "moments.safetensors"
        >>> write_moments(path, {"layer.weight": torch.tensor([[1.0, 4.0], [9.0, 36.0]])})
        >>> load_file(path)["layer.weight.rows"].tolist()
        [2.5, 22.5]
    """
    means = {}
    for name, moments in second_moments.items():
        if moments.ndim >= 2:
            matrix = moments.detach().float().reshape(-1, moments.shape[-1])
            means[f"{name}.rows"], means[f"{name}.columns"] = matrix.mean(1), matrix.mean(0)
    save_file(means, path)


def moments_of(
    optimizer: torch.optim.Optimizer, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]
) -> dict[str, torch.Tensor]:
    """Read Adam's second moments from an optimiser that has taken a step.

    Args:
        optimizer: An Adam variant whose state contains ``exp_avg_sq``.
        named_parameters: The model's parameters, which name the moments.

    Raises:
        LearnAlignError: if the optimiser has no second moments.
    """
    moments = {
        name: optimizer.state[parameter]["exp_avg_sq"]
        for name, parameter in named_parameters
        if "exp_avg_sq" in optimizer.state.get(parameter, {})
    }
    if not moments:
        raise LearnAlignError(
            f"the {type(optimizer).__name__} has no second moments",
            expected="exp_avg_sq of an Adam optimiser that has taken a step",
            do="call it after training, while the optimiser still exists",
        )
    return moments


def read_factors(path: Path, weights: Iterable[Weight]) -> list[Factors]:
    """Return the factors for each weight's output gradients and inputs.

    Args:
        path: A file of `write_moments`.
        weights: The weights to differentiate.

    Returns:
        For each weight (outputs,) and (inputs,) factors on its device.

    Raises:
        LearnAlignError: if there is no file, or a weight is missing in it or has another shape.
    """
    if not path.is_file():
        raise LearnAlignError(
            f"got no file {path}",
            expected="a safetensors file of row and column second moments",
            do="write it with learnalign.gradients.preconditioning.write_moments",
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
                f"{path} has no moments of {weight.name} with {weight.shape} values",
                expected="the moments of the model whose gradients are computed",
                do="write the file again for this model",
            )
        if weight.transposed:
            rows, columns = columns, rows
        device = weight.parameter.device
        scale = rows.mean().clamp(min=torch.finfo(torch.float32).tiny)
        left = 1.0 / (rows.sqrt() + EPSILON)
        right = 1.0 / ((columns / scale).sqrt() + EPSILON)
        factors.append((left.to(device), right.to(device)))
    return factors
