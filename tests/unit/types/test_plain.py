"""What Python puts into metadata, as what is stored."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

import numpy as np
import pytest

from pixie_retrievers.types.plain import json_form, plain


class Field(Enum):
    SPACE = "우주"
    NESTED = Decimal("2.5")


class Level(IntEnum):
    HIGH = 3


class Kind(str, Enum):
    LAW = "법"


FORMS = [
    (np.float32(0.5), 0.5),
    (np.float64(2.5), 2.5),
    (np.int64(-3), -3),
    (np.uint8(255), 255),
    (np.bool_(True), True),
    (np.str_("글"), "글"),
    (np.datetime64("2024-05-01"), "2024-05-01"),
    (np.datetime64("2024-05-01T10:20:30.500", "ns"), "2024-05-01T10:20:30.500000"),
    (dt.date(2024, 5, 1), "2024-05-01"),
    (dt.datetime(2024, 5, 1, 10, tzinfo=dt.timezone.utc), "2024-05-01T10:00:00+00:00"),
    (dt.time(10, 30), "10:30:00"),
    (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Decimal("1.10"), 1.1),
    (Decimal(12345678901234567890), 12345678901234567890),
    (Decimal("1E+2"), 100),
    (Field.SPACE, "우주"),
    (Field.NESTED, 2.5),
    (Level.HIGH, 3),
    (Kind.LAW, "법"),
    (PurePosixPath("notes/\u1112\u1172.md"), "notes/휴.md"),
    (PureWindowsPath("notes\\a.md"), "notes/a.md"),
    ((1, np.int8(2)), [1, 2]),
    ({"a": [np.float64(1), {"b": UUID(int=0)}]}, {"a": [1.0, {"b": "00000000-0000-0000-0000-000000000000"}]}),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=lambda value: repr(value)[:40])
def test_a_value_becomes_what_json_would_hold(value, form):
    found = plain(value)
    assert found == form
    assert type(found) is type(form)
    assert json.loads(json.dumps(json_form({"k": value}))) == {"k": form}


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        {1, 2},
        object(),
        1 + 2j,
        np.complex64(1),
        np.timedelta64(1, "s"),
        np.arange(3),
        np.datetime64("NaT", "D"),
        Decimal("NaN"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form_stays_for_the_index_to_refuse(value):
    assert plain(value) is value


def test_a_decimal_beyond_every_float_does_not_take_for_ever():
    assert math.isinf(plain(Decimal("1e999999")))


def test_metadata_stays_as_it_is():
    inner = [np.int64(1)]
    metadata = {"a": inner}
    assert json_form(metadata) == {"a": [1]}
    assert metadata["a"] is inner
    assert type(inner[0]) is np.int64


def test_what_holds_itself_comes_to_an_end():
    loop = []
    loop.append(loop)
    json_form({"loop": loop})
