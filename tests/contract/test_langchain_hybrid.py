"""LangChain's own retriever suite over the hybrid retriever, with the bundled model and LangChain's dense store."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from pixie_retrievers.langchain import HybridRetriever, PixieRetriever

TEXTS = ["위성을 궤도에 올린다.", "위성 자료로 농사를 돕는다.", "김치를 담근다.", "서울의 지하철 노선이다."]
IDS = ["궤도", "농사", "김치", "노선"]


class TestStandardSuite(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _over_two_stores(self, encoder):
        with PixieRetriever.from_texts(TEXTS, ids=IDS, encoder=encoder) as sparse:
            dense = InMemoryVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=8), ids=IDS)
            self._params = {"retrievers": {"sparse": sparse, "dense": dense.as_retriever()}}
            yield

    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return self._params

    @property
    def retriever_query_example(self):
        return "위성"
