"""What Python programs put into metadata, as the JSON types that are stored: converted here, and nowhere else."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

__all__ = ["json_form", "plain"]

_JSON = frozenset({str, int, float, bool, type(None)})
_MAX_DEPTH = 100  # what is nested deeper is refused by whoever stores it
_HUGE = 400  # digits: no float is near


def json_form(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A new dictionary with each value as the JSON type that it is stored as.

    Enum members become their values, numpy's scalars the numbers and booleans they are, dates and times their ISO 8601
    text, a UUID its text, a Decimal an int where it has no fraction and else the nearest float, a path its text with
    ``/`` and composed letters (NFC), a tuple a list. What has no JSON form stays, for whoever stores it to refuse.
    """
    return {key: plain(value) for key, value in metadata.items()}


def plain(value: Any, depth: int = 1) -> Any:
    """One value as the JSON type that it is stored as; what has none is returned as it is."""
    if type(value) in _JSON or depth > _MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Enum):
        return plain(value.value, depth + 1)
    if isinstance(value, np.generic):
        return _plain_scalar(value)
    if isinstance(value, (date, time)):
        return value if value != value else value.isoformat()  # noqa: PLR0124  # pandas' NaT
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, PurePath):
        return unicodedata.normalize("NFC", value.as_posix())
    if isinstance(value, Decimal):
        return _number(value)
    return value


def _plain_scalar(value: np.generic) -> Any:
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.timedelta64):  # numpy counts it among the whole numbers
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.datetime64) and not np.isnat(value):
        if np.datetime_data(value.dtype)[0] not in "YMWD":
            moment = value.astype("datetime64[us]").item()
            if isinstance(moment, datetime):  # within the years that Python counts
                return moment.isoformat()
        return str(value)  # ISO 8601 too
    return str(value) if isinstance(value, np.str_) else value


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return value
    if value.adjusted() > _HUGE or value.as_tuple().exponent < 0:  # type: ignore[operator]  # a number, when finite
        return float(value)
    return int(value)
