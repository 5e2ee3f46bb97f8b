"""A cold process: import, open, first answer, and memory, with one engine in it and nothing else.

Runs itself as a subprocess: ``measure_cold`` starts it, ``main`` is what runs there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BEGUN = time.time()

import numpy as np  # noqa: E402  # after the clock

from pixie_retrievers.types import SparseVectors  # noqa: E402

__all__ = ["Cold", "measure_cold"]


@dataclass(frozen=True)
class Cold:
    """What a new process takes, in seconds and bytes.

    Attributes:
        import_s: Import of the engine's modules, numpy's apart.
        open_s: Opening the files.
        first_s: The first search, compilation included where the engine compiles.
        total_s: From the start of the interpreter to the first answer.
        rss_bytes: Resident memory after all queries; the engine's own process where it has one.
        anonymous_bytes: The part of it that is not backed by files.
        empty_rss_bytes: Resident memory before the engine was imported: Python and numpy.
    """

    import_s: float
    open_s: float
    first_s: float
    total_s: float
    rss_bytes: int
    anonymous_bytes: int
    empty_rss_bytes: int


def measure_cold(
    peer: str, folder: Path, queries: Path, k: int, *, milvus_python: Path | None = None, forget: bool = False
) -> Cold:
    """Measure one engine on the files in a folder.

    Args:
        peer: Its name.
        folder: Its files.
        queries: An npz file of queries.
        k: How many documents.
        milvus_python: See :class:`peers.milvus.Milvus`.
        forget: Ask the operating system to drop the files from its cache before.

    Raises:
        RuntimeError: The process failed.
    """
    if forget:
        for path in folder.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
    command = [sys.executable, __file__, peer, str(folder), str(queries), str(k), str(milvus_python or "")]
    begun = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the process ended")
    result = json.loads(done.stdout.splitlines()[-1])
    result["total_s"] = result.pop("answered_at") - begun
    return Cold(**result)


def memory(pid: int) -> tuple[int, int]:
    """Resident bytes of a process, and the part not backed by files."""
    import psutil

    process = psutil.Process(pid)
    rss = process.memory_info().rss
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        anonymous = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        anonymous = rss
    return rss, anonymous


def main(name: str, folder: str, queries_file: str, k: str, milvus_python: str) -> None:
    from peers import all_peers

    with np.load(queries_file, allow_pickle=False) as arrays:
        queries = SparseVectors(arrays["indptr"], arrays["term_ids"], arrays["weights"], int(arrays["vocabulary_size"]))
    rows = list(queries)
    peer = next(peer for peer in all_peers(Path(milvus_python) if milvus_python else None) if peer.name == name)
    empty, _ = memory(os.getpid())
    times = [time.perf_counter()]
    peer.import_modules()
    times.append(time.perf_counter())
    peer.open(Path(folder))
    times.append(time.perf_counter())
    peer.search(peer.prepare(rows[0]), int(k))
    times.append(time.perf_counter())
    answered_at = time.time()
    for row in rows[1:]:
        peer.search(peer.prepare(row), int(k))
    rss, anonymous = _engine_memory()
    peer.close()
    result = {
        "import_s": times[1] - times[0],
        "open_s": times[2] - times[1],
        "first_s": times[3] - times[2],
        "answered_at": answered_at,
        "rss_bytes": rss,
        "anonymous_bytes": anonymous,
        "empty_rss_bytes": empty,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _engine_memory() -> tuple[int, int]:
    """Of this process, or of the processes it started, when the engine lives there."""
    import psutil

    children = psutil.Process().children(recursive=True)
    sizes = [memory(child.pid) for child in children] or [memory(os.getpid())]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes)


if __name__ == "__main__":
    main(*sys.argv[1:])
