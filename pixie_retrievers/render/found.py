"""What frameworks' retrievers return, as results again: told by its attributes, so that no framework is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import numpy as np

from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError
from pixie_retrievers.types import (
    AppliedRule,
    Document,
    Explanation,
    KnownNames,
    SearchResult,
    SearchResults,
    TermMatches,
    TextSpans,
    sum_contributions,
)
from pixie_retrievers.types.metadata import FUSION_PARTS, NOTES, SCORE, TOKEN_EXPLANATIONS

__all__ = ["show"]


def show(found: Any, *, encoder: object = None) -> SearchResults:
    """LangChain documents and LlamaIndex nodes as results, which a notebook shows with their reasons.

    Scores and token explanations are those that the retrieval left on them. Tokens that it left out are not known any
    more. Of what a hybrid retrieval joined, the score is the joined one, and the tokens those of the part that names
    some. A document without a score is shown without.

    Args:
        found: What a retriever returned: documents, nodes with their scores or without, results; or one of them.
        encoder: Marks the tokens in the texts: its tokenizer says where they stand. None marks nothing.

    Raises:
        InvalidDocumentError: Something else is among them, or its token explanations are not ours.
        InvalidParameterError: The encoder does not know where tokens stand.
    """
    find = None if encoder is None else getattr(encoder, "spans", None)
    if encoder is not None and find is None:
        raise InvalidParameterError(
            f"a {type(encoder).__name__} cannot say where tokens stand, which PixieEncoder can: leave encoder out"
        )
    several = isinstance(found, Iterable) and not _is_one(found)  # pydantic's models are iterable, too
    return SearchResults(_result(one, find) for one in (found if several else [found]))


@dataclass(frozen=True, slots=True)
class _Located(KnownNames):
    """Names, and who is asked where they stand when a text is drawn."""

    document_spans: Callable[[], TextSpans]


def _is_one(found: object) -> bool:
    return any(hasattr(found, name) for name in ("page_content", "get_content", "explanation"))


def _result(one: Any, find: Callable[[str], TextSpans] | None) -> SearchResult:
    if isinstance(one, SearchResult):
        return one
    if hasattr(one, "page_content"):
        document, score = Document(one.id or "", one.page_content, one.metadata), one.metadata.get(SCORE)
    elif hasattr(one, "get_content"):
        text = one.get_content(metadata_mode="embed")  # what the model read
        document, score = Document(one.node_id, text, one.metadata), getattr(one, "score", None)
    else:
        raise InvalidDocumentError(
            f"an object of type {type(one).__name__} is neither a LangChain document nor a LlamaIndex node: pass what a"
            " retriever returned"
        )
    own = {key: value for key, value in one.metadata.items() if key not in (SCORE, *NOTES)}
    score = float(score) if isinstance(score, (int, float)) else nan
    return SearchResult(Document(document.id, document.text, own), score, _explanation(document, find))


def _explanation(document: Document, find: Callable[[str], TextSpans] | None) -> Explanation | None:
    parts = document.metadata.get(FUSION_PARTS)
    places = [document.metadata, *(parts.values() if isinstance(parts, Mapping) else ())]
    tokens = next((place[TOKEN_EXPLANATIONS] for place in places if TOKEN_EXPLANATIONS in place), None)
    if tokens is None:
        return None
    try:
        tokens = sorted(tokens, key=lambda token: token["token_id"])
        matches = TermMatches(
            np.array([token["token_id"] for token in tokens], np.int32),
            np.array([token["query_weight"] for token in tokens], np.float32),
            np.array([token["document_weight"] for token in tokens], np.float32),
            np.array([token["in_query"] for token in tokens], np.bool_),
            np.array([token["in_document"] for token in tokens], np.bool_),
        )
        names = {token["token_id"]: (str(token["token"]), str(token["surface"])) for token in tokens}
        rules = {token["token_id"]: AppliedRule.from_dict(token["rule"]) for token in tokens if "rule" in token}
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InvalidDocumentError(
            f"document {document.id!r}: its {TOKEN_EXPLANATIONS} are not those of a Pixie retriever: pass what a"
            " retrieval returned, as it is"
        ) from error
    named = KnownNames(names) if find is None else _Located(names, partial(find, document.text))
    score = sum_contributions(matches.contributions.tolist())
    return Explanation(score, matches, None, named, rules=rules or None)
