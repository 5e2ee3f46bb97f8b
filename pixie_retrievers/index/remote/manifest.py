"""What is kept with a collection of the model that its vectors came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pixie_retrievers.errors import IncompatibleIndexError

__all__ = ["RemoteManifest", "check_manifest", "new_manifest"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RemoteManifest:
    """What a collection is of.

    Attributes:
        pixie_retrievers: The number of the format.
        vocabulary_size: The number of terms.
        fingerprint: The encoder's identity.
    """

    pixie_retrievers: int
    vocabulary_size: int
    fingerprint: str


def new_manifest(vocabulary_size: int, fingerprint: str) -> dict[str, Any]:
    """What a new collection is begun with, as JSON types."""
    return asdict(RemoteManifest(_FORMAT, vocabulary_size, fingerprint))


def check_manifest(found: Mapping[str, Any] | None, location: str) -> RemoteManifest:
    """Read what a collection says of itself.

    Raises:
        IncompatibleIndexError: It is not a collection of this package, or of a later one.
    """
    if not isinstance(found, Mapping) or "pixie_retrievers" not in found:
        raise IncompatibleIndexError(
            f"{location} exists and was not made by pixie-retrievers: choose another name; nothing was changed"
        )
    if found["pixie_retrievers"] != _FORMAT:
        raise IncompatibleIndexError(
            f"{location} has format {found['pixie_retrievers']!r}, this program reads {_FORMAT}: upgrade"
            " pixie-retrievers"
        )
    size, fingerprint = found.get("vocabulary_size"), found.get("fingerprint")
    if type(size) is not int or size < 1 or not isinstance(fingerprint, str):
        raise IncompatibleIndexError(f"what {location} says of its model is damaged: build a new index")
    return RemoteManifest(_FORMAT, size, fingerprint)
