"""What looks like a special token in a text is text: it is found by its name, and changes nothing around it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pixie_retrievers import PixieEncoder, SparseRetriever
from pixie_retrievers.encoder.special import forget_special_tokens

WRITTEN = ["BERT는 [MASK] 자리를 맞힌다.", "[CLS] 위성 [SEP] 영상 [PAD]", "[MASK]", "[UNK][MASK]"]


def dense(vectors):
    return vectors.to_scipy().toarray()


def test_a_text_with_special_tokens_is_encoded_as_the_letters_that_it_has(encoder, reference):
    """The tokenizer knows no such letters as a piece "mask"; what counts is that both read the same tokens."""
    reference.tokenizer.split_special_tokens = True
    try:
        expected = reference.encode_document(WRITTEN).to_dense().numpy().copy()
        ids = reference.tokenizer(WRITTEN[0]).input_ids
    finally:
        reference.tokenizer.split_special_tokens = False
    assert encoder._model.tokenizer(WRITTEN[0]).input_ids == ids
    assert ids[0] == 2
    assert ids[-1] == 3
    assert 4 not in ids
    expected[:, encoder._model.tokenizer.all_special_ids] = 0
    found = encoder.encode_documents(WRITTEN)
    assert np.abs(dense(found) - expected).max() <= 1e-5


def test_the_model_still_gets_its_own_special_tokens(encoder, reference, sentences):
    for text in sentences:
        assert encoder._model.tokenizer(text).input_ids == reference.tokenizer(text).input_ids


@pytest.mark.parametrize("query", ["[MASK]", "<s>", "[SEP]"])
def test_a_query_for_a_special_token_finds_the_text_that_holds_it(query):
    with SparseRetriever.open(encoder=PixieEncoder.bundled(device="cpu")) as retriever:
        retriever.add_texts(["위성 영상을 분석한다.", f"문장에 {query} 토큰이 있다.", "휴가를 쓴다."])
        found = retriever.search(query)
    assert [result.document.text for result in found] == [f"문장에 {query} 토큰이 있다."]
    assert all(item.in_query for item in found[0].explanation.contributions)


def test_pieces_of_a_unigram_vocabulary_are_not_matched_by_their_special_names():
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("위성", -3.0), ("<", -4.0), ("s", -4.0)]
    backend = Tokenizer(models.Unigram([*pieces, (">", -4.0), ("/", -4.0)], unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(["<s>", "</s>", "<unk>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    before = backend.encode("위성").ids
    forget_special_tokens(backend)
    assert backend.encode("<s>위성</s>").tokens == ["<s>", "▁", "<", "s", ">", "위성", "<", "/", "s", ">", "</s>"]
    assert backend.encode("위성").ids == before
    assert (backend.token_to_id("<s>"), backend.id_to_token(0)) == (0, "<s>")


def test_special_tokens_in_a_models_own_prompt_stay_special(today_folder, copy_of):
    folder = copy_of(today_folder)
    path = folder / "config_sentence_transformers.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["prompts"] = {"query": "[MASK] ", "document": ""}
    path.write_text(json.dumps(content), encoding="utf-8")
    encoder = PixieEncoder(folder, device="cpu")
    assert 4 in encoder._model.tokenizer("[MASK] 위성").input_ids
