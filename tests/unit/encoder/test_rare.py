"""Characters that a vocabulary has only as bytes: found by themselves, not by their bytes, and shown whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pixie_retrievers import PixieEncoder, SparseRetriever, SparseVectors
from pixie_retrievers.encoder.naming import NamesInTexts
from pixie_retrievers.encoder.rare import RareCharacters
from pixie_retrievers.encoder.vocabulary import Vocabulary

FIRST = 10
RARE = RareCharacters(lambda piece: FIRST + int(piece[3:5], 16))
RARE_TEXTS = ["🍎 사과를 먹었다", "🍲 찌개를 끓였다", "뷁 외계어", "𠮷野家 덮밥", "\ue000 옛글", "보통 글이다"]


@pytest.fixture(scope="module")
def bundled():
    return PixieEncoder.bundled(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def retriever(bundled):
    with SparseRetriever.open(encoder=bundled) as opened:
        opened.add_texts(RARE_TEXTS)
        yield opened


@pytest.mark.parametrize(("query", "text"), list(zip("🍎🍲뷁𠮷\ue000", RARE_TEXTS, strict=False)))
def test_a_rare_character_finds_the_text_that_has_it_and_is_shown_whole(retriever, query, text):
    best, *others = retriever.search(query)
    assert best.document.text == text
    assert {item.surface for item in best.explanation.contributions} == {query}
    assert all(item.in_query and item.in_document for item in best.explanation.contributions)
    assert all(other.score < best.score / 2 for other in others)
    assert retriever.explain(query, best.document.id) == best.explanation


def test_one_dish_is_not_found_for_another(retriever):
    assert [result.document.text for result in retriever.search("🍎")] == [RARE_TEXTS[0]]


def test_a_rare_character_counts_as_two_terms(bundled):
    (query,) = bundled.encode_queries(["🍎"]).to_dicts()
    (document,) = bundled.encode_documents(["🍎 위성"]).to_dicts()
    (known,) = bundled.encode_documents(["위성"]).to_dicts()
    score = sum(weight * document[term] for term, weight in query.items())
    assert len(query) == 3
    assert 5 < score < 2 * max(known.values()) ** 2 * 1.5


def test_an_explanation_never_shows_half_a_character(retriever):
    for query in ("🍎 사과 🍲", "媤 뷁뷁 𠮷", "\ue001\ue000", "🚀 로켓"):
        for result in retriever.search(query, top_k_tokens=None):
            assert not [item.surface for item in result.explanation.contributions if "⟨" in item.surface]


def test_texts_of_known_characters_keep_the_models_vectors(bundled):
    vectors = SparseVectors.from_dicts([{1: 2.0, 5: 1.0}], 300)
    assert RARE.rewritten(vectors, [{}], min_weight=0, max_active_terms=None) is vectors


def test_bytes_become_the_terms_of_their_character():
    ids = [1, *(FIRST + byte for byte in "🍎".encode()), 2, *(FIRST + byte for byte in "뷁🍲".encode()[:5])]
    found = RARE.among(np.array(ids, np.int32))
    assert list(found) == ["뷁", "🍎"]  # the last one is cut off
    rows = [{1: 2.0} | {id: 1.0 + n for n, id in enumerate(ids) if id > FIRST}, {3: 1.0}]
    vectors = SparseVectors.from_dicts(rows, 300)
    rewritten = RARE.rewritten(vectors, [found, {}], min_weight=0, max_active_terms=None)
    assert set(rewritten.to_dicts()[0]) == {1, *RARE.terms("🍎"), *RARE.terms("뷁")}
    strongest = max(rows[0][term] for term in found["🍎"])
    assert np.isclose(min(rewritten.to_dicts()[0][term] for term in RARE.terms("🍎")), strongest * (2 / 3) ** 0.5)
    assert rewritten.to_dicts()[1] == {3: 1.0}
    literal = RARE.literal(np.array(ids, np.int32), found).tolist()
    assert literal == sorted({1, 2, *RARE.terms("🍎"), *RARE.terms("뷁")})
    few = RARE.rewritten(vectors, [found, {}], min_weight=0, max_active_terms=3)
    assert len(few[0].term_ids) == 3
    assert set(RARE.rewritten(vectors, [found, {}], min_weight=50, max_active_terms=None).to_dicts()[0]) == {1}


@given(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]))
def test_every_character_has_three_terms_that_stay_the_same(character):
    terms = RARE.terms(character)
    assert len(set(terms)) == 3
    assert terms == RARE.terms(character)
    assert all(term in RARE and FIRST + 0x80 <= term < FIRST + 0x100 for term in terms)


def test_a_vocabulary_without_bytes_has_no_rare_characters():
    assert RareCharacters(lambda _: None).among(np.array([1, 2, 3], np.int32)) == {}


def test_parts_in_a_byte_level_vocabulary_are_shown_as_their_characters():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: n for n, letter in enumerate(["[PAD]", *letters])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    vocabulary = Vocabulary(tokenizer, size=300, max_length=64)
    ids = backend.encode("🍎").ids
    assert NamesInTexts(vocabulary, "a 🍎", "🍎🍲").surfaces(ids) == ["🍎"] * 4
    assert NamesInTexts(vocabulary, "🍎", "🍲").surfaces(ids) == ["≈🍎"] * 4
    assert NamesInTexts(vocabulary, "a", "b").surfaces(ids[:1]) == ["⟨F0⟩"]
    a = backend.encode("a").ids
    assert NamesInTexts(vocabulary, "a", "a").surfaces(a) == ["a"]
    assert NamesInTexts(vocabulary, "a", "a").tokens(a) == ["a"]
