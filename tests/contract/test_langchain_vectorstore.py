"""LangChain's own vector store and document index suites, over a real index file."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from pixie_retrievers.langchain import PixieRetriever, PixieVectorStore


class TestVectorStore(VectorStoreIntegrationTests):
    """It compares documents by ``==``, hence ``top_k_tokens=0``, and asks for one that shares no token: ``fill``."""

    @pytest.fixture
    def vectorstore(self, encoder, tmp_path):
        path = tmp_path / "store.db"
        with PixieVectorStore.from_texts([], encoder=encoder, path=path, fill=True, top_k_tokens=0) as store:
            yield store


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, encoder):
        with PixieRetriever.from_texts([], encoder=encoder) as retriever:
            yield retriever


class TestAsyncDocumentIndex(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, encoder):
        with PixieRetriever.from_texts([], encoder=encoder) as retriever:
            yield retriever
