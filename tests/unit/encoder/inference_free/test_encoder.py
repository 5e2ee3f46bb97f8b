"""InferenceFreeEncoder: questions by a table, documents by the model, which is loaded when there are any."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from functools import partial

import pytest

from pixie_retrievers import (
    Encoder,
    IncompatibleIndexError,
    InferenceFreeEncoder,
    InvalidParameterError,
    InvalidTextError,
    PixieEncoder,
    StorageError,
)

TEXT = "위성은 지구를 돈다."


@pytest.fixture
def loads():
    return []


@pytest.fixture
def encoder(table, bundled, loads):
    return InferenceFreeEncoder(table, lambda: loads.append(1) or bundled)


def test_only_documents_load_the_model_and_once(encoder, bundled, loads):
    assert isinstance(encoder, Encoder)
    assert encoder.encode_queries([TEXT]) == encoder.table.encode([TEXT])
    assert (encoder.vocabulary_size, encoder.fingerprint) == (bundled.vocabulary_size, bundled.fingerprint)
    assert encoder.query_fingerprint == encoder.table.fingerprint
    assert loads == []
    assert encoder.encode_documents([TEXT]) == bundled.encode_documents([TEXT])
    encoder.encode_documents([TEXT])
    assert loads == [1]


def test_it_names_and_places_terms_as_the_model_does(encoder, bundled, loads):
    terms = list(range(0, bundled.vocabulary_size, 97))
    assert encoder.tokens(terms) == bundled.tokens(terms)
    assert encoder.surfaces(terms) == bundled.surfaces(terms)
    assert encoder.spans(TEXT) == bundled.spans(TEXT)
    assert encoder.count_tokens([TEXT, ""]) == bundled.count_tokens([TEXT, ""])
    ours, theirs = encoder.names_in("🍎", "🍎 사과"), bundled.names_in("🍎", "🍎 사과")
    assert ours.surfaces(terms) == theirs.surfaces(terms)
    assert ours.document_spans() == theirs.document_spans()
    assert loads == []


def test_what_raised_a_term_is_said_by_the_table_of_a_question_and_by_the_model_of_a_document(encoder, bundled, loads):
    (vector,) = bundled.encode_documents([TEXT])
    terms = vector.term_ids.tolist()
    assert encoder.raised_by(TEXT, terms[:3], kind="query").keys() <= set(terms)
    assert loads == []
    assert encoder.raised_by(TEXT, terms) == bundled.raised_by(TEXT, terms)
    with pytest.raises(InvalidParameterError):
        encoder.raised_by(TEXT, [10**6], kind="query")


@pytest.mark.parametrize("wrong", ["one string", [3], ["\ud800"], None])
def test_what_is_not_texts_is_refused_as_by_the_model(encoder, wrong):
    with pytest.raises(InvalidTextError):
        encoder.encode_queries(wrong)


def test_an_encoder_that_cannot_say_what_raised_a_term_is_named(table):
    encoder = InferenceFreeEncoder(table, object)
    with pytest.raises(InvalidParameterError, match="object"):
        encoder.raised_by(TEXT, [5])


def test_it_travels(table, bundled):
    encoder = InferenceFreeEncoder(table, partial(PixieEncoder.bundled, device="cpu"))
    again = pickle.loads(pickle.dumps(encoder))
    assert again.encode_queries([TEXT]) == encoder.encode_queries([TEXT])
    assert copy.deepcopy(encoder) is copy.copy(encoder) is encoder


def test_sentence_transformers_loads_table_and_model_as_one(tmp_path, table, bundled, make_table):
    from sentence_transformers import SparseEncoder

    texts = [TEXT, "임차인의 권리", "제200조의2"]
    InferenceFreeEncoder(table, lambda: bundled).save(tmp_path / "both")
    plain = SparseEncoder(str(tmp_path / "both"), device="cpu")
    ours = table.encode(texts).to_scipy().toarray()
    assert (plain.encode_query(texts).to_dense().numpy() == ours).all()
    again = PixieEncoder(tmp_path / "both", device="cpu")
    assert (again.encode_queries(texts).to_scipy().toarray() == ours).all()
    assert again.encode_documents(texts) == bundled.encode_documents(texts)
    with pytest.raises(StorageError, match="exists"):
        InferenceFreeEncoder(table, lambda: bundled).save(tmp_path / "both")
    with pytest.raises(InvalidParameterError, match="expansions=False"):
        InferenceFreeEncoder(make_table({5: {6: 1.0}}), lambda: bundled).save(tmp_path / "other")
    with pytest.raises(IncompatibleIndexError):
        InferenceFreeEncoder(table, lambda: PixieEncoder.bundled(device="cpu", max_length=64)).save(tmp_path / "other")
    routed = make_table(origin=replace(table.origin, model=again.fingerprint))
    with pytest.raises(InvalidParameterError, match="route"):
        InferenceFreeEncoder(routed, lambda: again).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
