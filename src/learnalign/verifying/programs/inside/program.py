"""The program's sandbox: loads a program, then calls it or feeds it inputs, on request.

It knows inputs and arguments, never what is expected of them. Whatever the program does to this
process, only its own answers are lost.
"""

import builtins
import os
import signal
import socket
import sys
import types
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any

from .limits import limit_cpu
from .peer import Peer, lines

#: Bytes of a program's error stream that are reported.
_TAIL = 2_000


def main(channel: socket.socket, options: dict[str, Any]) -> None:
    """Serve one program.

    Args:
        channel: Where messages come from.
        options: ``timeout_s`` of an input.
    """
    send, receive = lines(channel.makefile("rb"), channel.makefile("wb"))
    # Without the module ``site`` (it would run .pth files) these are missing.
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    message = receive()
    if message[0] == "stdin":
        _Inputs(send, options["timeout_s"]).serve(message[1], receive)
    else:
        _serve_calls(message[1], send, receive)


def _serve_calls(source: str, send: Any, receive: Any) -> None:
    """Load a program as a module, and answer calls of what it defines."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(source, "solution.py", "exec"), vars(module))
    except BaseException as error:
        send(["failed", _described(error)])
        return
    send(["loaded"])
    Peer(send, receive, resolve=lambda name: _named(module, name)).serve()


def _named(module: types.ModuleType, name: str) -> Any:
    """Return what a name stands for in a program: its own, or a method of its class Solution."""
    if name in vars(module):
        return vars(module)[name]
    solution = vars(module).get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        return getattr(solution(), name)
    raise NameError(f"name '{name}' is not defined")


def _described(error: BaseException) -> str:
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "solution.py":
            line = f" (line {trace.tb_lineno})"
        trace = trace.tb_next
    try:
        return f"{type(error).__name__}: {str(error)[:_TAIL]}{line}"
    except Exception:  # an exception whose __str__ raises
        return type(error).__name__ + line


class _Inputs:
    """Runs a program once for each input, each time in a new process."""

    def __init__(self, send: Any, timeout_s: float) -> None:
        self.send, self.timeout_s = send, timeout_s

    def serve(self, source: str, receive: Any) -> None:
        try:
            code = compile(source, "solution.py", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.send(["failed", _described(error)])
            return
        self.send(["loaded"])
        while True:
            _, text = receive()
            self.send(["output", *self.run(code, text.encode(errors="replace"))])

    def run(self, code: types.CodeType, text: bytes) -> list[Any]:
        """Run the program on an input.

        Returns:
            Its output, the end of its error stream, its exit status (negative for a signal),
            whether its time was over, and its processor time.
        """
        with TemporaryFile() as source, TemporaryFile() as output, TemporaryFile() as errors:
            source.write(text)
            source.seek(0)
            child = os.fork()
            if child == 0:
                os.setpgid(0, 0)
                for number, file in enumerate((source, output, errors)):
                    os.dup2(file.fileno(), number)
                os.closerange(3, 256)
                limit_cpu(self.timeout_s)
                _main_program(code)
            status, cpu_s, timed_out = self._wait(child)
            output.seek(0)
            end = errors.seek(0, os.SEEK_END)
            errors.seek(max(0, end - _TAIL))
            printed, said = (file.read().decode(errors="replace") for file in (output, errors))
        return [printed, said, status, timed_out, cpu_s]

    def _wait(self, child: int) -> tuple[int, float, bool]:
        """Wait for a process until its time is over, and kill what it has started."""
        over = False

        def stop(*_: Any) -> None:
            nonlocal over
            over = True
            os.kill(child, signal.SIGKILL)

        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s)
        _, status, usage = os.wait4(child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        return code, usage.ru_utime + usage.ru_stime, over or code == -signal.SIGXCPU


def _main_program(code: types.CodeType) -> None:
    """Run a program as the main module, as the interpreter would, and end this process."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = open(number, "w" if number else "r")  # noqa: SIM115
        vars(sys).update({name: stream, f"__{name}__": stream})
    sys.argv = ["solution.py"]
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(module)["__builtins__"] = builtins
    status = 0
    try:
        exec(code, vars(module))
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        status = 1
        print(_described(error), file=sys.stderr)
    for output in (sys.stderr, sys.stdout):
        try:
            output.flush()
        except BaseException:
            status = status or 1
    os._exit(status & 255)
