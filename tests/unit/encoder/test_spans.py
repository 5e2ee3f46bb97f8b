"""Where a text's tokens stand in the caller's own string, over the families of tokenizers that there are."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
from characters import FAMILY, PARTS
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.graphemes import Graphemes
from pixie_retrievers.encoder.vocabulary import Vocabulary

NFD = unicodedata.normalize("NFD", "위성 풀립니다")


@cache
def loaded():
    return PixieEncoder.bundled(device="cpu")


@pytest.fixture
def bundled():
    return loaded()


def marked(encoder, text, **options):
    """The pieces of the text that each term stands at, by what the term is called."""
    spans = encoder.spans(text, **options)
    names = encoder.surfaces(list(spans.terms))
    return {name: [text[a:b] for a, b in spans.of(term)] for name, term in zip(names, spans.terms, strict=True)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("위성 위성", {"위성": ["위성", "위성"]}),
        ("a\u0301 위성", {"위성": ["위성"]}),
        ("  위성\r\n위성\t", {"위성": ["위성", "위성"]}),
        ("위\u200b성", {"위성": ["위\u200b성"]}),
        ("cafe\u0301", {"é": ["e\u0301"]}),
        ("㎏", {"k": ["㎏"], "g": ["㎏"]}),
        ("ＡＢ", {}),
        ("K\u20dd", {"k": ["K\u20dd"]}),
        ("[MASK] <s>", {"[": ["["], "]": ["]"], "<": ["<"], ">": [">"], "s": ["s"]}),
        (NFD, {"위성": [NFD.split(" ")[0]], "풀": [NFD.split(" ")[1][:3]]}),
    ],
)
def test_a_token_stands_where_the_tokenizer_found_it(bundled, text, expected):
    assert expected.items() <= marked(bundled, text).items()


def test_a_word_is_not_marked_inside_another_one(bundled):
    text = "스레드 풀과 문제가 풀립니다"
    spans = bundled.spans(text)
    (pool,) = [term for term in spans.terms if bundled.surfaces([term]) == ["풀"]]
    pieces = bundled.surfaces(bundled.encode_documents(["풀립니다"])[0].term_ids)
    # In "풀립니다" the model reads the same piece "풀": where it does, the tokenizer says so, and not the letters.
    assert [text[a:b] for a, b in spans.of(pool)] == ["풀"] * (1 + ("풀" in pieces))


def test_composed_and_decomposed_letters_have_the_same_tokens_at_their_own_places(bundled):
    text = "정찰 위성이 국경의 움직임을 살핀다."
    apart = unicodedata.normalize("NFD", text)
    assert len(apart) > len(text)
    here, there = marked(bundled, text), marked(bundled, apart)
    assert here == {name: [unicodedata.normalize("NFC", piece) for piece in pieces] for name, pieces in there.items()}


def test_a_character_that_is_only_bytes_to_the_model_is_marked_whole(bundled):
    text = f"x \U0001f34e\U0001f34f {FAMILY} \U0001f34e"
    pieces = [piece for spans in bundled.spans(text).terms.values() for piece in [text[a:b] for a, b in spans]]
    assert set(pieces) == {"x", "\U0001f34e", "\U0001f34f", FAMILY}
    terms = bundled.spans(text).terms
    vector = bundled.encode_documents([text])[0]
    assert set(vector.term_ids[vector.literal].tolist()) <= set(terms)


@given(st.lists(st.sampled_from([*PARTS, "위성 ", "the ", "[SEP]", "㎏"]), max_size=14).map("".join))
def test_spans_are_of_exactly_the_literal_terms_and_of_whole_characters(text):
    encoder = loaded()
    spans = encoder.spans(text)
    reading = encoder._vocabulary.read([text])[0]
    assert set(spans.terms) == set(reading.terms)
    assert spans.read == (0, len(text)) == (0, spans.n_characters)
    for places in spans.terms.values():
        assert places
        assert list(places) == sorted(set(places))
        for start, stop in places:
            assert 0 <= start < stop <= len(text)
            assert text[start:stop].strip()
            assert Graphemes(text).whole(start, stop) == (start, stop)


@pytest.mark.parametrize("unit", ["위성 ", "\U0001f34e", unicodedata.normalize("NFD", "위성 "), "e\u0301 "])
def test_where_reading_stops_is_said_in_the_callers_characters(unit):
    encoder = PixieEncoder.bundled(device="cpu", max_length=16)
    text = unit * 100
    spans = encoder.spans(text)
    assert spans.read[0] == 0
    assert 0 < spans.read[1] < len(text)
    assert spans.unread == ((spans.read[1], len(text)),)
    assert max(stop for places in spans.terms.values() for _, stop in places) == spans.read[1]
    assert encoder.spans(text[: spans.read[1]]).unread == ()
    assert spans.to_dict()["read"] == list(spans.read)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000"])
def test_a_text_without_a_token_has_no_spans_and_nothing_unread(bundled, text):
    spans = bundled.spans(text)
    assert (dict(spans.terms), spans.read, spans.unread) == ({}, (0, len(text)), ())


# Families of tokenizers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def located(backend, text, prompt="", max_length=64, **options):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", **options)
    vocabulary = Vocabulary(tokenizer, size=backend.get_vocab_size(), max_length=max_length)
    spans = vocabulary.located(text, prompt)[2]
    names = vocabulary.tokens(list(spans.terms))
    places = zip(names, spans.terms.values(), strict=True)
    return {name: [text[a:b] for a, b in where] for name, where in places}, spans


def metaspace():
    pieces = [*((piece, 0.0) for piece in SPECIAL), ("▁위성", -1.0), ("에서", -1.5), ("▁", -3.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend


def byte_fallback():
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁위성", "위", "성", "▁", "에서"]
    backend = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [], byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIAL, *alphabet, "ìľ", "Ġì", "Ġìľ", "Ġìľ\u0126"]
    backend = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [("Ġ", "ì"), ("ì", "ľ")]))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s?\S+|\s+"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return backend


def test_the_space_that_a_token_carries_is_left_out():
    assert located(metaspace(), "위성에서  위성")[0] == {"▁위성": ["위성", "위성"], "에서": ["에서"]}
    found = located(byte_level(), "a 위성")[0]
    assert found["Ġì"] == ["위"]
    assert "Ġ" not in found


def test_bytes_are_marked_as_the_character_that_they_are_of():
    found = located(byte_level(), f"위{FAMILY}")[0]
    assert {piece for pieces in found.values() for piece in pieces} == {"위", FAMILY}
    found = located(byte_fallback(), "꿀 \U0001f34e")[0]
    assert {piece for pieces in found.values() for piece in pieces} == {"꿀", "\U0001f34e"}


def test_a_prompt_has_no_spans_and_moves_none():
    assert located(metaspace(), "위성에서", "위성 ")[0] == {"▁위성": ["위성"], "에서": ["에서"]}


def test_a_model_that_reads_the_end_of_a_text_says_so():
    backend = metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    text = "에서 " * 9 + "위성 위성"
    found, spans = located(backend, text, max_length=4, cls_token="[CLS]", sep_token="[SEP]", truncation_side="left")
    assert found == {"▁위성": ["위성", "위성"]}
    assert spans.unread == ((0, 27),)
