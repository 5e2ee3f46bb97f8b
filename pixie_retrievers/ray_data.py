"""Encoding on many machines, as a stage of Ray Data; into any index by its URL, or into part files of one to come.

    dataset = encode_dataset(ray.data.read_parquet("corpus/"), PixieEncoder, n_workers=8, num_gpus=1)
    write_index(dataset, "opensearch+https://search.example:9200/corpus")

A row is a document: ``id`` and ``text``, and if there is one ``metadata``, a dict or its JSON text. A worker that dies
is started again and its rows are encoded again; a document is stored under its id: nothing is lost, nothing doubles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError, OptionalDependencyError
from pixie_retrievers.index.copying import add_index
from pixie_retrievers.index.documents import storable
from pixie_retrievers.index.opening import begin_index, open_index
from pixie_retrievers.index.remote.records import Stored, packed, vectors_of
from pixie_retrievers.types import Document, SparseVectors

try:
    import ray
    from ray.data import Dataset, Datasink
except ImportError as error:
    raise OptionalDependencyError.of("encoding with Ray", "ray[data]", "pixie-retrievers[ray]") from error

__all__ = ["EncodedDataset", "attach_parts", "encode_dataset", "write_index", "write_parts"]

_PART = "part-*.db"


@dataclass(frozen=True, slots=True)
class EncodedDataset:
    """Documents with their vectors, spread over a cluster, and the model that the vectors came from.

    Attributes:
        dataset: Rows of ``id``, ``text``, ``metadata`` (JSON text) and ``vector`` (bytes).
        vocabulary_size: The number of terms.
        fingerprint: The encoder's identity.
    """

    dataset: Dataset
    vocabulary_size: int
    fingerprint: str


def encode_dataset(
    dataset: Dataset,
    make_encoder: Callable[[], Encoder],
    *,
    n_workers: int = 1,
    batch_size: int = 256,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
) -> EncodedDataset:
    """Encode every row's text, in workers that each load the model once.

    Nothing runs before the rows are asked for. The order of rows is Ray's affair, and is not kept.

    Args:
        dataset: Rows with ``id`` and ``text``, and maybe ``metadata``.
        make_encoder: Loads the encoder in a worker, as ``PixieEncoder`` or ``PixieEncoder.bundled`` does.
        n_workers: So many, each with a model of its own.
        batch_size: Rows a call.
        num_cpus, num_gpus: What Ray reserves for each.
    """
    described = ray.remote(_describe).options(num_cpus=num_cpus, num_gpus=num_gpus)
    vocabulary_size, fingerprint = ray.get(described.remote(make_encoder))
    encoded = dataset.map_batches(
        _Encoding,
        fn_constructor_args=(make_encoder,),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=n_workers),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,  # however often one dies ...
        max_task_retries=-1,  # ... its rows are done again
    )
    return EncodedDataset(encoded, vocabulary_size, fingerprint)


def write_index(encoded: EncodedDataset, location: str) -> None:
    """Store encoded documents in the index at a URL, or a path that every worker sees, from all workers at once.

    Raises:
        PixieError: As :func:`~pixie_retrievers.open_index` and ``upsert``; the documents stored before stay.
    """
    begin_index(location, vocabulary_size=encoded.vocabulary_size, fingerprint=encoded.fingerprint).close()
    encoded.dataset.write_datasink(_IndexSink(location, encoded))


def write_parts(encoded: EncodedDataset, folder: str | os.PathLike[str]) -> None:
    """Store encoded documents in part files, index files each, in a folder that every worker sees.

    :func:`attach_parts` makes one index of them without encoding again. A part is put in place when it is whole.

    Raises:
        InvalidParameterError: The folder has parts already.
    """
    target = Path(folder).absolute()
    target.mkdir(parents=True, exist_ok=True)
    if next(target.glob(_PART), None) is not None:
        raise InvalidParameterError(f"{target} has parts of an index already: name another folder")
    encoded.dataset.write_datasink(_PartSink(str(target), encoded))


def attach_parts(
    folder: str | os.PathLike[str], location: str | os.PathLike[str], *, advance: Callable[[int], Any] = lambda _: None
) -> int:
    """Store the documents of all parts in one index, begun if there is none; return how many there are in it.

    After an interruption, call it again: what is there alike is not stored again.

    Args:
        folder: Where :func:`write_parts` left them.
        location: The path or URL of the index.
        advance: Called with the number of documents dealt with since the last call.

    Raises:
        InvalidParameterError: The folder has no parts.
        IncompatibleIndexError: The index is of another model.
    """
    parts = sorted(Path(folder).glob(_PART))
    if not parts:
        raise InvalidParameterError(f"{folder} has no parts of an index: write_parts makes them")
    first = open_index(parts[0], read_only=True)
    target = begin_index(location, vocabulary_size=first.vocabulary_size, fingerprint=first.fingerprint)
    first.close()
    try:
        for path in parts:
            part = open_index(path, read_only=True)
            try:
                add_index(part, target, advance=advance)
            finally:
                part.close()
        return len(target)
    finally:
        target.close()


class _Encoding:
    """A worker: it loads the model when it starts."""

    def __init__(self, make_encoder: Callable[[], Encoder]) -> None:
        self._encoder = make_encoder()

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        documents = storable(map(_document_of, batch.to_pylist()))
        vectors = self._encoder.encode_documents([document.text for document in documents])
        return pa.table(
            {
                "id": [document.id for document in documents],
                "text": pa.array([document.text for document in documents], pa.large_string()),
                "metadata": pa.array(
                    [json.dumps(dict(d.metadata), ensure_ascii=False) for d in documents], pa.large_string()
                ),
                "vector": pa.array(list(packed(vectors)), pa.large_binary()),
            }
        )


class _IndexSink(Datasink[None]):
    """Each task stores its rows in one index."""

    def __init__(self, location: str, encoded: EncodedDataset) -> None:
        self._location = location
        self._vocabulary_size, self._fingerprint = encoded.vocabulary_size, encoded.fingerprint

    def write(self, blocks: Iterable[Any], ctx: Any) -> None:  # noqa: ARG002  # Ray passes it
        self._store(self._location, blocks)

    def _store(self, location: str, blocks: Iterable[Any]) -> None:
        index = begin_index(location, vocabulary_size=self._vocabulary_size, fingerprint=self._fingerprint)
        try:
            for documents, vectors in _batches(blocks, self._vocabulary_size):
                index.upsert(documents, vectors)
        finally:
            index.close()


class _PartSink(_IndexSink):
    """Each task makes a file of its own; done again after a worker's death, it makes the same file."""

    def write(self, blocks: Iterable[Any], ctx: Any) -> None:
        final = Path(self._location, f"part-{ctx.task_idx:06d}.db")
        draft = final.with_name(f".{final.name}.{os.getpid()}")
        self._store(str(draft), blocks)
        if draft.exists():  # not for a task without rows
            draft.replace(final)


def _describe(make_encoder: Callable[[], Encoder]) -> tuple[int, str]:
    encoder = make_encoder()
    return encoder.vocabulary_size, encoder.fingerprint


def _document_of(row: dict[str, Any]) -> Document:
    missing = {"id", "text"} - row.keys()
    if missing:
        raise InvalidDocumentError(f"a row has no column {min(missing)!r}; it has {', '.join(sorted(row))}")
    metadata = row.get("metadata") or {}
    return Document(row["id"], row["text"], json.loads(metadata) if isinstance(metadata, str) else metadata)


def _batches(blocks: Iterable[Any], vocabulary_size: int) -> Iterator[tuple[list[Document], SparseVectors]]:
    for block in blocks:
        for batch in block.to_batches(max_chunksize=2000):
            rows = [Stored(row["id"], row["text"], row["metadata"], row["vector"], 0) for row in batch.to_pylist()]
            yield [stored.document() for stored in rows], vectors_of(rows, vocabulary_size)
