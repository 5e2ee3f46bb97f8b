"""PixieSparseEmbedding and SparseOnly, over the bundled model."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import SparseEmbeddingEndEvent, SparseEmbeddingStartEvent
from llama_index.core.schema import TextNode
from vectors import assert_near

from pixie_retrievers import SparseRetriever
from pixie_retrievers.errors import InvalidParameterError, InvalidTextError
from pixie_retrievers.llama_index import PixieSparseEmbedding, SparseOnly

TEXTS = ["인공위성은 지구를 돈다.", "벼는 논에서 자란다.", "", "빵을 굽는다."]


class Counting:
    """The encoder, keeping the sizes of the batches that it was given."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.batches = []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_documents(self, texts):
        self.batches.append(len(texts))
        return self._encoder.encode_documents(texts)


@pytest.fixture
def embedding(encoder):
    return PixieSparseEmbedding(encoder)


def test_embeddings_are_the_encoders_vectors(embedding, encoder):
    assert embedding.get_query_embedding(TEXTS[0]) == encoder.encode_queries(TEXTS[:1]).to_dicts()[0]
    assert embedding.get_text_embedding(TEXTS[0]) == encoder.encode_documents(TEXTS[:1]).to_dicts()[0]
    assert embedding.get_text_embedding_batch(TEXTS) == encoder.encode_documents(TEXTS).to_dicts()
    assert embedding.get_text_embedding("") == {}


async def test_asynchronously_they_are_the_same(embedding):
    assert await embedding.aget_query_embedding(TEXTS[0]) == embedding.get_query_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding(TEXTS[0]) == embedding.get_text_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding_batch(TEXTS) == embedding.get_text_embedding_batch(TEXTS)


async def test_in_batches_of_another_size_they_are_the_same_to_within_rounding(embedding):
    expected = embedding.get_text_embedding_batch(TEXTS)
    assert [bool(vector) for vector in expected] == [True, True, False, True]
    for workers in (None, 2):
        parallel = PixieSparseEmbedding(embedding.encoder, embed_batch_size=3, num_workers=workers)
        assert_near(await parallel.aget_text_embedding_batch(TEXTS), expected)
        assert_near(parallel.get_text_embedding_batch(TEXTS), expected)


async def test_texts_are_encoded_in_batches(encoder):
    counting = Counting(encoder)
    embedding = PixieSparseEmbedding(counting, embed_batch_size=3)
    embedding.get_text_embedding_batch(TEXTS)
    await embedding.aget_text_embedding_batch(TEXTS)
    assert counting.batches == [3, 1, 3, 1]


async def test_the_event_loop_goes_on_while_texts_are_encoded(encoder):
    class Waiting(Counting):
        go = threading.Event()

        def encode_documents(self, texts):
            assert self.go.wait(600)
            return super().encode_documents(texts)

    running = asyncio.create_task(PixieSparseEmbedding(Waiting(encoder)).aget_text_embedding_batch(TEXTS))
    await asyncio.sleep(0)
    Waiting.go.set()  # reached only by a loop that is free
    assert len(await running) == len(TEXTS)


def test_similarity_is_the_dot_product_which_is_the_retrievers_score(embedding, encoder):
    query = embedding.get_query_embedding("지구를 도는 위성")
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(TEXTS)
        found = retriever.search("지구를 도는 위성")
    assert found
    for result in found:
        text = embedding.get_text_embedding(result.document.text)
        assert embedding.similarity(query, text) == pytest.approx(result.score, rel=1e-6)
        assert embedding.similarity(text, query) == embedding.similarity(query, text)
    assert embedding.similarity({1: 2.0, 3: 4.0}, {3: 0.5, 2: 1.0}) == 2.0
    assert embedding.similarity({}, query) == 0.0


def test_serialised_it_is_its_models_fingerprint_and_its_settings(embedding, encoder):
    embedding.num_workers = 2
    dumped = embedding.model_dump()
    assert json.loads(json.dumps(dumped)) == {
        "class_name": "PixieSparseEmbedding",
        "model_name": "pixie-nano",
        "fingerprint": encoder.fingerprint,
        "embed_batch_size": 256,
        "num_workers": 2,
    }
    del dumped["class_name"]
    pickled = pickle.dumps(embedding)
    assert len(pickled) < 2000
    for twin in (PixieSparseEmbedding(**dumped), pickle.loads(pickled), copy.deepcopy(embedding)):
        assert twin.model_dump() == embedding.model_dump()
        assert twin.get_query_embedding(TEXTS[0]) == embedding.get_query_embedding(TEXTS[0])


def test_events_carry_the_payload_that_the_base_class_promises(embedding):
    class Recorder(BaseEventHandler):
        events: list = Field(default_factory=list)

        def handle(self, event, **kwargs):
            self.events.append(event)

    recorder = Recorder()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        vector = embedding.get_query_embedding(TEXTS[0])
    finally:
        dispatcher.event_handlers.remove(recorder)
    start, end = recorder.events
    assert (type(start), type(end)) == (SparseEmbeddingStartEvent, SparseEmbeddingEndEvent)
    assert (end.chunks, end.embeddings) == (TEXTS[:1], [vector])
    payload = {"class_name": "PixieSparseEmbedding", "model_name": "pixie-nano", "embed_batch_size": 256}
    assert payload.items() <= start.model_dict.items()
    json.dumps(start.model_dict)


def test_what_contradicts_or_is_not_a_text_is_refused(embedding, encoder):
    with pytest.raises(InvalidParameterError, match="one of the two"):
        PixieSparseEmbedding(encoder, fingerprint="another")
    with pytest.raises(ValueError, match="embed_batch_size"):
        PixieSparseEmbedding(encoder, embed_batch_size=0)
    with pytest.raises(InvalidTextError):
        embedding.get_text_embedding_batch(["글", "\udcff"])


async def test_sparse_only_gives_texts_an_empty_embedding_and_refuses_queries():
    nothing = SparseOnly()
    assert nothing.get_text_embedding_batch(["글", "말"]) == [[], []]
    node = TextNode(text="글")
    assert nothing([node])[0].embedding == []
    for attempt in (nothing.get_query_embedding, nothing.get_agg_embedding_from_queries):
        with pytest.raises(InvalidParameterError, match="PixieVectorStore"):
            attempt(["글"] if "agg" in attempt.__name__ else "글")
    with pytest.raises(InvalidParameterError, match="PixieVectorStore"):
        await nothing.aget_query_embedding("글")
    assert SparseOnly.from_dict(nothing.to_dict()).to_dict() == nothing.to_dict()
