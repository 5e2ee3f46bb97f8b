"""Which token raised a term: the position whose logit is the maximum that the weight is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pixie_retrievers import InvalidParameterError, PixieEncoder, PixieWarning
from pixie_retrievers.encoder.forward import forward, prepare
from pixie_retrievers.encoder.linear import multiplies_bytes_exactly

TOLERANCE = 1e-5
TEXT = "정찰 위성이 국경의 움직임을 살피고, 발사체는 새 탐사선을 궤도에 올린다."


def weights_of(encoder, text):
    return encoder.encode_documents([text])[0].to_dicts()[0]


def held(encoder, text, tolerance=TOLERANCE):
    weights = weights_of(encoder, text)
    raised = encoder.raised_by(text, list(weights))
    assert raised.keys() == weights.keys()
    for term, found in raised.items():
        assert found.token_id == term
        assert found.weight == pytest.approx(weights[term], abs=tolerance)
        assert found.span is None or found.by == text[slice(*found.span)]
    return raised


def test_the_weight_at_the_position_is_the_weight_of_the_text():
    raised = held(PixieEncoder.bundled(device="cpu"), TEXT)
    assert len({found.span for found in raised.values()}) > 3


def test_a_text_of_many_blocks_and_more_than_the_model_reads(encoder, sentences):
    with pytest.warns(PixieWarning, match="read only the beginning"):
        held(encoder, " ".join(sentences * 3))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_whatever_the_precision(precision):
    if precision == "int8" and not multiplies_bytes_exactly():
        pytest.skip("products of bytes overflow here")
    held(PixieEncoder.bundled(device="cpu", precision=precision), TEXT, tolerance=1e-3)


def test_the_position_is_the_one_that_the_ordinary_path_finds(encoder, reference, sentences):
    """sentence-transformers gives all logits of all positions."""
    features = reference.tokenizer(sentences[0], return_tensors="pt")
    with torch.inference_mode():
        logits = reference[0].auto_model(**features).logits[0]
    terms = list(weights_of(encoder, sentences[0]))
    ids, spans, _ = encoder._vocabulary.located(sentences[0])
    assert ids == features["input_ids"][0].tolist()
    raised = encoder.raised_by(sentences[0], terms)
    assert [raised[term].span for term in terms] == [spans[n] for n in logits[:, terms].argmax(dim=0).tolist()]
    assert any(found.span is None and found.by in ("[CLS]", "[SEP]") for found in raised.values())


def test_terms_that_nothing_raises_and_terms_that_stand_for_bytes_are_not_there():
    bundled = PixieEncoder.bundled(device="cpu")
    text = "\U0001f34e 위성"
    weights = weights_of(bundled, text)
    rare = [term for term in weights if bundled._vocabulary.is_rare(term)]
    assert rare
    absent = next(term for term in range(5, 8000) if term not in weights and term not in rare)
    assert bundled.raised_by(text, [*rare, absent]) == {}
    assert bundled.raised_by("", list(weights)) == bundled.raised_by(text, []) == {}
    with pytest.raises(InvalidParameterError, match="outside a vocabulary"):
        bundled.raised_by(text, [10**6])


def test_afterwards_nothing_watches(encoder, sentences):
    encoder.raised_by(sentences[0], [7])
    for module in encoder._model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks

    def passed():
        return forward(encoder._model, prepare(encoder._model, sentences[:1], "document"), "document")

    before = passed()
    assert np.array_equal(before, passed())


def test_a_head_that_cannot_be_split_is_watched_too(ordinary_folder, sentences, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.encoder.head.split_heads", lambda _: None)
    held(PixieEncoder(ordinary_folder, device="cpu"), sentences[0])


@pytest.mark.parametrize("change", [{"pooling_strategy": "sum"}, {"activation_function": "log1p_relu"}])
def test_whatever_the_weights_are_made_with(today_folder, copy_of, sentences, change):
    folder = copy_of(today_folder)
    path = folder / "1_SpladePooling" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    held(PixieEncoder(folder, device="cpu"), sentences[0], tolerance=1e-4)


def test_on_a_route_without_a_head_no_term_raises_another(encoder, monkeypatch):
    """As a query of an inference-free model takes it: what a term weighs is looked up."""
    monkeypatch.setattr(encoder._streams["document"].passes, "start", lambda *_, **__: lambda: None)
    assert encoder.raised_by("위성", [7, 8]) == {}
