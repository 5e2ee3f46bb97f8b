"""A query table as bytes, and back: one safetensors file, with the tokenizer in it."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.inference_free.table import Expansions, QueryTable, TableOrigin
from pixie_retrievers.encoder.packages import TABLE_PACKAGES, check_packages
from pixie_retrievers.encoder.spelling import Spelling, TokenizerDescription
from pixie_retrievers.errors import CorruptIndexError, IncompatibleIndexError, StorageError

__all__ = ["read_table", "table_from_bytes", "table_to_bytes", "write_table"]

_FORMAT = 1
_MOST_TOKENIZER_BYTES = 256 << 20
_DTYPES = {
    "weights": np.float32,
    "expansion_starts": np.int64,
    "expansion_terms": np.int32,
    "expansion_weights": np.float32,
    "tokenizer": np.uint8,
}


def write_table(table: QueryTable, path: str | os.PathLike[str]) -> None:
    """Write a table to a file, whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        draft.write_bytes(table_to_bytes(table))
        draft.replace(target)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: check the folder's space and permissions") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def read_table(path: str | os.PathLike[str]) -> QueryTable:
    """A table out of a file.

    Raises:
        StorageError: The file cannot be read.
        CorruptIndexError: It is not a table, or a damaged one.
        IncompatibleIndexError: A newer version wrote it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: check the path of the query table") from error
    return table_from_bytes(content)


def table_to_bytes(table: QueryTable) -> bytes:
    """A table as one safetensors file, tokenizer and all."""
    from safetensors.numpy import save

    told: dict[str, Any] = {
        "format": _FORMAT,
        "max_length": table.max_length,
        "special_is_text": table.special_is_text,
        "document_prompt": table.document_prompt,
        "min_weight": table.min_weight,
        "max_active_terms": table.max_active_terms,
        "origin": asdict(table.origin),
        "tokenizer": {name: getattr(table.tokenizer, name) for name in ("special_ids", "side")},
        "spelling": asdict(table.tokenizer.spelling),
    }
    packed = zlib.compress(table.tokenizer.content.encode(), 6)
    arrays: dict[str, NDArray[Any]] = {
        "weights": table.weights,
        "expansion_starts": table.expansions.starts,
        "expansion_terms": table.expansions.terms,
        "expansion_weights": table.expansions.weights,
        "tokenizer": np.frombuffer(packed, np.uint8),
    }
    return bytes(save(arrays, {"pixie": json.dumps(told, ensure_ascii=False)}))


def table_from_bytes(content: bytes) -> QueryTable:
    """Read a table back, and believe nothing that it says.

    Raises:
        CorruptIndexError: It is not a table, or says what cannot be.
        IncompatibleIndexError: A newer version wrote it.
        OptionalDependencyError: The extra ``inference-free`` is not installed.
    """
    check_packages(TABLE_PACKAGES)
    try:
        told = json.loads(_header(content)["pixie"])
        version = told["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptIndexError("this is not a query table, or a damaged one: derive it again") from error
    if version != _FORMAT:
        raise IncompatibleIndexError(
            f"the query table has format {version!r}, this version reads {_FORMAT}: upgrade pixie-retrievers, or derive"
            " the table again"
        )
    try:
        table = _table(told, content)
        table.vocabulary.read(["시험"])
    except Exception as error:  # of what they cannot read, libraries say what they like: tokenizers a plain Exception
        raise CorruptIndexError(f"the query table is damaged ({error}): derive it again") from error
    return table


def _table(told: dict[str, Any], content: bytes) -> QueryTable:
    from safetensors.numpy import load

    arrays = load(content)
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        raise ValueError("it has not the arrays of one")
    said = ("max_length", "special_is_text", "document_prompt", "min_weight", "max_active_terms")
    return QueryTable(
        weights=arrays["weights"],
        expansions=Expansions(*(arrays[f"expansion_{name}"] for name in ("starts", "terms", "weights"))),
        tokenizer=_tokenizer(told, arrays["tokenizer"]),
        origin=TableOrigin(**told["origin"]),
        **{name: told[name] for name in said},
    )


def _header(content: bytes) -> dict[str, str]:
    """What a safetensors file says beside its arrays."""
    length = int.from_bytes(content[:8], "little")
    told: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return told


def _tokenizer(told: dict[str, Any], packed: NDArray[np.uint8]) -> TokenizerDescription:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(packed.tobytes(), _MOST_TOKENIZER_BYTES)
    if not unpacking.eof:
        raise ValueError("the tokenizer is not whole, or too large")
    said = told["tokenizer"]
    special_ids = tuple(int(id) for id in said["special_ids"])
    return TokenizerDescription(content.decode(), Spelling(**told["spelling"]), special_ids, str(said["side"]))
