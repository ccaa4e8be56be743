"""The sandbox ``bubblewrap``: namespaces of their own, a read-only root, no network, no home.

https://github.com/containers/bubblewrap sets it up; `command` says what is in it. Started by root,
it first drops to the user nobody, since limits on processes do not apply to root.
"""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from learnalign.errors import LearnAlignError
from learnalign.verifying.programs.seccomp import compiled_filter, filter_descriptor

#: Where the interpreter, the packages and LearnAlign's part of the sandbox are inside it.
_PYTHON, _PACKAGES, _INSIDE = "/python", "/packages", "/sandbox/inside"
_NOBODY = "65534"
_TMP_BYTES, _SHM_BYTES = 64 * 2**20, 8 * 2**20
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib64", "/lib32")
#: Of bubblewrap itself, which programs can read in /proc/1: no secret of this process.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
_HOW = (
    "install bubblewrap (apt-get install bubblewrap, dnf install bubblewrap), and allow user "
    "namespaces (in Docker: --security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined, or --privileged); or choose another --sandbox (docs/guides/code.md)"
)


def start(control: socket.socket) -> subprocess.Popen[bytes]:
    """Start the fork server of a new sandbox.

    Args:
        control: Its socket.

    Raises:
        OSError: if the process cannot be started.
    """
    code = compiled_filter()
    filters = [] if code is None else [filter_descriptor(code)]
    try:
        return subprocess.Popen(
            command(*filters),
            stdin=control.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=filters,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    finally:
        for descriptor in filters:
            os.close(descriptor)


def command(seccomp: int | None = None) -> list[str]:
    """Return the command line of a sandbox.

    Args:
        seccomp: Descriptor of a filter.
    """
    bwrap = _bwrap()
    view = [*_system_view(), *_python_view()]
    outer: list[str] = []
    if os.geteuid() == 0:
        capabilities = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]
        outer = [bwrap, "--die-with-parent", *view, "--bind", "/proc", "/proc"]
        outer += ["--dev-bind", "/dev", "/dev", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
        outer += [word for name in capabilities for word in ("--cap-add", name)]
        outer += ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups"]
        outer += ["--no-new-privs", "--"]
        view = [*_system_view(), *(w for p in _inside_paths() for w in ("--ro-bind", p, p))]
        bwrap = "bwrap"
    return [
        *outer,
        bwrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
        *("--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session"),
        *view,
        # Bubblewrap's own process in the sandbox outlives programs: none may write to its memory.
        *("--proc", "/proc", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1", "--dev", "/dev"),
        *("--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"),
        *("--size", str(_TMP_BYTES), "--tmpfs", "/tmp"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"),
        *("--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp"),
        *("--setenv", "LANG", "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0"),
        *("--setenv", "OMP_NUM_THREADS", "1", "--setenv", "OPENBLAS_NUM_THREADS", "1"),
        *_library_path(),
        *(() if seccomp is None else ("--seccomp", str(seccomp))),
        *interpreter(_python_inside(), str(Path(_INSIDE).parent)),
    ]


def interpreter(python: str, folder: str) -> list[str]:
    """Return the command that runs the fork server, isolated from the user's Python."""
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); from inside import fork_server as f; f.main()"
    )
    return [python, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", code]


def packages() -> list[str]:
    """Return the folders of installed packages inside the sandbox."""
    return [f"{_PACKAGES}/{index}" for index, _ in enumerate(_package_folders())]


def inside_folder() -> Path:
    """Return the folder of the modules that run inside."""
    return Path(__file__).resolve().parent / "inside"


@cache
def _bwrap() -> str:
    """Return the path of bubblewrap.

    Raises:
        LearnAlignError: if it is not installed.
    """
    path = shutil.which("bwrap")
    if path is None or not sys.platform.startswith("linux"):
        raise LearnAlignError(
            "cannot run programs: bubblewrap (bwrap) is not installed",
            expected="a sandbox, because programs of a model may do anything",
            do=_HOW,
        )
    return path


@cache
def require() -> None:
    """Raise unless a sandbox can be created here.

    Raises:
        LearnAlignError: with what is missing.
    """
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise LearnAlignError(
            "cannot run programs as root: setpriv is not installed",
            expected="setpriv (of util-linux), which gives root's rights up",
            do="install util-linux, or run as another user",
        )
    words = command()
    words = [*words[: words.index(_python_inside())], "/usr/bin/true"]
    done = subprocess.run(words, capture_output=True, text=True, env=_ENVIRONMENT, timeout=60)
    if done.returncode:
        raise LearnAlignError(
            f"bubblewrap cannot create a sandbox here: {done.stderr.strip()[-300:]}",
            expected="user namespaces",
            do=_HOW,
        )


def _system_view() -> list[str]:
    """Return the options for the system's folders, which are often links into /usr."""
    options = ["--ro-bind", "/usr", "/usr"]
    for folder in _SYSTEM:
        if os.path.islink(folder):
            options += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            options += ["--ro-bind", folder, folder]
    # Parents that bubblewrap makes on its own are closed to others.
    return [
        *options,
        *("--perms", "0755", "--dir", "/sandbox", "--perms", "0755", "--dir", _PACKAGES),
    ]


def _python_view() -> list[str]:
    options = ["--ro-bind", str(inside_folder()), _INSIDE]
    if not _in_system(sys.base_prefix):
        options += ["--ro-bind", os.path.realpath(sys.base_prefix), _PYTHON]
    for folder, place in zip(_package_folders(), packages(), strict=True):
        options += ["--ro-bind", folder, place]
    return options


def _inside_paths() -> list[str]:
    paths = [_INSIDE, *packages()]
    return paths if _in_system(sys.base_prefix) else [*paths, _PYTHON]


def _library_path() -> Sequence[str]:
    if _in_system(sys.base_prefix):
        return ()
    return ("--setenv", "LD_LIBRARY_PATH", f"{_PYTHON}/lib")


@cache
def _python_inside() -> str:
    """Return the path of the interpreter inside the sandbox."""
    path = os.path.realpath(sys.executable)
    if _in_system(sys.base_prefix):
        return path
    return path.replace(os.path.realpath(sys.base_prefix), _PYTHON, 1)


@cache
def _package_folders() -> tuple[str, ...]:
    """Return the folders of installed packages, such as NumPy, that programs may import."""
    folders = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in folders if folder))


def _in_system(folder: str) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to("/usr")
