"""The token budget of a batch, derived from the free memory."""

from pathlib import Path

import torch

from learnalign.errors import LearnAlignError

#: Maximum number of tokens of a group in one piece; a larger group is split.
_MAX_TOKENS = {"cpu": 2048, "cuda": 32_768, "mps": 8192}
#: Maximum number of tokens of several groups in one batch, where larger batches are not faster (on
#: a CPU, float32 products still gain a few percent).
_ENOUGH = {("cpu", torch.bfloat16): 640}
_MIN_TOKENS = 256
_SHARE = 0.4
_UNKNOWN_FREE = 4 << 30


def find_budget(device: torch.device, bytes_per_token: int) -> int:
    """Return the tokens per batch for which the graph takes less than half of the free memory.

    Args:
        device: The model's device.
        bytes_per_token: Memory that the graph keeps per token until the backward pass.

    Example:
        >>> find_budget(torch.device("cpu"), 1)
        2048
    """
    limit = _MAX_TOKENS.get(device.type, 8192)
    return int(max(_MIN_TOKENS, min(limit, _SHARE * free_bytes(device) / bytes_per_token)))


def enough(device: torch.device, dtype: torch.dtype) -> int:
    """Return the number of tokens up to which batching several groups is faster.

    Example:
        >>> enough(torch.device("cpu"), torch.float32), enough(torch.device("cpu"), torch.bfloat16)
        (2048, 640)
    """
    return _ENOUGH.get((device.type, dtype), _MAX_TOKENS.get(device.type, 8192))


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device in bytes, as far as it is known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = _read("/proc/meminfo").splitlines()
    free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        free.append(int(limit) - int(used))
    return min(free, default=_UNKNOWN_FREE)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is a failed allocation.

    Example:
        >>> is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
        False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "out of memory" in str(error)
    )


def too_large(tokens: int) -> LearnAlignError:
    """Return the error for a smallest batch that does not fit."""
    return LearnAlignError(
        f"memory ran out on a single response ({tokens} tokens with its prompt)",
        expected="memory for one response's forward pass, one layer at a time",
        do="use a device with more memory, --set gradients.dtype=bfloat16, or shorter responses",
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
