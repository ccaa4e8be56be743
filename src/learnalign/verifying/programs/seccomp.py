"""A filter of system calls that no program under test needs, if libseccomp is installed."""

import ctypes
import errno
import os
from ctypes.util import find_library
from functools import cache
from tempfile import TemporaryFile

#: Other processes, namespaces, mounts, kernel interfaces, and memory that no limit counts.
_DENIED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount"),
    *("move_mount", "open_tree", "mount_setattr", "open_by_handle_at", "name_to_handle_at"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key"),
    *("request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module"),
    *("delete_module", "syslog", "quotactl", "acct", "swapon", "swapoff", "reboot"),
    *("memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open"),
    *("setpriority", "ioprio_set"),
)
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL = 1
#: Calls, and the only first argument with which they are allowed: local sockets, this process.
_LOCAL_ONLY = (("socket", "socketpair"), 1)
_OWN_ONLY = (
    ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"),
    0,
)


class _Comparison(ctypes.Structure):
    """libseccomp's ``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@cache
def compiled_filter() -> bytes | None:
    """Return the filter as bubblewrap reads it; None without libseccomp.

    The denied calls fail with EPERM, and so do sockets except local ones, and changes of another
    process's limits and priority.

    Example:
        >>> code = compiled_filter()
        >>> code is None or len(code) % 8 == 0  # instructions of eight bytes
        True
    """
    name = find_library("seccomp")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    refuse = ctypes.c_uint32(_ERRNO | errno.EPERM)
    try:
        for call in _DENIED:
            number = library.seccomp_syscall_resolve_name(call.encode())
            if number != -1:  # this version does not know the call
                library.seccomp_rule_add_array(context, refuse, number, 0, None)
        for calls, allowed in (_LOCAL_ONLY, _OWN_ONLY):
            other = _Comparison(0, _NOT_EQUAL, allowed, 0)
            for call in calls:
                number = library.seccomp_syscall_resolve_name(call.encode())
                library.seccomp_rule_add_array(context, refuse, number, 1, ctypes.byref(other))
        with TemporaryFile() as file:
            if library.seccomp_export_bpf(context, file.fileno()) != 0:
                return None
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def filter_descriptor(code: bytes) -> int:
    """Return a descriptor from which the filter can be read once; the caller closes it."""
    reader, writer = os.pipe()
    try:
        os.write(writer, code)  # far below a pipe's capacity
    finally:
        os.close(writer)
    return reader
