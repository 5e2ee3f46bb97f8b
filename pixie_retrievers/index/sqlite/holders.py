"""Who is writing an index file, where the operating system tells."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["describe_writer"]

_WRITE_LOCK = "120"
"""The byte of the log's index that SQLite locks for whoever writes (https://sqlite.org/walformat.html, section 2.3)."""


def describe_writer(path: Path) -> str:
    """The process that holds the writer's lock of an index file: for a message."""
    pid = _writer_of(path.with_name(path.name + "-shm"))
    if pid is None:
        return "another writer"
    if pid == os.getpid():
        return "another handle of this process"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid} ({command[:80]})" if command else f"process {pid}"


def _writer_of(log_index: Path) -> int | None:
    """Linux lists all locks; other systems keep it to themselves."""
    try:
        inode = log_index.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in locks.splitlines():  # "1: POSIX  ADVISORY  WRITE 4711 08:02:1234 120 120"
        parts = line.split()
        if len(parts) == 8 and parts[3] == "WRITE" and parts[5].endswith(f":{inode}") and parts[6] == _WRITE_LOCK:
            return int(parts[4]) or None  # 0 for a process of another container
    return None
