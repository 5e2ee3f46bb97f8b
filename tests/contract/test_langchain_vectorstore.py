"""LangChain's own vector store and document index suites, over an index in each engine."""

from __future__ import annotations

import pytest
from engines.fixtures import new_location, server_engines
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from pixie_retrievers.langchain import PixieRetriever, PixieVectorStore


@pytest.fixture(params=["sqlite", *server_engines()])
def path(request, tmp_path):
    return new_location(request, tmp_path)


class TestVectorStore(VectorStoreIntegrationTests):
    """It compares documents by ``==``, hence ``top_k_tokens=0``, and asks for one that shares no token: ``fill``."""

    @pytest.fixture
    def vectorstore(self, encoder, path):
        with PixieVectorStore.from_texts([], encoder=encoder, path=path, fill=True, top_k_tokens=0) as store:
            yield store


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, encoder, path):
        with PixieRetriever.from_texts([], encoder=encoder, path=path) as retriever:
            yield retriever


class TestAsyncDocumentIndex(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, encoder):
        with PixieRetriever.from_texts([], encoder=encoder) as retriever:
            yield retriever
