"""Numbers that callers pass: neither a boolean nor NaN is one, and numpy's are."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pixie_retrievers import (
    Document,
    IncompatibleIndexError,
    InvalidParameterError,
    InvalidVectorError,
    SparseRetriever,
    SqliteIndex,
    open_index,
)
from pixie_retrievers.encoder.fingerprint import parse
from pixie_retrievers.encoder.source import find_model
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.parameters import check_number, check_parts, check_path, check_whole_number
from pixie_retrievers.tools import ToolIndex


@pytest.mark.parametrize("value", [True, np.bool_(1), 1.0, "1", 0, -3, math.nan, [1]])
def test_what_is_not_a_whole_number_in_range_is_refused_by_name(value):
    with pytest.raises(InvalidParameterError, match=r"n_things is .*whole number of 1 or more, or None for all"):
        check_whole_number("n_things", value, none_means="all")


@pytest.mark.parametrize("value", [True, "0.5", math.nan, math.inf, -0.1, 1.1, 10**400, None])
def test_what_is_not_a_number_in_range_is_refused_by_name(value):
    with pytest.raises(InvalidParameterError, match=r"share is .*number from 0 to 1"):
        check_number("share", value, low=0, high=1)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**63, "9223372036854775808"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (10**30, "1000000000000000000000000000000"),
        (-(10**30), "-1000000000000000000000000000000"),
        (10**5000, "of type int, too long to show"),
        (-(10**5000), "of type int, too long to show"),
    ],
    ids=range(6),  # pytest cannot write the last ones either
)
def test_whole_numbers_of_more_than_64_bits_are_refused_readably(value, shown):
    with pytest.raises(InvalidParameterError) as caught:
        check_whole_number("k", value)
    said = str(caught.value).replace("np.uint64(18446744073709551615)", "18446744073709551615")  # since numpy 2
    assert said == f"k is {shown}; it must be a whole number of 1 or more and at most 64 bits"
    with pytest.raises(InvalidParameterError) as caught:
        check_number("score", value, none_means="no threshold")
    said = str(caught.value).replace("np.uint64(18446744073709551615)", "18446744073709551615")
    assert said == f"score is {shown}; it must be a number of at most 64 bits, or None for no threshold"
    with pytest.raises(InvalidParameterError, match=r"it must be a number of 0 or more and at most 64 bits$"):
        check_number("weight", value, low=0)


@pytest.mark.parametrize("value", [[10**5000], "1" * 5000, Fraction(10**5000)], ids=range(3))
def test_what_cannot_be_shown_is_named_by_its_type(value):
    message = f"^share is of type {type(value).__name__}, too long to show; it must be a number from 0 to 1$"
    with pytest.raises(InvalidParameterError, match=message):
        check_number("share", value, low=0, high=1)


def test_numbers_in_range_pass():
    check_whole_number("n_things", 1)
    check_whole_number("n_things", np.int64(7))
    check_whole_number("n_things", 2**63 - 1)
    check_whole_number("n_things", 0, at_least=0)
    check_whole_number("n_things", None, none_means="all")
    check_number("share", np.float32(0.5), low=0, high=1)
    check_number("share", 1, low=0, high=1)
    check_number("score", -1e300)
    check_number("score", None, none_means="no threshold")


@pytest.mark.parametrize("value", [3, None, True, b"index.db", [], object()])
def test_what_is_no_path_is_refused_by_name(value):
    with pytest.raises(InvalidParameterError, match=r"source is .*a string or a pathlib\.Path"):
        check_path("source", value)


def test_strings_and_paths_are_paths():
    check_path("source", "")
    check_path("source", Path("index.db"))


def test_what_says_no_vocabulary_is_neither_an_encoder_nor_an_index():
    with pytest.raises(InvalidParameterError, match=r"the encoder is of type str.*PixieEncoder"):
        check_parts(encoder="telepix/PIXIE-Splade-Preview")


OPENING = {
    "SqliteIndex": SqliteIndex,
    "open_index": open_index,
    "SparseRetriever.open": lambda path: SparseRetriever.open(path, encoder=None),
    "ToolIndex.open": ToolIndex.open,
    "repair_index, the source": lambda path: repair_index(path, "new.db"),
    "find_model": find_model,
}


@pytest.mark.parametrize("value", [3, b"index.db", [], object()])
@pytest.mark.parametrize("opening", OPENING)
def test_nothing_is_opened_at_what_is_no_path(opening, value, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.encoder.pixie.PixieEncoder", StandIn)
    with pytest.raises(InvalidParameterError, match="must be a string"):
        OPENING[opening](value)


class StandIn:
    vocabulary_size, fingerprint = 9, "stand-in"


@pytest.mark.parametrize("wrong", [3, None, b"x", object()])
def test_a_retriever_of_something_else_is_refused(tmp_path, wrong):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=9, fingerprint="stand-in") as index:
        for parts in ((wrong, index), (StandIn(), wrong)):
            with pytest.raises(InvalidParameterError, match="vocabulary_size"):
                SparseRetriever(*parts)


@pytest.mark.parametrize("wrong", [3, b"x", [], "\ud800", True])
def test_a_fingerprint_that_no_file_can_hold_is_refused(tmp_path, wrong):
    with pytest.raises(InvalidParameterError, match="fingerprint"):
        SqliteIndex(tmp_path / "index.db", vocabulary_size=9, fingerprint=wrong)
    with pytest.raises(IncompatibleIndexError):
        parse(wrong)


@pytest.mark.parametrize("wrong", [3, None, b"x", [[1.0]], {1: 1.0}])
def test_what_are_no_vectors_are_refused_by_an_index(tmp_path, wrong):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=9) as index:
        for call in (
            lambda: index.upsert([Document("a", "글")], wrong),
            lambda: index.search(wrong, 3),
            lambda: index.match(wrong, ["a"]),
        ):
            with pytest.raises(InvalidVectorError, match="SparseVectors"):
                call()
