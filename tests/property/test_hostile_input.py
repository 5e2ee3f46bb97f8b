"""Texts, ids, metadata and numbers that nobody should send: kept as they are, or refused whole and by name."""

from __future__ import annotations

import math
import types
import unicodedata
from collections import OrderedDict

import numpy as np
import pytest
from figures import TEXTS, UPSERTS, Figure, holds
from histories import FINGERPRINT, VOCABULARY_SIZE
from vectors import random_vectors

from pixie_retrievers import (
    Document,
    DuplicateIdError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    InvalidVectorError,
    PixieError,
    SparseVectors,
    SqliteIndex,
)

ONE = SparseVectors.from_dicts([{1: 1.0, 5: 2.0}], VOCABULARY_SIZE)
NASTY = [
    "",
    "\0",
    "a\0b",
    "'; DROP TABLE documents; --",
    '"]["',
    "\\u0000\\",
    "\u2028\u2029\x85",
    "\ufeff",
    "\uffff\ufffe",
    "\U0010ffff",
    "\u202eright to left\u202c",
    unicodedata.normalize("NFD", "한국어 형태소"),
    unicodedata.normalize("NFC", "한국어 형태소"),
    "ㄱㄴㄷㅏㅑ",
    "<script>alert(1)</script>",
    "%s %n {0} {x}",
    "$ref",
    "../../../etc/passwd",
    "e\u0301" * 1000,
    "👩‍👩‍👧‍👦" * 100,
]


@pytest.fixture
def index(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT) as index:
        yield index


def hostile_texts(n, seed=0):
    """Random strings: of any code points, of Hangul parts, of the nasty ones joined."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        size = int(rng.integers(0, 40))
        if number % 3 == 0:
            yield "".join(chr(c) for c in rng.integers(0, 0x110000, size))  # surrogates among them
        elif number % 3 == 1:
            yield "".join(chr(c) for c in rng.integers(0x1100, 0x1200, size)) + NASTY[number % len(NASTY)]
        else:
            yield "".join(NASTY[i] for i in rng.integers(0, len(NASTY), size % 4))


def is_sound(text):
    return not any("\ud800" <= c <= "\udfff" for c in text)


@holds(TEXTS)
def test_a_text_comes_back_as_it_went_in_or_is_refused_with_its_batch(index, tmp_path):
    texts = list(hostile_texts(TEXTS.n))
    n_refused = 0
    for start in range(0, len(texts), 10):
        batch = {f"t{start + i}": text for i, text in enumerate(texts[start : start + 10])}
        documents = [Document(id, text, {"text": text, text: 1}) for id, text in batch.items()]
        vectors = random_vectors(len(batch), vocabulary_size=VOCABULARY_SIZE, n_terms=3)
        bad = [id for id, text in batch.items() if not is_sound(text)]
        if bad:
            n_refused += 1
            with pytest.raises(InvalidTextError, match=f"'{bad[0]}'"):
                index.upsert(documents, vectors)
            assert index.get(list(batch)) == [None] * len(batch)
            documents = [document for document in documents if document.id not in bad]
            vectors = vectors[: len(documents)]
        index.upsert(documents, vectors)
        assert index.get([document.id for document in documents]) == documents
    assert n_refused > 0
    assert index.check().sound


@holds(Figure(13, "hostile ids", 300, 5_000))
def test_an_id_is_kept_apart_from_every_other_and_writes_nothing_elsewhere(index, tmp_path):
    ids = [id for id in dict.fromkeys([*NASTY, *hostile_texts(Figure(13, "", 300, 5_000).n, 1)]) if id]
    good = [id for id in ids if is_sound(id)]
    for id in set(ids) - set(good):
        with pytest.raises(InvalidDocumentError):
            index.upsert([Document(id, "")], ONE)
        with pytest.raises(InvalidDocumentError):
            index.get([id])
    documents = [Document(id, f"text {number}") for number, id in enumerate(good)]
    index.upsert(documents, SparseVectors.from_dicts([{1: 1.0}] * len(good), VOCABULARY_SIZE))
    assert index.get(good) == documents
    assert index.delete(good[::2]) == len(good[::2])
    assert [document.id for document in index.get(good) if document] == good[1::2]
    assert index.check().sound
    assert {file.name for file in tmp_path.iterdir()} <= {"index.db", "index.db-wal", "index.db-shm"}


@pytest.mark.parametrize(
    "id",
    ["../escape", "/tmp/absolute", "a/b", "CON", "nul.txt", "x" * 100_000, "a\\b", ".", "..", "~", "file:x?mode=rw"],
)
def test_an_id_that_looks_like_a_path_is_only_an_id(index, tmp_path, id):
    index.upsert([Document(id, "글")], ONE)
    assert index.get([id]) == [Document(id, "글")]
    assert {file.name for file in tmp_path.iterdir()} <= {"index.db", "index.db-wal", "index.db-shm"}


def test_a_line_of_ten_megabytes_is_a_text_like_others(index):
    text = "가나다라마 " * 600_000
    index.upsert([Document("long", text)], ONE)
    assert index.get(["long"])[0].text == text
    assert index.search(ONE, 1)[0][0].document.text == text


@pytest.mark.parametrize("id", [None, 5, b"x", "", ["x"], "\ud800"])
def test_what_is_not_an_id_is_refused(index, id):
    for call in (lambda: index.upsert([Document(id, "")], ONE), lambda: index.get([id]), lambda: index.delete([id])):
        with pytest.raises(InvalidDocumentError):
            call()


CYCLE: dict = {}
CYCLE["self"] = CYCLE
DEEP: list = []
for _ in range(500):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "metadata",
    [
        {"x": math.nan},
        {"x": math.inf},
        {"x": 10**5000},
        {"x": -(10**5000)},
        {1: "x"},
        {"x": b"bytes"},
        {"x": {1, 2}},
        {"x": object()},
        {"x": "\ud800"},
        {"\ud800": 1},
        {"x": types.MappingProxyType({"a": 1})},
        {"x": np.float32(1)},
        {"x": np.int64(1)},
        {"x": DEEP},
        CYCLE,
        [1],
        None,
        "x",
    ],
)
def test_metadata_that_json_cannot_hold_is_refused_and_nothing_is_stored(index, metadata):
    index.upsert([Document("before", "")], ONE)
    with pytest.raises(InvalidDocumentError, match="'bad'"):
        index.upsert([Document("good", ""), Document("bad", "", metadata)], SparseVectors.concatenate([ONE] * 2, 60))
    assert index.get(["good", "bad"]) == [None, None]
    assert len(index) == 1
    index.upsert([Document("after", "")], ONE)


@pytest.mark.parametrize(
    "metadata",
    [
        {"x": 2**1000, "y": -(2**63), "z": 5e-324},
        {"": {"": []}, "a.b": None, "$in": [1, "x", True]},
        {"lc": 1, "type": "constructor", "id": ["os", "system"]},
        OrderedDict(x=1),
        types.MappingProxyType({"x": {"y": [1]}}),
    ],
)
def test_metadata_that_json_can_hold_comes_back(index, metadata):
    index.upsert([Document("x", "", metadata)], ONE)
    assert index.get(["x"])[0].metadata == dict(metadata)


@holds(UPSERTS)
def test_many_upserts_of_one_id_are_one_document(index):
    for number in range(UPSERTS.n):
        index.upsert([Document("one", f"글 {number}")], ONE)
    assert len(index) == 1
    assert [hit.document.text for hit in index.search(ONE, 10)[0]] == [f"글 {UPSERTS.n - 1}"]
    assert index.stats().n_segments <= 10
    assert index.check().sound
    index.compact()
    assert index.stats().n_postings == 2


def test_k_is_refused_below_one_and_clamped_above_what_there_is(index):
    vectors = SparseVectors.concatenate([ONE] * 5, VOCABULARY_SIZE)
    index.upsert([Document(f"d{i}", "") for i in range(5)], vectors)
    for k in (-1, 0, 1.0, "1", None, True):
        with pytest.raises(InvalidParameterError):
            index.search(ONE, k)
    for k in (1, 4, 5, 6, 10**12):
        assert [hit.document.id for hit in index.search(ONE, k)[0]] == [f"d{i}" for i in range(min(k, 5))]


def test_an_empty_index_an_unknown_term_and_an_empty_query_find_nothing(index):
    nothing = SparseVectors.from_dicts([{}, {7: 1.0}], VOCABULARY_SIZE)
    assert index.search(nothing, 3) == [[], []]  # not even a file yet
    index.upsert([Document("empty", "")], nothing[:1])
    assert index.search(SparseVectors.concatenate([nothing, ONE], VOCABULARY_SIZE), 3) == [[], [], []]
    index.upsert([Document("x", "")], ONE)
    assert index.search(nothing, 3) == [[], []]
    assert index.delete(["x", "empty", "x"]) == 2
    assert index.search(ONE, 3) == [[]]
    assert len(index) == 0
    assert index.search(nothing[:0], 3) == []


def test_an_id_twice_in_a_batch_is_refused(index):
    with pytest.raises(DuplicateIdError, match="'x'"):
        index.upsert([Document("x", "a"), Document("x", "b")], SparseVectors.concatenate([ONE] * 2, VOCABULARY_SIZE))
    assert len(index) == 0


@pytest.mark.parametrize(
    "arrays",
    [
        ([0, 2], [1, 5], [1.0, np.nan]),
        ([0, 2], [1, 5], [1.0, np.inf]),
        ([0, 2], [1, 5], [1.0, -1.0]),
        ([0, 2], [1, 5], [1.0, 0.0]),
        ([0, 2], [1, 5], [1.0, 1e-40]),
        ([0, 2], [5, 1], [1.0, 1.0]),
        ([0, 2], [1, 1], [1.0, 1.0]),
        ([0, 2], [-1, 1], [1.0, 1.0]),
        ([0, 2], [1, 60], [1.0, 1.0]),
        ([0, 3], [1, 5], [1.0, 1.0]),
        ([1, 2], [1, 5], [1.0, 1.0]),
        ([0, 2, 1, 2], [1, 5], [1.0, 1.0]),
        ([0, 2**63 - 1, -5, 2], [1, 5], [1.0, 1.0]),
        ([], [], []),
        ([0, 2], [1, 5], [1.0]),
    ],
)
def test_vectors_that_break_their_contract_cannot_be_made(arrays):
    indptr, term_ids, weights = arrays
    with pytest.raises(InvalidVectorError):
        SparseVectors(np.array(indptr, np.int64), np.array(term_ids, np.int32), np.array(weights, np.float32), 60)


def test_every_error_on_purpose_is_of_one_family():
    from pixie_retrievers import errors

    assert all(issubclass(getattr(errors, name), PixieError) for name in errors.__all__ if name.endswith("Error"))
