"""Servers that run a program over HTTP: SandboxFusion and Piston."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from learnalign.verifying.programs.sandbox import SandboxError

#: Attempts while the server is overloaded or out of reach, and seconds before the second one.
_ATTEMPTS, _PAUSE_S = 5, 0.5
#: Seconds for the network, besides the program's own.
_MARGIN_S = 30.0
_RETRIED = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Finished:
    """What a program has done."""

    output: str
    errors: str
    status: int
    """Its exit status; not 0 if it was killed."""
    timed_out: bool = False


def run_remotely(
    kind: str, url: str, source: str, stdin: str, *, timeout_s: float, memory_mb: int
) -> Finished:
    """Run a program on a server.

    Args:
        kind: ``sandbox-fusion`` or ``piston``.
        url: The server's base URL.
        source: The program.
        stdin: Its input.
        timeout_s: Its time limit.
        memory_mb: Its memory limit, for servers that let a request choose one.

    Raises:
        SandboxError: if the server does not answer, or answers that it failed.
    """
    run = _sandbox_fusion if kind == "sandbox-fusion" else _piston
    return run(url.rstrip("/"), source, stdin, timeout_s, memory_mb)


def _sandbox_fusion(
    url: str, source: str, stdin: str, timeout_s: float, memory_mb: int
) -> Finished:
    """https://bytedance.github.io/SandboxFusion/docs/api/run-code-run-code-post."""
    request: dict[str, Any] = {"code": source, "language": "python", "stdin": stdin}
    request |= {"run_timeout": timeout_s, "compile_timeout": timeout_s}
    answer = post(f"{url}/run_code", request | {"memory_limit_MB": memory_mb}, timeout_s)
    result = answer.get("run_result")
    if answer.get("status") == "SandboxError" or not isinstance(result, dict):
        raise SandboxError(f"{url} failed: {answer.get('message') or answer.get('status')}")
    status = result.get("return_code")
    return Finished(
        str(result.get("stdout") or ""),
        str(result.get("stderr") or ""),
        1 if status is None else int(status),
        result.get("status") == "TimeLimitExceeded",
    )


def _piston(url: str, source: str, stdin: str, timeout_s: float, memory_mb: int) -> Finished:
    """https://github.com/engineer-man/piston/blob/master/docs/api-v2.md."""
    request: dict[str, Any] = {"language": "python", "version": "*", "stdin": stdin}
    request |= {"files": [{"name": "main.py", "content": source}]}
    request |= {"run_timeout": int(1000 * timeout_s), "run_memory_limit": memory_mb * 2**20}
    answer = post(f"{url}/api/v2/execute", request, timeout_s)
    result = answer.get("run")
    if not isinstance(result, dict) or result.get("status") in ("XX", "EL", "OL"):
        raise SandboxError(f"{url} failed: {answer.get('message') or result}")
    status = result.get("code")
    return Finished(
        str(result.get("stdout") or ""),
        str(result.get("stderr") or "") or str(result.get("signal") or ""),
        1 if status is None else int(status),
        result.get("status") == "TO",
    )


def post(url: str, content: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a request until the server answers it.

    Raises:
        SandboxError: if it does not answer with an object.
    """
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    reason = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_S * attempt)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s + _MARGIN_S) as response:
                answer = json.loads(response.read())
            if isinstance(answer, dict):
                return answer
            reason = "not an object"
        except urllib.error.HTTPError as error:
            reason = f"status {error.code}: {error.read(300).decode(errors='replace')}"
            if error.code not in _RETRIED:
                break
        except (OSError, ValueError) as error:
            reason = str(error)
    raise SandboxError(f"{url} does not answer: {reason}")
