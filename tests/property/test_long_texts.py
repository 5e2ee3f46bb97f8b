"""A long text is tokenised as far as the model reads it, and gives what the whole text gives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pixie_retrievers.encoder.prefixes import encode_prefixes
from pixie_retrievers.encoder.source import BUNDLED_FOLDER
from pixie_retrievers.encoder.vocabulary import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
TRAINED_ON = [
    "위성에서 촬영한 영상으로 바다의 온도와 조류를 살핀다.",
    "AI 분석 기술은 Global standard 수준이다. 2024년 1,204건",
]
MAX_LENGTH = 12


def trained(model, pre_tokenizer, trainer, normalizer=None):
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.train_from_iterator(TRAINED_ON, trainer)
    return backend


def families():
    """The bundled tokenizer, and one of every kind that models are published with."""
    quiet = {"special_tokens": SPECIAL, "show_progress": False}
    letters = pre_tokenizers.ByteLevel.alphabet()
    words = Regex(r"(?i:'s|'t)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    return {
        "bundled": Tokenizer.from_file(str(BUNDLED_FOLDER / "tokenizer.json")),
        "word piece": trained(
            models.WordPiece(unk_token="[UNK]"),
            pre_tokenizers.BertPreTokenizer(),
            trainers.WordPieceTrainer(vocab_size=300, **quiet),
            normalizers.BertNormalizer(),
        ),
        "bytes": trained(
            models.BPE(),
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(words, "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            ),
            trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, **quiet),
            normalizers.NFC(),
        ),
        "metaspace": trained(
            models.Unigram(),
            pre_tokenizers.Metaspace(),
            trainers.UnigramTrainer(vocab_size=200, unk_token="[UNK]", **quiet),
            normalizers.Sequence([normalizers.Replace(Regex(" {2,}"), " "), normalizers.NFKC()]),
        ),
    }


FAMILIES = families()

PARTS = st.sampled_from(
    [
        *" \n\t\u3000\u200b가각한글위성에서은.,!?aZ19",
        "\r\n",
        "위성에서 ",
        "영상을",
        "🍎",
        "👨\u200d👩\u200d👧",
        "ㄱ\u1161",
        "e\u0301",
        "ﬁ",
        "\ue000",
        "𠮷",
    ]
)
# A few parts many times over: long words, long white space and long text are all likely.
TEXTS = st.lists(st.tuples(st.lists(PARTS, min_size=1, max_size=12), st.integers(1, 400)), min_size=1, max_size=5).map(
    lambda runs: "".join("".join(parts) * n for parts, n in runs)
)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=TEXTS, prompt=st.sampled_from(["", "query: ", "질문"]))
def test_a_prefix_gives_the_tokens_of_the_whole_text(family, text, prompt):
    backend = FAMILIES[family]
    backend.enable_truncation(MAX_LENGTH)
    whole = backend.encode(prompt + text)
    ((prefix, read),) = encode_prefixes(backend, [text], prompt, MAX_LENGTH)
    assert text.startswith(prefix)
    assert (read.ids, read.offsets) == (whole.ids, whole.offsets)
    assert bool(read.overflowing) == bool(whole.overflowing)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_page_of_words_little_is_tokenised(family):
    page = "위성에서 촬영한 영상으로 바다의 온도와 조류를 살핀다. " * 20_000
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=FAMILIES[family], pad_token="[PAD]", unk_token="[UNK]")
    reading = Vocabulary(tokenizer, size=9000, max_length=MAX_LENGTH).read([page])[0]
    assert reading.cut
    assert len(reading.text) < 2_000


@pytest.mark.parametrize("separator", ["。", "·", "/"])
def test_without_white_space_a_text_is_cut_between_words_all_the_same(separator):
    page = f"위성에서{separator}" * 20_000
    backend = FAMILIES["bundled"]
    backend.enable_truncation(MAX_LENGTH)
    ((prefix, _),) = encode_prefixes(backend, [page], "", MAX_LENGTH)
    assert len(prefix) < 2_000


@pytest.mark.parametrize("text", ["위" * 5_000, " " * 5_000 + "위성에서", "\u200b" * 5_000 + "위성에서"])
def test_what_says_little_at_its_beginning_is_read_until_the_model_is_full(text):
    backend = FAMILIES["bundled"]
    backend.enable_truncation(MAX_LENGTH)
    ((prefix, read),) = encode_prefixes(backend, [text], "", MAX_LENGTH)
    assert prefix == text
    assert read.ids == backend.encode(text).ids


@pytest.mark.filterwarnings("ignore:the model read only the beginning")
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_vectors_and_literal_terms_are_those_of_the_whole_text(bundled_pair, seed):
    """sentence-transformers tokenises the whole text. Rare characters, whose terms are ours, the test above has."""
    encoder, reference = bundled_pair
    rng = random.Random(seed)
    parts = ["위성", "에서 ", "바다의 ", "온도를", " ", "\n", "살핀다. ", "2024", "년 ", "Global ", "\u3000"]
    text = "".join(rng.choices(parts, k=2_000))
    vectors = encoder.encode_documents([text])
    expected = reference.encode_document([text], convert_to_sparse_tensor=False)[0].cpu().numpy()
    expected[list(range(5))] = 0  # special tokens
    found = vectors.to_dicts()[0]
    assert found.keys() == set(expected.nonzero()[0].tolist())
    assert all(abs(weight - expected[term]) < 1e-5 for term, weight in found.items())
    backend = FAMILIES["bundled"]
    backend.enable_truncation(MAX_LENGTH)
    literal = set(vectors.term_ids[vectors.literal].tolist())
    assert literal == set(backend.encode(text).ids) & found.keys()


@pytest.fixture(scope="module")
def bundled_pair():
    from sentence_transformers import SparseEncoder

    from pixie_retrievers import PixieEncoder

    reference = SparseEncoder(str(BUNDLED_FOLDER), device="cpu")
    reference.max_seq_length = MAX_LENGTH
    return PixieEncoder.bundled(device="cpu", precision="float32", max_length=MAX_LENGTH), reference
