"""What a device needs to be right and quick: sums in a fixed order, wide products, late copies."""

import numpy as np
import torch
from numpy.typing import NDArray


def add_at(target: torch.Tensor, dim: int, index: torch.Tensor, values: torch.Tensor) -> None:
    """Add slices of ``values`` to those of ``target`` at ``index``, in place.

    Slices with the same index are added in a fixed order, so that results are the same from run to
    run: ``index_add_`` does that on a CPU, and on CUDA an accumulating ``index_put_``, which sorts.

    Args:
        target: The sums.
        dim: Dimension of the slices.
        index: (n,) int64; may contain duplicates.
        values: n slices.

    Example:
        >>> sums = torch.zeros(3)
        >>> add_at(sums, 0, torch.tensor([0, 2, 0]), torch.tensor([1.0, 5.0, 2.0]))
        >>> sums.tolist()
        [3.0, 0.0, 5.0]
    """
    if target.device.type == "cuda":
        target.movedim(dim, 0).index_put_((index,), values.movedim(dim, 0), accumulate=True)
    else:
        target.index_add_(dim, index, values)


def outer_sum(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Compute ``sum_t left_t right_t^T`` of (T, m) and (T, n).

    Returns:
        (m, n); on CUDA float32 for 16-bit inputs, which are accumulated and returned in float32.
    """
    if left.device.type == "cuda" and left.dtype in (torch.bfloat16, torch.float16):
        return torch.mm(left.T, right, out_dtype=torch.float32)
    return left.T @ right


class HostCopy:
    """A copy of tensors to the host that the device makes while the host goes on.

    Args:
        tensors: Tensors on one device.

    Example:
        >>> copy = HostCopy(torch.ones(2), torch.zeros(1))
        >>> copy.on_host, [array.tolist() for array in copy.wait()]
        (True, [[1.0, 1.0], [0.0]])
    """

    def __init__(self, *tensors: torch.Tensor) -> None:
        self.on_host = tensors[0].device.type != "cuda"
        if self.on_host:
            self._tensors = [tensor.cpu() for tensor in tensors]
            return
        self._tensors = [
            torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors
        ]
        for host, tensor in zip(self._tensors, tensors, strict=True):
            host.copy_(tensor, non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()

    def wait(self) -> list[NDArray[np.generic]]:
        """Wait for the copy and return its arrays."""
        if not self.on_host:
            self._copied.synchronize()
        return [tensor.numpy() for tensor in self._tensors]
