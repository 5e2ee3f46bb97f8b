"""Who opened an index closes it; what is not a facade is refused at once, by every door in the same words."""

from __future__ import annotations

import pytest

from pixie_retrievers import IndexClosedError, InvalidParameterError, SparseRetriever, open_index
from pixie_retrievers.ownership import Owner
from pixie_retrievers.tools import ToolIndex


class Door(Owner):
    def __init__(self, sparse_retriever, *, fail=False):
        if fail:
            raise InvalidParameterError("refused")
        self.sparse_retriever = sparse_retriever
        self._owns_index = False


def is_open(retriever):
    try:
        len(retriever)
    except IndexClosedError:
        return False
    return True


@pytest.fixture
def retriever(encoder, tmp_path):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."])
        yield retriever


def test_what_was_passed_in_stays_open(retriever):
    for door in (Door(retriever), Door._over(retriever, None), Door._over(retriever.index, retriever.encoder)):
        with door as entered:
            assert entered is door
        assert is_open(retriever)


def test_what_was_opened_is_closed(retriever, encoder):
    with Door._over(retriever.index.path, encoder) as door:
        assert is_open(door.sparse_retriever)
    assert not is_open(door.sparse_retriever)
    door.close()
    with Door._owning(retriever) as door:
        pass
    assert is_open(retriever)
    door.close()
    assert not is_open(retriever)


def test_what_was_opened_is_closed_when_its_owner_cannot_be_made(retriever, encoder):
    path = retriever.index.path
    first, second = (SparseRetriever(encoder, open_index(path)) for _ in range(2))
    with pytest.raises(InvalidParameterError, match="refused"), Door._owning(first, fail=True):
        pytest.fail("made")
    assert not is_open(first)
    with pytest.raises(KeyError), Door._owning(second):
        raise KeyError
    assert not is_open(second)
    with pytest.raises(InvalidParameterError, match="refused"):
        Door._over(retriever, None, fail=True)
    assert is_open(retriever)


def langchain_store(value):
    return pytest.importorskip("pixie_retrievers.langchain").PixieVectorStore(value)


def langchain_retriever(value):
    return pytest.importorskip("pixie_retrievers.langchain").PixieRetriever(sparse_retriever=value)


def llama_index_retriever(value):
    return pytest.importorskip("pixie_retrievers.llama_index").PixieRetriever(value)


@pytest.mark.parametrize("door", [ToolIndex, langchain_store, langchain_retriever, llama_index_retriever])
@pytest.mark.parametrize("value", [3, None, b"corpus.db"])
def test_what_is_not_a_facade_is_refused_at_once(door, value):
    message = rf"sparse_retriever is of type {type(value).__name__}; it must be a SparseRetriever: .*open makes one"
    with pytest.raises(InvalidParameterError, match=message):
        door(value)


def test_whoever_passes_nodes_is_told_what_takes_them():
    with pytest.raises(InvalidParameterError, match="from_nodes takes nodes"):
        llama_index_retriever([])


def test_the_llama_index_store_says_what_else_it_takes():
    store = pytest.importorskip("pixie_retrievers.llama_index").PixieVectorStore
    with pytest.raises(InvalidParameterError, match="of type int: pass a path, an open index or a SparseRetriever"):
        store(3)
