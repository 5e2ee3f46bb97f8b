"""What two fingerprints have alike: whether they are of one model, wherever its files are and whatever it is called.

A fingerprint is any string that an encoder chooses. A ``PixieEncoder``'s is a JSON object, and an index that encodes
metadata too has more behind it. There the names are information: the weights' hash and the options say which model it
is.
"""

from __future__ import annotations

import json
from typing import Any

from pixie_retrievers.errors import IncompatibleIndexError

__all__ = ["check_built_with", "content_of", "differences"]

_NEEDED = {"model", "sha256", "max_length", "min_weight"}
_INFORMATION = ("model", "revision")


def content_of(fingerprint: str) -> tuple[dict[str, Any], str] | None:
    """What a ``PixieEncoder``'s fingerprint says, and what stands behind it; None for another encoder's."""
    try:
        content, end = json.JSONDecoder().raw_decode(fingerprint)
    except (ValueError, TypeError, RecursionError):
        return None
    return (content, fingerprint[end:]) if isinstance(content, dict) and content.keys() >= _NEEDED else None


def differences(one: str, other: str) -> str:
    """In what two fingerprints are of different models, for a message; empty where they are of the same one.

    The same weights, pooling and options are the same model. Other encoders' fingerprints are compared as they stand.
    """
    if one == other:
        return ""
    ours, theirs = content_of(one), content_of(other)
    if ours is None or theirs is None:
        return f"{one!r} and {other!r}"
    names = sorted(ours[0].keys() | theirs[0].keys(), key=lambda name: (name != "sha256", name))
    found = [
        f"{name} {ours[0].get(name)!r} and {theirs[0].get(name)!r}"
        for name in names
        if name not in _INFORMATION and ours[0].get(name) != theirs[0].get(name)
    ]
    if found and ours[0]["sha256"] != theirs[0]["sha256"]:
        found.insert(0, f"model {ours[0]['model']!r} and {theirs[0]['model']!r}")
    if ours[1] != theirs[1]:
        found.append(f"{ours[1].strip()!r} and {theirs[1].strip()!r}")
    return ", ".join(found)


def check_built_with(location: object, built: Any, **wanted: Any) -> None:
    """Hold an index that is there to what it is opened with; None takes whatever it has.

    Args:
        location: Where it is, for the message.
        built: What it says of itself.
        wanted: What is asked of the attributes of that.

    Raises:
        IncompatibleIndexError: It was built with something else.
    """
    for name, value in wanted.items():
        found = getattr(built, name)
        if value is None or value == found:
            continue
        if name == "fingerprint":
            if not (differ := differences(found, value)):
                continue
            what = f"with another model: {differ}"
        else:
            what = f"with {name} {found!r}, not {value!r}"
        raise IncompatibleIndexError(
            f"{location} was built {what}; open it with what it was built with, or build a new one"
        )
