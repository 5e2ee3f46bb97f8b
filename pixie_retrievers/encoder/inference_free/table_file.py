"""A query table as bytes, and back: one safetensors file, with the tokenizer in it."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.inference_free.parts import Expansions, TableOrigin
from pixie_retrievers.encoder.packages import TABLE_PACKAGES, check_packages
from pixie_retrievers.encoder.spelling import Spelling, TokenizerDescription
from pixie_retrievers.errors import CorruptIndexError, IncompatibleIndexError, OptionalDependencyError, StorageError

__all__ = ["damage_named", "decode_parts", "encode_parts", "read_file", "write_whole"]

_FORMAT = 1
_MOST_TOKENIZER_BYTES = 256 << 20
_DTYPES = {
    "weights": np.float32,
    "expansion_starts": np.int64,
    "expansion_terms": np.int32,
    "expansion_weights": np.float32,
    "tokenizer": np.uint8,
}


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: check the folder's space and permissions") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def read_file(path: Path) -> bytes:
    """What a file holds.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: check the path of the query table") from error


def encode_parts(
    weights: NDArray[np.float32],
    expansions: Expansions,
    tokenizer: TokenizerDescription,
    origin: TableOrigin,
    said: Mapping[str, Any],
) -> bytes:
    """A table's parts as one safetensors file.

    Args:
        weights, expansions, tokenizer, origin: As the table has them.
        said: Its other values, of JSON types.
    """
    from safetensors.numpy import save

    told = {
        **said,
        "format": _FORMAT,
        "origin": asdict(origin),
        "tokenizer": {name: getattr(tokenizer, name) for name in ("special_ids", "side")},
        "spelling": asdict(tokenizer.spelling),
    }
    arrays: dict[str, NDArray[Any]] = {
        "weights": weights,
        "expansion_starts": expansions.starts,
        "expansion_terms": expansions.terms,
        "expansion_weights": expansions.weights,
        "tokenizer": np.frombuffer(zlib.compress(tokenizer.content.encode(), 6), np.uint8),
    }
    return bytes(save(arrays, {"pixie": json.dumps(told, ensure_ascii=False)}))


@contextmanager
def damage_named() -> Iterator[None]:
    """Whatever libraries say of what they cannot read, tokenizers in a plain Exception, as the package's error.

    Raises:
        CorruptIndexError: Something was raised that is not the package's own.
    """
    try:
        yield
    except (IncompatibleIndexError, OptionalDependencyError):
        raise
    except Exception as error:
        raise CorruptIndexError(f"this is not a query table, or a damaged one ({error}): derive it again") from error


def decode_parts(content: bytes) -> dict[str, Any]:
    """What a table is made with, by the names of its attributes, out of a safetensors file.

    Raises:
        IncompatibleIndexError: A newer version wrote it.
        OptionalDependencyError: The extra ``inference-free`` is not installed.
        Exception: It is not a table: see :func:`damage_named`.
    """
    check_packages(TABLE_PACKAGES)
    from safetensors.numpy import load

    told = json.loads(_header(content)["pixie"])
    version, spelling = told.pop("format"), told.pop("spelling")
    if version != _FORMAT:
        raise IncompatibleIndexError(
            f"the query table has format {version!r}, this version reads {_FORMAT}: upgrade pixie-retrievers, or derive"
            " the table again"
        )
    arrays = load(content)
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        raise ValueError("it has not the arrays of one")
    return {
        **told,
        "weights": arrays["weights"],
        "expansions": Expansions(*(arrays[f"expansion_{name}"] for name in ("starts", "terms", "weights"))),
        "origin": TableOrigin(**told["origin"]),
        "tokenizer": _tokenizer(told["tokenizer"], spelling, arrays["tokenizer"]),
    }


def _header(content: bytes) -> dict[str, str]:
    """What a safetensors file says beside its arrays."""
    length = int.from_bytes(content[:8], "little")
    told: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return told


def _tokenizer(said: Mapping[str, Any], spelling: Mapping[str, Any], packed: NDArray[np.uint8]) -> TokenizerDescription:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(packed.tobytes(), _MOST_TOKENIZER_BYTES)
    if not unpacking.eof:
        raise ValueError("the tokenizer is not whole, or too large")
    special_ids = tuple(int(id) for id in said["special_ids"])
    return TokenizerDescription(content.decode(), Spelling(**spelling), special_ids, str(said["side"]))
