"""The check: whatever contradicts anything else is named, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import documents, random_vectors

from pixie_retrievers import IndexNotFoundError, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.segment import HEAD_DTYPES
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, decode_vectors, encode_vectors, round_vectors


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_a_sound_index_of_any_history_has_no_problem(tmp_path, weights):
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=200, weights=weights) as index:
        for start in range(0, 90, 10):
            index.upsert(documents(10, start=start), random_vectors(10, seed=start))
        index.delete(["d1", "d33", "d88"])
        assert index.stats().n_deleted > 0
        assert index.check().problems == ()
    assert check_file(path).sound
    with pytest.raises(IndexNotFoundError):
        check_file(tmp_path / "nothing.db")


@pytest.mark.parametrize("array", ["weights", "literal", "term_ids"])
def test_a_vector_that_verifies_but_is_not_what_the_postings_say_is_found(path, sql, array):
    ((row,),) = sql("SELECT value FROM vectors WHERE key = 7")
    vectors = decode_vectors([7], {7: row}, "float32", 200)
    values = getattr(vectors, array).copy()
    if array == "term_ids":
        values[-1] = 199 if values[-1] != 199 else 198
    else:
        values[0] = not values[0] if array == "literal" else np.nextafter(values[0], np.float32(9))
    object.__setattr__(vectors, array, values)
    ((_, changed),) = encode_vectors(vectors, [7], 200)
    sql("UPDATE vectors SET value = ? WHERE key = 7", changed)
    assert check_file(path).problems == ("the postings of segment 0 are not its documents' vectors",)


def test_a_vector_that_lost_all_its_terms_is_found(path, sql):
    nothing = round_vectors(SparseVectors.from_dicts([{}], 200), "float32")
    sql("UPDATE vectors SET value = ? WHERE key = 7", next(encode_vectors(nothing, [7], 200))[1])
    assert check_file(path).problems == ("the postings of segment 0 are not its documents' vectors",)


def test_vectors_that_are_missing_damaged_or_too_many_are_named(path, sql):
    sql("DELETE FROM vectors WHERE key = 3")
    sql("UPDATE vectors SET value = CAST(value || x'00' AS BLOB) WHERE key = 8")
    problems = check_file(path).problems
    assert any("vector of document number 3 is missing" in problem for problem in problems)
    assert any("vector of document number 8 is damaged" in problem for problem in problems)
    assert "the number of rows in the table vectors is 19, not 20" in problems
    sql("INSERT INTO vectors SELECT key + 100, value FROM vectors")
    assert "the number of rows in the table vectors is 38, not 20" in check_file(path).problems


def test_maxima_that_are_not_the_postings_are_found(path, sql):
    ((key, frame),) = sql("SELECT key, value FROM segments")
    arrays = [array.copy() for array in decode_arrays(Kind.HEAD, key, frame, HEAD_DTYPES)]
    arrays[4][5] *= 2
    sql("UPDATE segments SET value = ?", encode_arrays(Kind.HEAD, key, arrays))
    assert check_file(path).problems == ("segment 0 has weights above or below what its head says",)


def test_cut_texts_that_the_vectors_do_not_know_of_are_found(path, sql):
    ((key, frame),) = sql("SELECT key, value FROM segments")
    arrays = decode_arrays(Kind.HEAD, key, frame, HEAD_DTYPES)
    arrays[7] = np.array([1, 0, 0], np.uint8)
    sql("UPDATE segments SET value = ?", encode_arrays(Kind.HEAD, key, arrays))
    assert check_file(path).problems == ("the postings of segment 0 are not its documents' vectors",)


def test_an_id_that_leads_elsewhere_and_an_identity_of_another_model_are_found(path, sql):
    sql("UPDATE ids SET value = ? WHERE key = 'd4'", encode_row("d4", [5]))
    sql("UPDATE meta SET value = ? WHERE key = 'identity'", encode_row("identity", [{"vocabulary_size": 5}]))
    problems = check_file(path).problems
    assert len(problems) == 2
    assert "identity" in problems[0]
    assert "document number 4 leads to another document" in problems[1]
