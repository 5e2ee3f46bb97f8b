"""Segments: from vectors to postings, into blocks, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vectors import random_vectors

from pixie_retrievers import CorruptIndexError, SparseVectors
from pixie_retrievers.index.sqlite import segment as segments
from pixie_retrievers.index.sqlite.segment import (
    build_segment,
    decode_block,
    decode_head,
    encode_blocks,
    encode_head,
)
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, round_vectors

V = 200


def built(n, weights="float32", docnos=None):
    vectors = random_vectors(n, vocabulary_size=V).with_literal([range(0, V, 3)] * n)
    vectors = round_vectors(replace(vectors, cut=np.arange(n) % 7 == 0), weights)
    return vectors, build_segment(vectors, np.arange(n) if docnos is None else docnos, V)


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_postings_lie_term_by_term_in_the_order_of_documents_with_their_literal_bits(weights):
    vectors, segment = built(30, weights)
    rows = np.repeat(np.arange(30), np.diff(vectors.indptr))
    order = np.lexsort((rows, vectors.term_ids))
    assert segment.ordinals.tolist() == rows[order].tolist()
    assert segment.weights.tolist() == vectors.weights[order].tolist()
    assert segment.literal.tolist() == vectors.literal[order].tolist()
    assert np.repeat(segment.head.term_ids, np.diff(segment.head.starts)).tolist() == vectors.term_ids[order].tolist()
    assert segment.head.scales.tolist() == vectors.scales.tolist()
    assert segment.head.n_postings == len(vectors.term_ids)
    assert segment.head.max_weights.tolist() == [
        vectors.widened()[vectors.term_ids == term].max() for term in segment.head.term_ids.tolist()
    ]


def test_documents_without_terms_make_a_segment_without_postings():
    vectors = round_vectors(SparseVectors.from_dicts([{}, {}], V), "uint8")
    segment = build_segment(vectors, np.array([3, 9]), V)
    assert (segment.head.n_documents, segment.head.n_postings) == (2, 0)
    assert dict(encode_blocks(1, segment)) == {}
    head = decode_head(1, encode_head(1, segment.head), n_documents=2, n_postings=0, vocabulary_size=V)
    assert head.docnos.tolist() == [3, 9]


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, 3e38])
def test_a_scale_that_no_weight_has_is_refused(scale):
    _, segment = built(20, "uint8")
    head = replace(segment.head, scales=np.full(20, scale, np.float32))
    with pytest.raises(CorruptIndexError, match="segment 3"):
        decode_head(3, encode_head(3, head), n_documents=20, n_postings=head.n_postings, vocabulary_size=V)


def test_a_head_says_of_each_document_whether_its_text_was_cut_and_of_none_in_no_bytes():
    _, segment = built(20)
    frame = encode_head(3, segment.head)
    said = {"n_documents": 20, "n_postings": segment.head.n_postings, "vocabulary_size": V}
    assert decode_head(3, frame, **said).cut.tolist() == [n % 7 == 0 for n in range(20)]
    none = replace(segment.head, cut=np.zeros(20, np.bool_))
    assert decode_head(3, encode_head(3, none), **said).cut.tolist() == [False] * 20
    assert len(encode_head(3, none)) == len(frame) - 8


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_blocks_end_at_terms_and_give_the_postings_back(weights, monkeypatch):
    monkeypatch.setattr(segments, "_BLOCK_BYTES", 600)
    _, segment = built(100, weights)
    frames = dict(encode_blocks(7, segment))
    assert len(frames) == len(segment.head.blocks) - 1 > 3
    parts = [
        decode_block(7, block, frame, segment.head, weights) for block, (_, frame) in enumerate(sorted(frames.items()))
    ]
    ordinals, values, literal = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert ordinals.tolist() == segment.ordinals.tolist()
    assert values.tolist() == segment.weights.tolist()
    assert literal.tolist() == segment.literal.tolist()
    with pytest.raises(CorruptIndexError, match=r"block 0000000007\.000001"):
        decode_block(7, 1, frames["0000000007.000000"], segment.head, weights)


def test_a_head_keeps_runs_of_numbers_and_is_held_to_what_the_manifest_says():
    docnos = np.concatenate([np.arange(5), np.arange(10, 13), [2**50], np.arange(2**60, 2**60 + 11)])
    _, segment = built(20, docnos=docnos)
    frame, n_postings = encode_head(3, segment.head), segment.head.n_postings
    head = decode_head(3, frame, n_documents=20, n_postings=n_postings, vocabulary_size=V)
    for name in ("docnos", "term_ids", "starts", "max_weights", "scales", "blocks", "cut"):
        assert getattr(head, name).tolist() == getattr(segment.head, name).tolist()
    for wrong in ({"n_documents": 19}, {"n_postings": n_postings - 1}, {"vocabulary_size": 100}):
        said = {"n_documents": 20, "n_postings": n_postings, "vocabulary_size": V} | wrong
        with pytest.raises(CorruptIndexError, match="segment 3"):
            decode_head(3, frame, **said)
    with pytest.raises(CorruptIndexError, match="head 0000000004"):
        decode_head(4, frame, n_documents=20, n_postings=n_postings, vocabulary_size=V)
