"""The bundled model, end to end: it needs nothing but the package."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.source import BUNDLED_FOLDER
from pixie_retrievers.errors import IncompatibleIndexError

TEXTS = [
    "텔레픽스는 해양, 자원, 농업 등 다양한 분야에서 위성 데이터를 분석하여 서비스를 제공합니다.",
    "정찰 및 감시 목적의 위성 영상을 통해 국방 관련 정밀 분석 서비스를 제공합니다.",
    "TelePIX의 광학 탑재체 및 AI 분석 기술은 Global standard를 상회하는 수준으로 평가받고 있습니다.",
    "겨울 김장 김치는 땅에 묻은 항아리에서 천천히 익는다.",
]


@pytest.fixture(scope="module")
def bundled():
    return PixieEncoder.bundled(device="cpu")


def test_the_bundled_model_computes_in_float32_what_sentence_transformers_computes(bundled):
    import torch
    from sentence_transformers import SparseEncoder

    plain = SparseEncoder(str(BUNDLED_FOLDER), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = plain.encode_document(TEXTS).to_dense().numpy().copy()
    expected[:, bundled._model.tokenizer.all_special_ids] = 0
    assert bundled.precision == "float32"
    assert np.abs(bundled.encode_documents(TEXTS).to_scipy().toarray() - expected).max() <= 1e-5


def test_the_bundled_model_finds_the_text_that_a_question_is_about(bundled):
    documents = bundled.encode_documents(TEXTS).to_scipy()
    queries = bundled.encode_queries(["국방 분야의 위성 영상", "김치는 어떻게 익나요?"]).to_scipy()
    assert (queries @ documents.T).toarray().argmax(axis=1).tolist() == [1, 3]


def test_vectors_of_the_bundled_model_are_sparse_and_readable(bundled):
    vectors = bundled.encode_documents(TEXTS)
    assert (np.diff(vectors.indptr) < bundled.vocabulary_size / 4).all()
    for vector in vectors:
        surfaces = bundled.surfaces(vector.term_ids)
        assert all(surface.strip() and "\ufffd" not in surface for surface in surfaces)
        assert vector.literal.any()
        assert not vector.literal.all()
    assert "위성" in bundled.surfaces(vectors[0].term_ids[vectors[0].literal])


def test_the_bundled_model_comes_back_from_its_fingerprint_with_its_thresholds():
    encoder = PixieEncoder.bundled(device="cpu", min_weight=0.05, max_active_terms=32)
    assert encoder.name == json.loads(encoder.fingerprint)["model"] == "pixie-nano"
    again = PixieEncoder.from_fingerprint(encoder.fingerprint, device="cpu")
    assert again.fingerprint == encoder.fingerprint
    assert again.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
    assert np.diff(again.encode_documents(TEXTS).indptr).max() <= 32


def test_a_bundled_model_that_has_changed_since_is_refused(bundled):
    content = json.loads(bundled.fingerprint) | {"sha256": "0" * 16}
    with pytest.raises(IncompatibleIndexError, match="0000000000000000"):
        PixieEncoder.from_fingerprint(json.dumps(content), device="cpu")


def test_the_bundled_model_is_the_same_by_its_path(bundled):
    assert PixieEncoder(BUNDLED_FOLDER, device="cpu").fingerprint == bundled.fingerprint
