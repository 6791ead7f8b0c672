"""Sleeping until another process writes a word of shared memory, or until an absolute deadline: futex(2) of Linux.

A hint and nothing more: who wakes looks at the memory itself, and where the call does not exist the sleep is whole.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Final

from teleopd.robots.rates import Timespec, libc, sleep_until_ns

_SYSCALL: Final = {"x86_64": 202, "aarch64": 98}.get(platform.machine())
"""Number of the call, from the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h)."""
_WAKE, _WAIT_BITSET = 1, 9
"""Operations (linux/futex.h) on memory that processes share; the deadline of this wait is absolute and monotonic."""
_ANY, _ALL = 0xFFFFFFFF, 0x7FFFFFFF


def wait(address: int, seen: int, deadline_ns: int) -> None:
    """Sleep while the 32-bit word at `address` equals the low half of `seen`; at most until `deadline_ns` (monotonic).

    Returns early without a reason too: a signal, or a word that came back.
    """
    if _SYSCALL is None:
        sleep_until_ns(deadline_ns)
        return
    until = Timespec(deadline_ns // 1_000_000_000, deadline_ns % 1_000_000_000)
    libc.syscall(
        ctypes.c_long(_SYSCALL), ctypes.c_void_p(address), ctypes.c_int(_WAIT_BITSET), ctypes.c_uint(seen & _ANY),
        ctypes.byref(until), None, ctypes.c_uint(_ANY),
    )  # fmt: skip


def wake(address: int) -> None:
    """Wake whoever sleeps on the word, in any process; about a microsecond."""
    if _SYSCALL is not None:
        libc.syscall(ctypes.c_long(_SYSCALL), ctypes.c_void_p(address), ctypes.c_int(_WAKE), ctypes.c_int(_ALL))
