"""How many tokens a batch may hold: from the memory that is free, and less when it runs out."""

from pathlib import Path

import torch

from learnalign.errors import LearnAlignError

#: A single group may hold so many tokens in one piece; a larger one is split.
_MOST = {"cpu": 2048, "cuda": 32_768, "mps": 8192}
#: Several groups share a batch of at most so many tokens, where more would buy no time: on a CPU,
#: whose float32 products still gain a few percent from larger batches.
_ENOUGH = {("cpu", torch.bfloat16): 640}
_LEAST = 256
_SHARE = 0.4
_UNKNOWN_FREE = 4 << 30


def find_budget(device: torch.device, bytes_per_token: int) -> int:
    """Give the tokens a batch may hold so that its graph takes less than half of the free memory.

    Args:
        device: Where the model is.
        bytes_per_token: What the graph keeps of a token until the way back.

    Example:
        >>> find_budget(torch.device("cpu"), 1)
        2048
    """
    most = _MOST.get(device.type, 8192)
    return int(max(_LEAST, min(most, _SHARE * free_bytes(device) / bytes_per_token)))


def enough(device: torch.device, dtype: torch.dtype) -> int:
    """Give the tokens up to which it pays to put several groups into one batch.

    Example:
        >>> enough(torch.device("cpu"), torch.float32), enough(torch.device("cpu"), torch.bfloat16)
        (2048, 640)
    """
    return _ENOUGH.get((device.type, dtype), _MOST.get(device.type, 8192))


def free_bytes(device: torch.device) -> int:
    """Measure the memory that is free on a device, as well as it can be known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = _read("/proc/meminfo").splitlines()
    free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        free.append(int(limit) - int(used))
    return min(free, default=_UNKNOWN_FREE)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an allocation that failed from other errors.

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
    """Say that even the smallest batch does not fit."""
    return LearnAlignError(
        f"memory ran out on a single response ({tokens} tokens with its prompt)",
        expected="room for one response's forward pass, one layer at a time",
        do="use a device with more memory, --set gradients.dtype=bfloat16, or shorter responses",
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
