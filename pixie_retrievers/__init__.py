"""Explainable sparse retrieval: every hit says which tokens made it match.

Names are loaded when first used, so that importing the package loads neither torch nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import (
    CorruptIndexError,
    DeviceUnavailableError,
    DocumentNotFoundError,
    DuplicateIdError,
    EngineError,
    EngineUnavailableError,
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    InvalidVectorError,
    ModelUnavailableError,
    OptionalDependencyError,
    PartialWriteError,
    PixieError,
    PixieWarning,
    StorageError,
    StorageFullError,
    UnsafeModelError,
)

if TYPE_CHECKING:
    from pixie_retrievers.encoder.base import Encoder
    from pixie_retrievers.encoder.pixie import PixieEncoder
    from pixie_retrievers.exports.exporting import export_index
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.index.copying import copy_index
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.index.sqlite.engine import SqliteIndex
    from pixie_retrievers.passages import split_documents
    from pixie_retrievers.render import show, to_html, to_text
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.rules.rules import Rules
    from pixie_retrievers.rules.words import rules_of
    from pixie_retrievers.tuning.report import TuningReport
    from pixie_retrievers.types import (
        AppliedRule,
        Comparison,
        Document,
        Explanation,
        Hit,
        RaisedBy,
        SearchResult,
        SearchResults,
        SparseVectors,
        TermMatches,
        TextExplanation,
        TextSpans,
        TokenContribution,
        WhyNot,
    )

__version__ = "0.1.0"

__all__ = [
    "AppliedRule",
    "Comparison",
    "CorruptIndexError",
    "DeviceUnavailableError",
    "Document",
    "DocumentNotFoundError",
    "DuplicateIdError",
    "Encoder",
    "EngineError",
    "EngineUnavailableError",
    "Explanation",
    "FilterError",
    "Hit",
    "IncompatibleIndexError",
    "Index",
    "IndexClosedError",
    "IndexLockedError",
    "IndexNotFoundError",
    "InvalidDocumentError",
    "InvalidParameterError",
    "InvalidTextError",
    "InvalidVectorError",
    "ModelUnavailableError",
    "OptionalDependencyError",
    "PartialWriteError",
    "PixieEncoder",
    "PixieError",
    "PixieWarning",
    "RaisedBy",
    "Rules",
    "SearchResult",
    "SearchResults",
    "SparseRetriever",
    "SparseVectors",
    "SqliteIndex",
    "StorageError",
    "StorageFullError",
    "TermMatches",
    "TextExplanation",
    "TextSpans",
    "TokenContribution",
    "TuningReport",
    "UnsafeModelError",
    "WhyNot",
    "copy_index",
    "export_index",
    "open_index",
    "rules_of",
    "show",
    "split_documents",
    "to_html",
    "to_text",
]

_HOMES = {
    "Encoder": "encoder.base",
    "PixieEncoder": "encoder.pixie",
    "Index": "index.base",
    "copy_index": "index.copying",
    "export_index": "exports.exporting",
    "open_index": "index.opening",
    "SqliteIndex": "index.sqlite.engine",
    "SparseRetriever": "retriever",
    "split_documents": "passages",
    "show": "render",
    "to_text": "render",
    "to_html": "render",
    "TuningReport": "tuning.report",
    "AppliedRule": "types",
    "Comparison": "types",
    "Document": "types",
    "Explanation": "types",
    "Hit": "types",
    "RaisedBy": "types",
    "Rules": "rules.rules",
    "rules_of": "rules.words",
    "SearchResult": "types",
    "SearchResults": "types",
    "SparseVectors": "types",
    "TermMatches": "types",
    "TextExplanation": "types",
    "TextSpans": "types",
    "TokenContribution": "types",
    "WhyNot": "types",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
