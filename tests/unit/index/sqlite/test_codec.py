"""Frames and rows: what is read is what was written, or an error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers import CorruptIndexError
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row, encode_arrays, encode_row

ARRAYS = [np.array([1, 5, 9], np.uint16), np.array([], np.int64), np.array([0.5, 2.0, 3.25], np.float32)]
FRAME = encode_arrays(Kind.BLOCK, "key", ARRAYS)
ROW = encode_row("key", ["문서", {"연도": 2024, "x": [1.5, None]}]).encode()


def test_a_frame_gives_its_arrays_back():
    for array, read in zip(ARRAYS, decode_arrays(Kind.BLOCK, "key", FRAME, "u2 i8 f4"), strict=True):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("position", range(len(FRAME)))
def test_any_flipped_byte_of_a_frame_is_noticed(position):
    damaged = bytearray(FRAME)
    damaged[position] ^= 0x40
    if 12 <= position < 16:  # the unused word may say anything
        decode_arrays(Kind.BLOCK, "key", bytes(damaged), "u2 i8 f4")
        return
    with pytest.raises(CorruptIndexError):
        decode_arrays(Kind.BLOCK, "key", bytes(damaged), "u2 i8 f4")


@pytest.mark.parametrize("length", range(len(FRAME)))
def test_any_cut_of_a_frame_is_noticed(length):
    with pytest.raises(CorruptIndexError):
        decode_arrays(Kind.BLOCK, "key", FRAME[:length], "u2 i8 f4")


@pytest.mark.parametrize(
    ("kind", "key", "frame", "dtypes"),
    [
        (Kind.BLOCK, "other", FRAME, "u2 i8 f4"),
        (Kind.HEAD, "key", FRAME, "u2 i8 f4"),
        (Kind.BLOCK, "key", FRAME, "u2 i8"),
        (Kind.BLOCK, "key", FRAME, "u2 i8 i4"),
        (Kind.BLOCK, "key", None, "u2 i8 f4"),
        (Kind.BLOCK, "key", "text", "u2 i8 f4"),
    ],
    ids=["another key", "another kind", "fewer arrays", "another dtype", "missing", "not bytes"],
)
def test_a_frame_in_the_wrong_place_is_noticed(kind, key, frame, dtypes):
    with pytest.raises(CorruptIndexError, match=r"key|other"):
        decode_arrays(kind, key, frame, dtypes)


def test_a_row_is_json_and_gives_its_values_back():
    assert decode_row("key", ROW, str, dict) == ["문서", {"연도": 2024, "x": [1.5, None]}]
    assert json.loads(ROW)[2]["연도"] == 2024


@pytest.mark.parametrize("position", range(len(ROW)))
def test_any_flipped_byte_of_a_row_is_noticed(position):
    damaged = bytearray(ROW)
    damaged[position] ^= 0x01
    with pytest.raises(CorruptIndexError):
        decode_row("key", bytes(damaged), str, dict)


@pytest.mark.parametrize("row", [None, b"", b"[]", ROW[:-1], ROW + b" "])
def test_a_missing_or_cut_row_is_noticed(row):
    with pytest.raises(CorruptIndexError):
        decode_row("key", row, str, dict)
    with pytest.raises(CorruptIndexError):
        decode_row("another key", ROW, str, dict)


@given(st.text(), st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.none())))
def test_any_text_and_metadata_that_utf8_can_carry_survives(text, metadata):
    try:
        row = encode_row("k", [text, metadata]).encode()
    except UnicodeEncodeError:
        return
    assert decode_row("k", row, str, dict) == [text, metadata]
