"""What an engine stores of a document comes back as it was, or is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import random_vectors

from pixie_retrievers import CorruptIndexError, Document, SparseVectors
from pixie_retrievers.index.remote.records import key_of, records_of
from pixie_retrievers.types.vectors import MAX_WEIGHT, MIN_WEIGHT

METADATA = {"a": [1, 2.5, None, {"깊이": True}], "b": "x\u2028\x00\"'\\", "n": 2**1023}
DOCUMENT = Document('글/1 \n\x00"', "한글 🙂\x00", METADATA)


def record(vectors=None):
    vectors = random_vectors(1).with_literal([range(0, 200, 2)]) if vectors is None else vectors
    return next(iter(records_of([DOCUMENT], vectors, 7)))


def test_a_document_and_its_vector_come_back():
    vectors = random_vectors(3).with_literal([range(0, 200, 2), (), range(200)])
    documents = [replace(DOCUMENT, id=id) for id in "abc"]
    found = list(records_of(documents, vectors, 7))
    assert [one.stored.document() for one in found] == documents
    assert SparseVectors.concatenate([one.stored.weights(200) for one in found], 200) == vectors
    assert [one.stored.seq for one in found] == [7, 8, 9]
    assert [one.key for one in found] == [key_of(id) for id in "abc"]


@given(st.dictionaries(st.integers(0, 199), st.floats(MIN_WEIGHT, MAX_WEIGHT, width=32), max_size=40), st.data())
def test_any_vector_comes_back_to_the_bit(weights, data):
    literal = data.draw(st.sets(st.sampled_from(sorted(weights)))) if weights else set()
    vectors = SparseVectors.from_dicts([weights], 200).with_literal([literal])
    assert record(vectors).stored.weights(200) == vectors


def test_any_flipped_bit_is_noticed():
    stored = record().stored
    for place in range(len(stored.vector)):
        for bit in range(8):
            flipped = bytearray(stored.vector)
            flipped[place] ^= 1 << bit
            with pytest.raises(CorruptIndexError, match="vector of document"):
                replace(stored, vector=bytes(flipped)).weights(200)


def test_any_other_length_is_noticed():
    stored = record().stored
    for damaged in (*(stored.vector[:n] for n in range(len(stored.vector))), stored.vector + b"\x00"):
        with pytest.raises(CorruptIndexError, match="vector of document"):
            replace(stored, vector=damaged).weights(200)


def test_a_vector_of_a_larger_vocabulary_is_noticed():
    stored = record(SparseVectors.from_dicts([{199: 1.0}], 200)).stored
    with pytest.raises(CorruptIndexError, match="add the document again"):
        stored.weights(199)


@pytest.mark.parametrize("damaged", ["", "[]", "{", "null", "[" * 100_000, '{"a": 1'])
def test_damaged_metadata_is_noticed(damaged):
    with pytest.raises(CorruptIndexError, match="metadata of document"):
        replace(record().stored, metadata=damaged).parsed_metadata()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_keys_are_hexadecimal_digits_whatever_the_id_is(id):
    assert len(key_of(id)) == 32
    assert set(key_of(id)) <= set("0123456789abcdef")
    assert key_of(id) != key_of(id + "\x00")
