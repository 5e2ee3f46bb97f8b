"""Who encodes questions: the model that encodes documents, or a table in its place, which the index may keep."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.index.base import Index
from pixie_retrievers.models import EncoderChoice, chosen_encoder
from pixie_retrievers.text_fields import split_fingerprint

if TYPE_CHECKING:
    from pixie_retrievers.encoder.inference_free.table import QueryTable

__all__ = [
    "INFERENCE_FREE",
    "QueriesChoice",
    "check_keeps_tables",
    "check_queries",
    "encoder_for",
    "keep_table",
    "stored_table",
]

QueriesChoice: TypeAlias = "QueryTable | str | os.PathLike[str] | None"
"""``"model"`` or None: the model encodes questions. ``"inference-free"``: the table that the index keeps. Or a
:class:`~pixie_retrievers.QueryTable`, or the path of one that was saved."""

INFERENCE_FREE = "inference-free"
_NAME = "query-table"


def check_queries(queries: QueriesChoice) -> None:
    """Refuse what says nothing, before anything is opened or loaded.

    Raises:
        InvalidParameterError: It is not one of the choices.
    """
    if queries is None or isinstance(queries, os.PathLike) or hasattr(queries, "origin"):
        return
    if not isinstance(queries, str) or (queries not in ("model", INFERENCE_FREE) and not Path(queries).exists()):
        raise InvalidParameterError(
            f"queries is {queries!r}; pass 'model', '{INFERENCE_FREE}', a QueryTable, or the path of one"
        )


def encoder_for(index: Index, encoder: EncoderChoice | None, queries: QueriesChoice) -> Encoder:
    """What encodes for an index.

    Args:
        index: The index.
        encoder: As for :func:`~pixie_retrievers.models.chosen_encoder`; for documents alone where a table encodes
            questions, and then loaded when the first is added.
        queries: Who encodes questions.

    Raises:
        InvalidParameterError: The index keeps no table, or the choice is none.
        IncompatibleIndexError: The table is another model's.
        ModelUnavailableError: A model cannot be loaded.
        OptionalDependencyError: The extra ``inference-free`` is not installed.
    """
    check_queries(queries)
    if queries is None or queries == "model":
        return chosen_encoder(encoder, index.fingerprint)
    from pixie_retrievers.encoder.inference_free.encoder import InferenceFreeEncoder
    from pixie_retrievers.encoder.inference_free.table import QueryTable

    if queries == INFERENCE_FREE:
        table = stored_table(index)
        if table is None:
            raise InvalidParameterError(
                "the index keeps no query table: make one with derive_query_table() (on the command line"
                " `pixie inference-free`), or ask with queries='model'"
            )
    else:
        table = QueryTable.load(queries) if isinstance(queries, (str, os.PathLike)) else queries
    fingerprint, _ = split_fingerprint(index.fingerprint)
    if found := differences(fingerprint, table.origin.model):
        raise IncompatibleIndexError(
            f"the index and the query table are of different models: {found}; derive a table for this index"
        )
    return InferenceFreeEncoder(table, partial(chosen_encoder, encoder, index.fingerprint))


def check_keeps_tables(index: Index) -> None:
    """Refuse an index that has no place for a table; this package's own all have one.

    Raises:
        InvalidParameterError: It has none.
    """
    if not hasattr(index, "attach"):
        raise InvalidParameterError(
            f"a {type(index).__name__} has no place for a query table: derive one with keep=False, save it to a file,"
            " and pass its path as queries="
        )


def keep_table(index: Any, table: QueryTable | None) -> None:
    """Put a table into an index, in one commit, in place of one that is there; None removes it.

    Raises:
        InvalidParameterError: The index has no place for one.
        IndexLockedError: Another writer holds the index.
    """
    check_keeps_tables(index)
    index.attach(_NAME, None if table is None else table.to_bytes())


def stored_table(index: Any) -> QueryTable | None:
    """The table that an index keeps; None where it keeps none.

    Raises:
        CorruptIndexError: What it keeps is damaged.
        OptionalDependencyError: The extra ``inference-free`` is not installed.
    """
    from pixie_retrievers.encoder.inference_free.table import QueryTable

    content = index.attachment(_NAME) if hasattr(index, "attachment") else None
    return None if content is None else QueryTable.from_bytes(content)
