"""Owners: which process made a hidden path, told by the path's name, and whether that process still lives.

A name ends in `<host>-<pid>-<start>-<random>`. The host is eight digits for the set of processes that one can look up
by number from there: machine, boot and container. Process numbers are reused, start times are not.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
from pathlib import Path
from typing import Literal

from wsi_features.recipe import digest

OWNER = r"[0-9a-f]{8}-[0-9]{1,9}-[0-9]+-[0-9a-f]{8}"
"""Pattern of an owner's token."""

Life = Literal["alive", "dead", "unknown"]

_NOBODY, _UNKNOWN = 0, 0


def token() -> str:
    """A new token of this process."""
    pid = os.getpid()
    return _token(_host(), pid, _start_time(pid) or _UNKNOWN)


def nobodys_token() -> str:
    """A new token for what no process works on any more."""
    return _token(_host(), _NOBODY, _UNKNOWN)


def life(owner: str) -> Life:
    """Whether the process that made a token lives: `unknown` for one of another machine, container or boot."""
    host, number, start, _ = owner.split("-")
    pid = int(number)
    if pid == _NOBODY:
        return "dead"
    if host != _host():
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except PermissionError:
        pass  # it lives, or its number was given to another user's process: the start time tells
    now = _start_time(pid)
    return "dead" if now is not None and int(start) not in (now, _UNKNOWN) else "alive"


def named(text: str, prefix: str, suffix: str = "") -> str | None:
    """The token between `prefix` and `suffix`; None where the text is something else."""
    match = re.fullmatch(re.escape(prefix) + f"({OWNER})" + re.escape(suffix), text)
    return match[1] if match else None


def _token(host: str, pid: int, start: int) -> str:
    return f"{host}-{pid}-{start}-{secrets.token_hex(4)}"


def _host() -> str:
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    identity = (
        platform.node(),
        boot.read_text() if boot.is_file() else "",
        str(namespace.readlink()) if namespace.is_symlink() else "",
    )
    return digest(identity)[:8]


def _start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; -1 for one that is dead but not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name in brackets may hold anything
    return -1 if fields[0] in "ZX" else int(fields[19])
