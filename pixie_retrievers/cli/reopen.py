"""What `pixie demo` runs in a new process: open the index file again, and search it again.

Reads one JSON object from stdin (``{"index", "model", "device", "k", "searches": [[query, filter], ...]}``) and writes
one JSON list to stdout: for each search its hits as ``[id, score]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

__all__ = ["NewProcess", "Ranking", "Search", "ranking"]

Search = tuple[str, "dict[str, Any] | None"]
Ranking = list[tuple[str, float]]


class NewProcess:
    """A process that knows nothing but a file's name. It loads its packages while others still work on the file.

    Used in a ``with`` block, whose end leaves no process behind.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pixie_retrievers.cli.reopen"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def search(
        self, index_file: str, searches: Sequence[Search], *, k: int, model: str | None, device: str | None
    ) -> list[Ranking]:
        """Open the file there, search it, and end the process; the ranking of each search.

        Raises:
            PixieError: The process failed.
        """
        from pixie_retrievers.errors import PixieError

        task = {"index": index_file, "model": model, "device": device, "k": k, "searches": searches}
        found, errors = self._process.communicate(json.dumps(task).encode())
        if self._process.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["no message"]
            raise PixieError(f"the new process left with exit code {self._process.returncode}: {lines[-1]}")
        return [[(id, score) for id, score in hits] for hits in json.loads(found)]


def ranking(results: Sequence[Any]) -> Ranking:
    """What two rankings are compared by: ids and scores, in order."""
    return [(result.document.id, result.score) for result in results]


def _main() -> None:
    from contextlib import closing

    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.encoder.packages import import_packages
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.retriever import SparseRetriever

    import_packages()
    task = json.load(sys.stdin.buffer)
    with closing(open_index(task["index"], read_only=True)) as index:
        encoder = encoder_for_index(index.fingerprint, task["model"], device=task["device"])
        retriever = SparseRetriever(encoder, index)
        found = [
            ranking(retriever.search(query, task["k"], filter=filter, top_k_tokens=0))
            for query, filter in task["searches"]
        ]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _main()
