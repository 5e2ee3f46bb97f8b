"""What a person reads for a token, over the families of tokenizers that there are."""

from __future__ import annotations

import unicodedata

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pixie_retrievers.encoder.vocabulary import Vocabulary
from pixie_retrievers.errors import InvalidParameterError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def vocabulary_of(backend, **names):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", **names)
    return Vocabulary(tokenizer, size=backend.get_vocab_size() + 3, max_length=64)


def surfaces_by_token(vocabulary):
    ids = range(vocabulary.size)
    return dict(zip(vocabulary.tokens(ids), vocabulary.surfaces(ids), strict=True))


def read(vocabulary, backend, text):
    return vocabulary.surfaces(backend.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module")
def word_piece(sentences):
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False)
    backend.train_from_iterator(sentences, trainer)
    return backend


@pytest.fixture(scope="module")
def metaspace(sentences):
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False)
    backend.train_from_iterator(sentences, trainer)
    return backend


@pytest.fixture(scope="module")
def byte_level(sentences):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s?\S+|\s+"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(sentences, trainer)
    backend.add_tokens(["  ", "한글"])
    return backend


@pytest.fixture(scope="module")
def byte_fallback():
    """As Llama and Gemma write it: spaces replaced before, bytes where no piece fits."""
    pieces = [*SPECIAL, *BYTES, "▁위성", "위", "성", "▁", "에서"]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


@pytest.fixture(scope="module")
def plain_unigram():
    """No marker at all: a piece is the same wherever it stands in a word. As the bundled model's."""
    pieces = [*((piece, 0.0) for piece in SPECIAL), ("위성", -1.0), ("에서", -1.5), ("##", -3.0), ("_", -3.0)]
    pieces += [(piece, -20.0) for piece in BYTES]
    backend = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def test_word_piece_continuations_lose_their_marker(word_piece):
    vocabulary = vocabulary_of(word_piece)
    continuations = {token: text for token, text in surfaces_by_token(vocabulary).items() if token.startswith("##")}
    assert len(continuations) > 50
    assert all(text == token[2:] for token, text in continuations.items())
    assert "".join(read(vocabulary, word_piece, "위성에서")) == "위성에서"


def test_sentence_piece_word_starts_lose_their_marker(metaspace):
    vocabulary = vocabulary_of(metaspace)
    shown = surfaces_by_token(vocabulary)
    starts = {token: text for token, text in shown.items() if token.startswith("▁") and len(token) > 1}
    assert len(starts) > 10
    assert all(text == token[1:] for token, text in starts.items())
    assert "".join(read(vocabulary, metaspace, "위성에서 촬영한")).replace("␣", "") == "위성에서촬영한"


@pytest.mark.parametrize("family", ["metaspace", "byte_fallback"])
def test_a_lone_word_start_is_shown_as_a_visible_space(family, request):
    assert surfaces_by_token(vocabulary_of(request.getfixturevalue(family)))["▁"] == "␣"


def test_byte_level_pieces_are_shown_as_the_text_they_spell(byte_level):
    vocabulary = vocabulary_of(byte_level)
    shown = surfaces_by_token(vocabulary)
    assert (shown["ìľĦìĦ±"], shown["ĠìľĦìĦ±"]) == ("위성", "위성")
    assert read(vocabulary, byte_level, "위성 위성") == ["위성", "위성"]
    assert "".join(read(vocabulary, byte_level, "위성에서 서울")) == "위성에서서울"


def test_byte_level_pieces_that_are_not_a_whole_letter_are_shown_as_hexadecimal_bytes(byte_level):
    shown = surfaces_by_token(vocabulary_of(byte_level))
    assert shown["ì"] == "⟨EC⟩"
    assert shown["ľ"] == "⟨9C⟩"
    assert shown["Ġ"] == "␣"
    assert shown["Ċ"] == "↵"


def test_added_tokens_of_a_byte_level_vocabulary_are_plain_text(byte_level):
    shown = surfaces_by_token(vocabulary_of(byte_level))
    assert shown["한글"] == "한글"
    assert shown["  "] == "␣␣"


def test_fallback_bytes_are_shown_as_hexadecimal_or_as_the_letter_they_are(byte_fallback):
    vocabulary = vocabulary_of(byte_fallback)
    shown = surfaces_by_token(vocabulary)
    assert (shown["<0xEC>"], shown["<0x41>"], shown["<0x0A>"], shown["<0x00>"]) == ("⟨EC⟩", "A", "↵", "⟨00⟩")
    assert shown["▁위성"] == "위성"
    assert read(vocabulary, byte_fallback, "꿀")[-3:] == ["⟨EA⟩", "⟨BF⟩", "⟨80⟩"]


def test_a_vocabulary_without_markers_stays_as_it_is(plain_unigram):
    shown = surfaces_by_token(vocabulary_of(plain_unigram))
    assert all(shown[token] == token for token in ("위성", "에서", "##", "_"))
    assert shown["<0xEC>"] == "⟨EC⟩"


@pytest.mark.parametrize("family", ["word_piece", "metaspace", "byte_level", "byte_fallback", "plain_unigram"])
def test_no_surface_is_empty_or_a_replacement_character_and_special_tokens_stay(family, request):
    vocabulary = vocabulary_of(request.getfixturevalue(family))
    shown = surfaces_by_token(vocabulary)
    assert all(text and text.strip() and "\ufffd" not in text for text in shown.values())
    assert shown["[UNK]"] == "[UNK]"
    assert shown["[PAD]"] == "[PAD]"


def test_a_piece_that_is_itself_a_replacement_character_is_named():
    vocabulary = vocabulary_of(Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, "\ufffd": 2, "\x1b[31m": 3})))
    assert vocabulary.surfaces([2, 3]) == ["⟨FFFD⟩", "⟨1B⟩[31m"]


def test_decomposed_hangul_is_shown_composed():
    decomposed = unicodedata.normalize("NFD", "위성")
    vocabulary = vocabulary_of(Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, decomposed: 2})))
    assert len(decomposed) > 2
    assert vocabulary.surfaces([2]) == ["위성"]


def test_a_term_that_the_tokenizer_has_no_name_for_is_numbered(word_piece):
    vocabulary = vocabulary_of(word_piece)
    last = vocabulary.size - 1
    assert vocabulary.tokens([last]) == vocabulary.surfaces([last]) == [f"[term {last}]"]


@pytest.mark.parametrize("term", [-1, 10**9])
def test_a_term_outside_the_vocabulary_is_refused(word_piece, term):
    with pytest.raises(InvalidParameterError, match="outside a vocabulary"):
        vocabulary_of(word_piece).tokens([term])


# What a text is made of


def test_a_text_is_read_without_its_prompt_and_special_tokens(plain_unigram):
    backend = Tokenizer.from_str(plain_unigram.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    vocabulary = vocabulary_of(backend, cls_token="[CLS]", sep_token="[SEP]")
    bare, prompted = vocabulary.read(["위성에서"])[0], vocabulary.read(["위성에서"], "_ ")[0]
    assert set(vocabulary.tokens(sorted(bare.terms))) == {"위성", "에서"}
    assert prompted.terms.tolist() == bare.terms.tolist()
    assert (bare.n_tokens, prompted.n_tokens) == (4, 5)
    assert vocabulary.read([]) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000"])
def test_a_text_without_a_token_of_its_own_reads_as_nothing(plain_unigram, text):
    reading = vocabulary_of(plain_unigram).read([text], "_ ")[0]
    assert (reading.n_tokens, reading.cut, reading.terms.tolist()) == (0, False, [])


def test_a_text_that_is_too_long_is_read_as_far_as_the_model_reads_it(plain_unigram):
    vocabulary = vocabulary_of(plain_unigram)
    reading = vocabulary.read(["위성 " * 64 + "에서"])[0]
    assert (reading.n_tokens, reading.cut) == (64, True)
    assert vocabulary.tokens(sorted(reading.terms)) == ["위성"]
