"""Which of many tools a request is about: an index over tool names and descriptions, for agents of any framework."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixie_retrievers.conversation import joined, leaned_on
from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidTextError
from pixie_retrievers.explaining import results_of
from pixie_retrievers.filters import Filter
from pixie_retrievers.models import EncoderChoice
from pixie_retrievers.ownership import Owner, check_sparse_retriever
from pixie_retrievers.parameters import (
    check_number,
    check_score_threshold,
    check_top_k_tokens,
    check_whole_number,
)
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types import Document, Explanation, Hit, SparseVectors

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ToolChanges", "ToolDescription", "ToolIndex", "ToolMatch", "citation"]

_CATALOGUE = "tools"  # the document that names every stored tool; its text is empty, so that no search finds it
_PREFIX = "tool:"
_NAME = "tool"
_MESSAGES = 8  # of a conversation, the last ones are read
_READ_OF_EARLIER = 500  # characters, from the end: where an answer ends in a question, that is what counts
_SHORT_ID = re.compile(r"[\w.:#/-]{1,24}")


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """What a tool is found by.

    Attributes:
        name: The tool's name: its key, in this process and in the next.
        description: What it does, in words.
    """

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class ToolMatch:
    """A tool that was chosen.

    Attributes:
        name: The tool's name.
        score: The dot product of request and description.
        explanation: The tokens that chose it; None when explanations were switched off.
    """

    name: str
    score: float
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class ToolChanges:
    """What :meth:`ToolIndex.sync` changed, by names.

    Attributes:
        added: Tools that were not there.
        updated: Tools whose description is another now.
        removed: Tools that are no longer in the set.
    """

    added: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]


class ToolIndex(Owner):
    """Tools, found by what a request asks for.

    The index is keyed by tool name, so that a file may be used again by another process, and by agents that share some
    of their tools (see ``among`` of :meth:`choose`).

    Args:
        sparse_retriever: Holds nothing but tools. It stays open when this index closes.
        k: At most so many tools are chosen.
        score_threshold: Tools that score less are not chosen, so that none may be the answer. Scores are dot products,
            and their size depends on the model: read some of a request that no tool should answer, and go above.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.tools import ToolDescription, ToolIndex
        >>> with ToolIndex.open(encoder=PixieEncoder.bundled()) as index:
        ...     changes = index.sync([ToolDescription("weather", "도시의 날씨를 알려 준다."),
        ...                           ToolDescription("mail", "편지를 보낸다.")])
        ...     [match.name for match in index.choose("서울 날씨는?", k=1)]
        ['weather']
    """

    sparse_retriever: SparseRetriever

    def __init__(self, sparse_retriever: SparseRetriever, *, k: int = 5, score_threshold: float | None = None) -> None:
        check_sparse_retriever(sparse_retriever)
        check_whole_number("k", k)
        check_score_threshold(score_threshold)
        self.sparse_retriever = sparse_retriever
        self.k = k
        self.score_threshold = score_threshold
        self._owns_index = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        encoder: EncoderChoice | None = None,
        k: int = 5,
        score_threshold: float | None = None,
    ) -> Self:
        """Open the tool index at a path, or begin a new one there.

        Args:
            path: A path or URL; None puts the index into a temporary file that goes when this index goes.
            encoder: As for :meth:`SparseRetriever.open <pixie_retrievers.SparseRetriever.open>`.
            k, score_threshold: As for the class.

        Raises:
            ModelUnavailableError: A model was needed and cannot be loaded.
            IncompatibleIndexError: The index was built with another encoder.
        """
        check_whole_number("k", k)
        check_score_threshold(score_threshold)
        with cls._owning(SparseRetriever.open(path, encoder=encoder), k=k, score_threshold=score_threshold) as index:
            return index

    def sync(self, tools: Iterable[ToolDescription], *, keep_others: bool = False) -> ToolChanges:
        """Make the index hold these tools and no others; only what changed is encoded and written.

        Args:
            tools: The tools, each under its own name.
            keep_others: Leave tools there that are not among these: agents with different tools may share an index.

        Raises:
            DuplicateIdError: Two tools have one name; nothing was changed.
            InvalidDocumentError, InvalidTextError: A name or description cannot be stored; nothing was changed.
            IndexLockedError: Another writer holds the index.
        """
        from pixie_retrievers.index.documents import check_documents

        wanted: dict[str, Document] = {}
        for tool in tools:
            if tool.name in wanted:
                raise DuplicateIdError(f"two tools are named {tool.name!r}: tools are told apart by name")
            wanted[tool.name] = _document(tool)
        check_documents(list(wanted.values()))
        known = self.names()
        stored = dict(
            zip(wanted, self.sparse_retriever.get([document.id for document in wanted.values()]), strict=True)
        )
        added = tuple(name for name in wanted if stored[name] is None)
        updated = tuple(name for name, document in wanted.items() if stored[name] not in (None, document))
        others = [name for name in known if name not in wanted]
        removed = () if keep_others else tuple(others)
        names = [*others, *wanted] if keep_others else list(wanted)
        # Deleted first: whatever falls between the two commits, the catalogue names all that is stored.
        if removed:
            self.sparse_retriever.delete([_PREFIX + name for name in removed])
        if added or updated or removed:
            catalogue = Document(_CATALOGUE, "", {"names": names})
            self.sparse_retriever.add([*(wanted[name] for name in (*added, *updated)), catalogue])
        return ToolChanges(added, updated, removed)

    def names(self) -> list[str]:
        """The names of all tools.

        Raises:
            InvalidDocumentError: The index holds something other than tools.
        """
        catalogue = self.sparse_retriever.get([_CATALOGUE])[0]
        if catalogue is None:
            if len(self.sparse_retriever):
                raise InvalidDocumentError(
                    "the index holds documents that are not tools: give the tools their own file"
                )
            return []
        return list(catalogue.metadata.get("names", ()))

    def __len__(self) -> int:
        return len(self.names())

    def choose(
        self,
        request: str | Sequence[str],
        k: int | None = None,
        *,
        among: Iterable[str] | None = None,
        score_threshold: float | None = None,
        top_k_tokens: int | None = 10,
    ) -> list[ToolMatch]:
        """The tools that a request is about, best first; none when no tool reaches the threshold.

        Args:
            request: What is to be done, in words; or a conversation, both sides' messages in turn, that ends with it.
                A last message that finds little by itself leans on earlier ones that find more: a "네" after "기차표를
                예약할까요?" finds what the question does. At least half of the k places are kept for what the last
                message finds by itself. Of earlier messages, the last seven count, each by its last 500 characters.
            k: At most so many; None takes the index's own.
            among: Only tools of these names count; None for all.
            score_threshold: Tools that score less are left out; None takes the index's own.
            top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.

        Raises:
            InvalidParameterError: ``k``, ``score_threshold`` or ``top_k_tokens`` is out of range.
            InvalidTextError: A message is not a string or cannot be written as UTF-8.
        """
        check_whole_number("k", k, none_means="the index's own")
        check_number("score_threshold", score_threshold, none_means="the index's own")
        check_top_k_tokens(top_k_tokens)
        k = self.k if k is None else k
        filter: Filter = {_NAME: {"$exists": True} if among is None else {"$in": list(among)}}
        messages = _read(request)
        encoder = self.sparse_retriever.encoder
        # One by one: in a batch, a weight's last bits depend on the other texts, and a message is most often known.
        vectors = SparseVectors.concatenate(
            [self.sparse_retriever.query_vectors([message])[0] for message in messages], encoder.vocabulary_size
        )
        found = self.sparse_retriever.index.search(vectors, k, filter=filter)
        leaned = leaned_on([hits[0].score if hits else 0.0 for hits in found])
        hits = self._leaning(vectors, leaned, found[-1], k, filter) if leaned else found[-1]
        results = results_of(
            encoder,
            "\n".join(messages[position] for position in sorted([*leaned, len(messages) - 1])),
            hits,
            top_k_tokens,
            self.score_threshold if score_threshold is None else score_threshold,
        )
        return [ToolMatch(result.document.metadata[_NAME], result.score, result.explanation) for result in results]

    def _leaning(self, vectors: SparseVectors, leaned: list[int], own: list[Hit], k: int, filter: Filter) -> list[Hit]:
        """What a last message finds together with those that it leans on; half of it what it finds alone."""
        index = self.sparse_retriever.index
        joint = joined(SparseVectors.concatenate([vectors[i] for i in (*leaned, -1)], vectors.vocabulary_size))
        (hits,) = index.search(joint, k, filter=filter)
        there = {hit.document.id for hit in hits}
        kept = own[: k // 2]
        missing = [hit.document for hit in kept if hit.document.id not in there]
        if not missing:
            return hits
        wanted = {hit.document.id for hit in kept}
        spare = [hit for hit in reversed(hits) if hit.document.id not in wanted]
        dropped = {hit.document.id for hit in spare[: max(0, len(hits) + len(missing) - k)]}
        matches = index.match(joint, [document.id for document in missing])
        added = [Hit(one, match.score, match) for one, match in zip(missing, matches, strict=True) if match is not None]
        return sorted([hit for hit in hits if hit.document.id not in dropped] + added, key=lambda hit: -hit.score)


def citation(id: str) -> str:
    """What a model is shown of a document's id, to cite it by: the same in every answer, process and framework.

    A short id of plain characters is shown as it is; of any other, eight digits of its SHA-256.
    """
    return id if _SHORT_ID.fullmatch(id) else hashlib.sha256(id.encode()).hexdigest()[:8]


def _read(request: str | Sequence[str]) -> list[str]:
    """The messages that count, and of each what counts."""
    if isinstance(request, str):
        return [request]
    for message in request:
        if not isinstance(message, str):
            raise InvalidTextError(f"a message is of type {type(message).__name__}, not a string")
    *earlier, last = list(request)[-_MESSAGES:] or [""]
    return [*(message[-_READ_OF_EARLIER:] for message in earlier), last]


def _document(tool: ToolDescription) -> Document:
    if not isinstance(tool.name, str) or not tool.name:
        raise InvalidDocumentError(f"{tool.name!r} is not a name for a tool: it must be a string that is not empty")
    if not isinstance(tool.description, str):
        raise InvalidTextError(
            f"tool {tool.name!r}: its description is of type {type(tool.description).__name__}, not a string"
        )
    # Words joined by underscores are words: a tokenizer that does not split there would find none of them.
    text = f"{tool.name.replace('_', ' ')}: {tool.description}"
    return Document(_PREFIX + tool.name, text, {_NAME: tool.name})
