"""How an attachment is stored: as a row of the table ``meta``, under a checksum."""

from __future__ import annotations

import numpy as np

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.tables import META

__all__ = [
    "attachment_key",
    "attachment_name",
    "decode_attachment",
    "encode_attachment",
    "read_attachment",
]

_PREFIX = "attachment:"


def attachment_key(name: str) -> str:
    """What an attachment is stored under."""
    return _PREFIX + name


def attachment_name(key: str) -> str:
    """The name of what is stored under a key.

    Raises:
        CorruptIndexError: It is not the key of an attachment.
    """
    if not key.startswith(_PREFIX):
        raise CorruptIndexError(f"{key!r} is not the key of an attachment")
    return key.removeprefix(_PREFIX)


def encode_attachment(name: str, content: bytes) -> bytes:
    """The frame that will stand under the name's key."""
    return encode_arrays(Kind.ATTACHMENT, attachment_key(name), [np.frombuffer(content, np.uint8)])


def decode_attachment(name: str, frame: bytes | None) -> bytes:
    """What a frame holds.

    Raises:
        CorruptIndexError: It is missing, or does not verify.
    """
    (content,) = decode_arrays(Kind.ATTACHMENT, attachment_key(name), frame, "u1")
    return content.tobytes()


def read_attachment(store: ReadStore, name: str) -> bytes:
    """What is stored under a name.

    Raises:
        CorruptIndexError: It is missing, or does not verify.
    """
    return decode_attachment(name, store.get(META, attachment_key(name)))
