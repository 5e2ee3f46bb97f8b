"""What takes several of something takes an iterator too: every public method, by its signature."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re

import pytest

from pixie_retrievers import Document, SparseRetriever, SqliteIndex
from pixie_retrievers.tools import ToolDescription, ToolIndex

TEXTS = ["위성은 지구를 돈다.", "벼는 논에서 자란다.", "달은 위성이다."]
IDS = ["a", "b", "c"]

SEVERAL = re.compile(r"(Iterable|Sequence|Collection|list)\[")
# Reaches what it is for in other processes, or is handed on as it is.
NOT_CALLED = {"devices", "node_postprocessors"}


def classes():
    yield from (SparseRetriever, SqliteIndex, ToolIndex)
    for adapter, framework in (("langchain", "langchain_core"), ("llama_index", "llama_index.core")):
        if importlib.util.find_spec(framework.partition(".")[0]):
            package = importlib.import_module(f"pixie_retrievers.{adapter}")
            yield from (getattr(package, name) for name in package.__all__ if inspect.isclass(getattr(package, name)))


def methods(cls):
    for name, member in inspect.getmembers(cls, callable):
        function = getattr(member, "__func__", member)
        if name.startswith("_") or not str(getattr(function, "__module__", "")).startswith("pixie_retrievers"):
            continue
        for parameter in inspect.signature(function).parameters.values():
            if SEVERAL.match(str(parameter.annotation)) and parameter.name not in NOT_CALLED:
                yield pytest.param(
                    cls, name, parameter.name, id=f"{cls.__module__}.{cls.__name__}.{name}.{parameter.name}"
                )


def texts_as(kind):
    if kind == "langchain":
        from langchain_core.documents import Document as Page

        return [Page(text, id=id) for id, text in zip(IDS, TEXTS, strict=True)]
    if kind == "llama_index":
        from llama_index.core.schema import TextNode

        return [TextNode(text=text, id_=id) for id, text in zip(IDS, TEXTS, strict=True)]
    return [Document(id, text) for id, text in zip(IDS, TEXTS, strict=True)]


def values_for(cls, encoder):
    """By its name, what a parameter is given."""
    kind = cls.__module__.split(".")[1]
    several = texts_as(kind)
    vectors = encoder.encode_documents(TEXTS)
    vector = encoder.encode_queries(["위성"])
    return {
        **dict.fromkeys(("documents", "nodes", "items"), several),
        **dict.fromkeys(("queries", "inputs"), vector if cls is SqliteIndex else ["위성", "벼"]),
        **dict.fromkeys(("ids", "node_ids"), IDS[:2]),
        "texts": TEXTS,
        "metadatas": [{"n": n} for n in range(3)],
        "among": ["weather"],
        "tools": [ToolDescription("weather", "도시의 날씨"), ToolDescription("mail", "편지")],
        "transformations": [],
        "query": vector if cls is SqliteIndex else "위성",
        "request": "날씨",
        "questions": [f"{n}번째 위성은 무엇을 하는가?" for n in range(60)],
        "changes": {"new": True},
        "vectors": vectors,
        "k": 3,
        "encoder": encoder,
    }


def owner_of(cls, encoder):
    store = SparseRetriever.open(encoder=encoder)
    if cls is ToolIndex:
        index = ToolIndex(store)
        index.sync(values_for(cls, encoder)["tools"])
        return index, store
    store.add_texts(TEXTS, [{"n": 9}] * 3, IDS)
    if cls is SparseRetriever:
        return store, store
    if cls is SqliteIndex:
        return store.index, store
    if cls.__name__ == "PixieSparseEmbeddings":
        return cls(encoder), store
    if cls.__name__ == "SparseOnly":
        return cls(), store
    return cls(sparse_retriever=store) if cls.__name__ == "PixieRetriever" else cls(store), store


def outcome(cls, method, parameter, encoder, given):
    """What a call returns, and what is stored behind it."""
    owner, store = owner_of(cls, encoder)
    values = values_for(cls, encoder)
    call = getattr(owner, method)
    signature = inspect.signature(call)
    if "texts" in signature.parameters:
        values["ids"] = IDS
    with store:
        arguments, named = [], {}
        for one in signature.parameters.values():
            if one.name != parameter and (one.default is not one.empty or one.kind is one.VAR_KEYWORD):
                if one.name in ("encoder", "transformations"):
                    named[one.name] = values[one.name]
                elif one.kind is one.VAR_KEYWORD and "from_" in method and "encoder" not in signature.parameters:
                    named["encoder"] = encoder
                continue
            value = given(values[one.name]) if one.name == parameter else values[one.name]
            if one.kind is one.POSITIONAL_ONLY:
                arguments.append(value)
            else:
                named[one.name] = value
        found = call(*arguments, **named)
        if inspect.isawaitable(found):
            found = asyncio.run(found)
        if hasattr(found, "sparse_retriever"):  # a constructor's
            with found:
                found = found.sparse_retriever.get(found.sparse_retriever.index.ids())
        return repr(found), repr(store.get(store.index.ids()))


@pytest.mark.parametrize(("cls", "method", "parameter"), [one for cls in classes() for one in methods(cls)])
def test_an_iterator_is_read_as_a_list_is(cls, method, parameter, encoder):
    expected = outcome(cls, method, parameter, encoder, list)
    assert outcome(cls, method, parameter, encoder, iter) == expected
    function = getattr(getattr(cls, method), "__func__", getattr(cls, method))
    assert str(inspect.signature(function).parameters[parameter].annotation).startswith("Iterable[")
