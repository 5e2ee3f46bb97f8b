"""Whole vectors in their rows: as documented byte by byte, and back."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from vectors import random_vectors

from pixie_retrievers import CorruptIndexError, InvalidVectorError, SparseVectors
from pixie_retrievers.index.sqlite.codec import encode_row
from pixie_retrievers.index.sqlite.vectors import (
    STORED_DTYPES,
    decode_vectors,
    encode_vectors,
    is_vector,
    round_vectors,
)

ROW = SparseVectors.from_dicts([{3: 0.5, 7: 2.0, 9: 1.25}], 200).with_literal([{3, 9}])


def assert_same(one, other):
    for name in ("indptr", "term_ids", "weights", "scales", "literal", "cut"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("vocabulary_size", [200, 1 << 16, (1 << 16) + 1])
@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_vectors_come_back_as_they_were_stored(weights, vocabulary_size):
    empty = SparseVectors.from_dicts([{}], vocabulary_size)
    some = random_vectors(9, vocabulary_size=vocabulary_size).with_literal([range(0, vocabulary_size, 2)] * 9)
    joined = SparseVectors.concatenate([empty, some, empty], vocabulary_size)
    vectors = round_vectors(replace(joined, cut=np.arange(len(joined)) % 3 == 0), weights)
    docnos = [4, 7, 8, 9, 10, 100, 101, 2**40, 2**41, 2**42, 2**43]
    rows = dict(encode_vectors(vectors, docnos, vocabulary_size))
    assert_same(decode_vectors(docnos, rows, weights, vocabulary_size), vectors)
    assert_same(decode_vectors(docnos[2:5], rows, weights, vocabulary_size), vectors[2:5])
    assert_same(decode_vectors(docnos[:1], rows, weights, vocabulary_size), vectors[:1])
    assert len(decode_vectors([], rows, weights, vocabulary_size)) == 0


@pytest.mark.parametrize(
    ("weights", "scale", "stored"),
    [
        ("float32", b"", struct.pack("<3f", 0.5, 2, 1.25)),
        ("float16", b"", struct.pack("<3e", 0.5, 2, 1.25)),
        ("uint8", struct.pack("<f", 2 / 255), bytes([64, 255, 159])),
    ],
)
@pytest.mark.parametrize(("vocabulary_size", "terms"), [(200, "<3H"), (1 << 17, "<3i")])
@pytest.mark.parametrize("cut", [False, True])
def test_a_row_is_laid_out_as_documented(weights, scale, stored, vocabulary_size, terms, cut):
    vectors = replace(ROW, cut=np.array([cut]))
    ((docno, row),) = encode_vectors(round_vectors(vectors, weights), [5], vocabulary_size)
    body = struct.pack("<I", 3 + cut * (1 << 31)) + scale + stored + struct.pack(terms, 3, 7, 9) + bytes([0b101])
    assert (docno, row) == (5, struct.pack("<I", zlib.crc32(b"vector 5" + body)) + body)


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_any_flipped_byte_and_any_cut_is_noticed_and_so_is_another_place(weights):
    rows = dict(encode_vectors(round_vectors(ROW, weights), [5], 200))
    row = rows[5]
    damaged = [row[:place] + bytes([row[place] ^ 0x10]) + row[place + 1 :] for place in range(len(row))]
    for content in (*damaged, *(row[:length] for length in range(len(row))), row + b"\0", None, "text"):
        with pytest.raises(CorruptIndexError, match="document number 5"):
            decode_vectors([5], {5: content}, weights, 200)
    with pytest.raises(CorruptIndexError, match="document number 6"):
        decode_vectors([6], {6: row}, weights, 200)


@pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf, 3e38, 2.0**51])
def test_a_scale_that_no_weight_has_is_refused_before_it_is_used(scale):
    stored = replace(round_vectors(ROW, "uint8"), scales=np.array([scale], np.float32))
    rows = dict(encode_vectors(stored, [5], 200))
    with pytest.raises(CorruptIndexError, match="contract"):
        decode_vectors([5], rows, "uint8", 200)


def test_a_row_of_another_kind_does_not_pass_for_a_vector():
    ((_, row),) = encode_vectors(round_vectors(ROW, "float32"), [5], 200)
    assert is_vector(5, row)
    assert not is_vector(6, row)
    assert not is_vector(5, encode_row("0000000000000005", ["id", "text", {}]).encode())
    assert not is_vector(5, b"")


def test_float32_keeps_weights_float16_rounds_them_and_uint8_takes_255_steps_of_the_largest():
    vectors = random_vectors(50)
    for weights, tolerance in (("float32", 0), ("float16", 2**-11), ("uint8", 1)):
        found = round_vectors(vectors, weights).widened()
        largest = np.repeat(np.maximum.reduceat(vectors.weights, vectors.indptr[:-1]), np.diff(vectors.indptr))
        step = largest / 255 if weights == "uint8" else vectors.weights
        assert (np.abs(found - vectors.weights) <= tolerance * step * 1.001).all()
        assert (found > 0).all()


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_no_weight_is_rounded_to_nothing_and_what_was_rounded_is_a_vector_again(weights):
    vectors = SparseVectors.from_dicts([{1: 2.0**-60, 2: 1.0}, {1: 2.0**-60}, {5: 1e-9, 6: 6e4}], 200)
    again = round_vectors(vectors, weights).to_sparse(200)
    assert again.term_ids.tolist() == vectors.term_ids.tolist()
    assert (again.weights > 0).all()
    largest = SparseVectors.from_dicts([{1: 2.0**50, 2: 2.0**49}], 200)
    if weights != "float16":
        assert round_vectors(largest, weights).to_sparse(200).weights[0] == 2.0**50


def test_weights_too_large_for_half_precision_are_refused():
    with pytest.raises(InvalidVectorError, match="float32"):
        round_vectors(SparseVectors.from_dicts([{1: 1e6}], 9), "float16")
