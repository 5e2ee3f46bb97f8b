"""Queries that were asked before are not encoded again, and no more than allowed are remembered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pixie_retrievers import PixieEncoder, SparseVectors
from pixie_retrievers.encoder.cache import VectorCache


def vectors_of(texts):
    return SparseVectors.from_dicts([{int(text): 1.0 + int(text)} for text in texts], 100)


def test_only_what_is_missing_is_encoded_once_and_in_one_call():
    calls = []
    cache = VectorCache(3)

    def encode(texts):
        calls.append(texts)
        return vectors_of(texts)

    for asked in (["1", "2", "1"], ["2"], ["3", "4"], ["2", "1"], []):
        assert cache.get(asked, encode, 100) == vectors_of(asked)
    # The third call pushed out "1", the oldest; "2" was used since.
    assert calls == [["1", "2"], ["3", "4"], ["1"]]


def test_a_question_that_two_threads_encode_at_once_has_one_answer():
    cache = VectorCache(3)

    def encode(_):
        cache.get(["1"], vectors_of, 100)  # meanwhile somebody else does, too
        return SparseVectors.from_dicts([{1: 2.0000002}], 100)  # in another batch, and so not to the last bit

    assert cache.get(["1"], encode, 100) == vectors_of(["1"]) == cache.get(["1"], vectors_of, 100)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_many_threads_get_their_own_vectors_from_a_cache_that_keeps_its_bound(size):
    cache = VectorCache(size)
    questions = [[str((n * step) % 40) for n in range(7)] for step in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda texts: cache.get(texts, vectors_of, 100), questions))
    assert answers == [vectors_of(texts) for texts in questions]
    assert len(cache._kept) <= size


def test_an_encoder_asks_the_model_once_for_a_query_and_once_for_a_batch(today_folder, sentences, monkeypatch):
    encoder = PixieEncoder(today_folder, device="cpu")
    passes = []
    start = encoder._streams["query"].passes.start
    monkeypatch.setattr(
        encoder._streams["query"].passes,
        "start",
        lambda readings, *_: (passes.append(len(readings)), start(readings))[1],
    )
    first = encoder.encode_queries(sentences)
    assert encoder.encode_queries(sentences[::-1]).to_dicts() == first.to_dicts()[::-1]
    assert passes == [len(sentences)]
