"""Hardware and software of a benchmark, needed to compare its figures."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

#: CPU flags for instruction sets that arithmetic uses, on x86 and ARM; other flags are dropped.
_ARITHMETIC = re.compile(r"(sse4|avx|amx|fma|f16c|asimd|sve|sme(?![a-z])|bf16|i8mm|fphp)")
#: Packages whose versions are recorded even where learnalign itself is not installed.
_ALWAYS = {"huggingface-hub", "numpy", "pyarrow", "tokenizers", "torch", "transformers"}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def machine(root: Path) -> dict[str, Any]:
    """Describe this machine and the software on it.

    Args:
        root: Folder of the measured git checkout.

    Returns:
        A JSON-serializable dict. Unknown values are None, missing things are empty.
    """
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": _packages(),
        "learnalign": {"version": _version("learnalign"), **_checkout(root)},
    }


def _processor() -> dict[str, Any]:
    text = _read("/proc/cpuinfo")
    flags = set((_first(text, "flags") or _first(text, "Features") or "").split())
    blocks = [dict(re.findall(r"^(.+?)\s*:\s*(.*)$", b, re.MULTILINE)) for b in text.split("\n\n")]
    cores = {(b["physical id"], b["core id"]) for b in blocks if "core id" in b}
    torch = _torch()
    return {
        "model": _first(text, "model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "instructions": sorted(flag for flag in flags if _ARITHMETIC.match(flag)),
        "torch_capability": torch and torch.backends.cpu.get_cpu_capability(),
        "cores": len(cores) or None,
        # A container or taskset may restrict a process to fewer CPUs.
        "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "quota": _quota(_read("/sys/fs/cgroup/cpu.max")),
        "torch_threads": torch and torch.get_num_threads(),
        "thread_variables": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _quota(text: str) -> float | None:
    """Return a control group's CPU limit; None without a limit."""
    parts = text.split()
    return int(parts[0]) / int(parts[1]) if len(parts) == 2 and parts[0] != "max" else None


def _memory_bytes() -> int | None:
    """Return the memory, or a control group's limit if it is lower."""
    total = _first(_read("/proc/meminfo"), "MemTotal")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    known = [int(total.split()[0]) * 1024] if total else []
    known += [int(limit)] if limit.isdigit() else []
    return min(known, default=None)


def _gpus() -> list[dict[str, Any]]:
    """Describe the GPUs, with nvidia-smi if available, otherwise with torch."""
    torch = _torch()
    built = {"cuda": torch and torch.version.cuda, "hip": torch and torch.version.hip}
    fields = "name,driver_version,memory.total,compute_cap"
    output = _run("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    if output:
        names = ("name", "driver", "memory_mib", "compute_capability")
        rows = [[part.strip() for part in line.split(",")] for line in output.splitlines()]
        return [dict(zip(names, row, strict=True)) | built for row in rows]
    if torch and torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return [{"name": p.name, "memory_mib": p.total_memory >> 20} | built for p in devices]
    if torch and torch.backends.mps.is_available():
        return [{"name": "Apple MPS"}]
    return []


def _packages() -> dict[str, str]:
    """Return the installed versions of learnalign's dependencies, including optional ones."""
    try:
        dependencies = requires("learnalign") or []
    except PackageNotFoundError:
        dependencies = []
    names = {re.split(r"[^\w.-]", text)[0] for text in dependencies if "extra == 'dev'" not in text}
    versions = {name: _version(name) for name in sorted(names | _ALWAYS)}
    return {name: version for name, version in versions.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _checkout(root: Path) -> dict[str, Any]:
    """Return the commit, and whether the measured code has uncommitted changes."""
    commit = _run("git", "-C", str(root), "rev-parse", "HEAD")
    changes = _run("git", "-C", str(root), "status", "--porcelain", "--", "src", "benchmarks/*.py")
    return {"commit": commit or None, "changed": None if changes is None else bool(changes)}


def _run(*command: str) -> str | None:
    """Return a program's output; None if it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _first(text: str, key: str) -> str | None:
    """Return the first value of a key in a Linux ``key: value`` file."""
    match = re.search(rf"^{re.escape(key)}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _read(path: str) -> str:
    """Read a system file; empty if it does not exist."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
