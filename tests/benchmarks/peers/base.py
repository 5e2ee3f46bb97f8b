"""What the measurements ask of an engine."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus
from numpy.typing import NDArray

from pixie_retrievers.types import SparseVectors

__all__ = ["Answer", "Peer"]


class Answer:
    """Positions of documents, best first, and their scores."""

    def __init__(self, positions: Any, scores: Any) -> None:
        self.positions: NDArray[np.int64] = np.asarray(positions, np.int64)
        self.scores: NDArray[np.float64] = np.asarray(scores, np.float64)


class Peer:
    """One engine. A subclass fills in what its engine can do.

    A search goes through three steps, of which only the second is timed: ``prepare`` brings a query into the form that
    the engine's own users hold it in, ``search`` is the engine's call, ``read`` makes its result comparable.

    Attributes:
        name: What tables call it.
        package: The distribution that must be installed, and how the report finds its version.
        modules: What ``import`` must find.
        install: The line to print when it is missing.
        what: What is timed, a sentence for the report.
        exact: Its answers must equal brute force.
        comparable: Its scores are the dot product at all.
        max_documents: Beyond this size it is left out, for the reason in ``too_large``.
        uses_columns: It reads the shared column arrays, whose making counts as its build.
        cold: It is also measured in a new process.
        saves: It can write its index to files and open them again.
        changes: It can add and delete documents.
        concurrent: Its search may be called from several threads.
    """

    name = ""
    package = ""
    modules: tuple[str, ...] = ()
    install = ""
    what = ""
    exact = True
    comparable = True
    max_documents: int | None = None
    too_large = ""
    uses_columns = False
    cold = True
    saves = True
    changes = False
    concurrent = False

    @property
    def files(self) -> str:
        """The folder name of its index; peers that share files share the name."""
        return self.name.replace(" ", "-")

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return self.install if any(find_spec(name) is None for name in self.modules) else None

    def version(self) -> str:
        """The installed version."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""

    def import_modules(self) -> None:
        """Import what searching needs: timed by itself in a cold process."""

    def build(self, corpus: Corpus, folder: Path) -> None:
        """From vectors to a first answer, files included where the engine lives in files."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the files, where building did not."""

    def open(self, folder: Path) -> None:
        """Open the files that build or save left."""
        raise NotImplementedError

    def bytes_on_disk(self, folder: Path) -> dict[str, int]:
        """The size of the files; engines that can tell parts apart add them."""
        return {"files": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}

    def prepare(self, query: SparseVectors) -> Any:
        """One query in the engine's own form."""
        return query

    def search(self, query: Any, k: int) -> Any:
        """The k best documents of a prepared query."""
        raise NotImplementedError

    def search_batch(self, queries: SparseVectors, k: int) -> None:
        """All queries in one call, where the engine has one."""
        raise NotImplementedError

    def timed_search(self, query: Any, k: int) -> tuple[Any, float]:
        """A search and its seconds; an engine in another process measures there."""
        start = time.perf_counter()
        result = self.search(query, k)
        return result, time.perf_counter() - start

    def read(self, result: Any) -> Answer:
        """What a search returned, comparable."""
        return Answer(*result)

    def add(self, corpus: Corpus, first: int, last: int) -> None:
        """Add documents ``first:last`` of ``corpus.added``, durably where the engine is durable."""
        raise NotImplementedError

    def delete(self, positions: list[int]) -> None:
        """Remove documents."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""
