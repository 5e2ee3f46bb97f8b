"""An index of small articles, of which a table can be learned."""

from __future__ import annotations

import pytest

from pixie_retrievers import Document, SparseRetriever

_THINGS = ["위성", "도서관", "김치", "기차", "은행", "법원", "논", "바다", "우주", "의사"]
_DOES = ["지구를 돈다", "저녁에 문을 연다", "겨울에 담근다", "부산으로 떠난다", "금리를 올린다", "판결을 내린다"]


@pytest.fixture
def path(tmp_path, encoder):
    path = tmp_path / "articles.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add(
            Document(
                f"{n}-{m}",
                f"{thing}에 관한 글의 {m}번째 쪽이다. 오늘도 {thing}은 {does}. 내일은 {_THINGS[(n + m) % 10]}을 본다.",
                {"title": f"{thing}과 {does}"},
            )
            for n, thing in enumerate(_THINGS)
            for m, does in enumerate(_DOES)
        )
    return path


@pytest.fixture
def questions():
    return [f"{thing}은 언제 {does[:-1]}까?" for thing in _THINGS for does in _DOES]
