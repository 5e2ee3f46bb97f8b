"""Records on their way to an engine: in batches, again where it was busy, and each that it refuses with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from pixie_retrievers.errors import PixieError
from pixie_retrievers.index.remote.attempts import Attempts
from pixie_retrievers.index.remote.engine import Engine, TransientFailureError
from pixie_retrievers.index.remote.records import Record

__all__ = ["store_all"]

_SENDERS = 2  # one request is made while another is answered
_BYTES_A_WEIGHT = 24  # as JSON, exact weights included
_BYTES_A_TOKEN = 40
_MAX_RECORDS = 1000


def store_all(engine: Engine, records: Iterator[Record], timeout_s: float) -> dict[str, str]:
    """Store records; return why those that are not stored are not, by the document's id.

    Args:
        engine: Where they go.
        records: Read as far ahead as requests are under way.
        timeout_s: So long a batch is tried again that an engine is too busy for, or does not answer to; the time counts
            anew whenever part of it is stored.
    """
    refused: dict[str, str] = {}
    with ThreadPoolExecutor(_SENDERS) as senders:
        sent = (
            senders.submit(_send, engine, batch, Attempts(engine.location, timeout_s))
            for batch in _batches(records, engine.batch_bytes)
        )
        running = list(islice(sent, _SENDERS))
        while running:
            refused.update(running.pop(0).result())
            running += islice(sent, 1)
    return refused


def _batches(records: Iterator[Record], max_bytes: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        stored = record.stored
        size += 4 * len(stored.text) + len(stored.metadata) + _BYTES_A_WEIGHT * len(record.term_ids)
        size += _BYTES_A_TOKEN * len(record.tokens)
        if size >= max_bytes or len(batch) == _MAX_RECORDS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _send(engine: Engine, batch: list[Record], attempts: Attempts) -> dict[str, str]:
    ids = {record.key: record.stored.id for record in batch}
    refused: dict[str, str] = {}
    while batch:
        try:
            written = engine.store(batch)
        except TransientFailureError as error:
            if not attempts.wait():
                return refused | dict.fromkeys((record.stored.id for record in batch), str(attempts.ended_by(error)))
            if len(batch) > 1:  # it may be too much at once
                half = len(batch) // 2
                return refused | _send(engine, batch[:half], attempts) | _send(engine, batch[half:], attempts)
            continue
        except PixieError as error:
            return refused | dict.fromkeys((record.stored.id for record in batch), str(error))
        refused.update((ids[key], why) for key, why in written.refused.items())
        left = [record for record in batch if record.key in written.again]
        if len(left) < len(batch):
            attempts.restart()
        if left and not attempts.wait():
            return refused | {ids[key]: why for key, why in written.again.items()}
        batch = left
    return refused
