"""Many queries in one pass of the model, while LangChain runs, and traces, each by itself."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import PixieError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixie_retrievers.types import SearchResult, SearchResults

__all__ = ["SharedPass"]


class SharedPass:
    """The results of a batch's queries, found together when the first of them is asked for.

    So the search runs inside the first query's run, where callbacks see how long it takes and whether it fails.

    Args:
        queries: The batch; what is not a string is left out, and fails when its turn comes.
    """

    def __init__(self, queries: Sequence[Any]) -> None:
        self._times = Counter(query for query in queries if isinstance(query, str))
        self._found: dict[str, list[SearchResult]] | None = None
        self._lock = Lock()

    def results(self, query: str, search: Callable[[list[str]], list[SearchResults]]) -> list[SearchResult]:
        """The results of one query.

        Args:
            query: One of the batch.
            search: Finds the results of several queries.
        """
        with self._lock:
            if self._found is None:
                try:
                    self._found = dict(zip(self._times, search(list(self._times)), strict=True))
                except PixieError:
                    self._found = {}  # each by itself, so that an error meets only the queries at fault
        found = self._found.get(query)
        if found is None:
            return search([query])[0]
        if self._times[query] == 1:
            return found
        return [replace(result, document=deepcopy(result.document)) for result in found]  # each time its own
