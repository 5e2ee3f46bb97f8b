"""Long documents in passages: short enough, whole sentences, nothing lost, and some of the last in the next."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixie_retrievers import Document, SparseRetriever, split_documents
from pixie_retrievers.errors import InvalidParameterError

RULES = "".join(f"제{n}조 이 규정은 회사의 휴가를 정한다. 직원은 {n}일을 쓸 수 있다!\n" for n in range(60))


def passages(encoder, text, max_tokens, **options):
    return list(split_documents([Document("rules", text)], encoder, max_tokens, **options))


def test_passages_are_short_enough_and_end_where_sentences_end(encoder):
    found = passages(encoder, RULES, 64)
    assert max(encoder.count_tokens([passage.text for passage in found])) <= 64
    assert min(encoder.count_tokens([passage.text for passage in found[:-1]])) > 32
    assert all(passage.text[-1] in ".!" for passage in found)
    assert [passage.id for passage in found] == [f"rules#{n}" for n in range(1, len(found) + 1)]
    assert found[1].metadata == {"source": "rules", "passage": 2}


def test_a_passage_begins_with_the_last_sentences_of_the_one_before(encoder):
    found = passages(encoder, RULES, 64, overlap=24)
    for last, this in pairwise(found):
        repeated = next(n for n in range(len(last.text), 0, -1) if this.text.startswith(last.text[-n:]))
        assert repeated > 10
        assert encoder.count_tokens([last.text[-repeated:]])[0] <= 24 + 2  # special tokens
    apart = passages(encoder, RULES, 64, overlap=0)
    assert "".join("".join(p.text for p in apart).split()) == "".join(RULES.split())


def test_a_short_document_is_one_passage_with_its_metadata(encoder):
    document = Document("a", "짧은 글.", {"source": "a.md", "year": 2024})
    assert list(split_documents([document, Document("b", "")], encoder)) == [
        Document("a#1", "짧은 글.", {"source": "a.md", "year": 2024, "passage": 1}),
        Document("b#1", "", {"source": "b", "passage": 1}),
    ]


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(["위성", " ", ". ", "\n", "!", "🍎", "긴" * 90, "a b ", "ﷺ", "\u3000"]), max_size=80
    ),
    max_tokens=st.integers(16, 60),
    share=st.floats(0, 0.5),
)
def test_whatever_the_text_nothing_is_lost_or_too_long(encoder, parts, max_tokens, share):
    text = "".join(parts)
    found = passages(encoder, text, max_tokens, overlap=int(max_tokens * share))
    counts = encoder.count_tokens([passage.text for passage in found])
    assert all(n <= max_tokens or len(p.text) == 1 for n, p in zip(counts, found, strict=True))
    end = 0  # each passage stands in the text, and begins no later than the last one ended
    for passage in found:
        between = text[end:]
        at = text.rfind(passage.text, 0, end + len(between) - len(between.lstrip()) + len(passage.text))
        assert at >= 0
        end = max(end, at + len(passage.text))
    assert not text[end:].strip()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 15}, "max_tokens"),
        ({"max_tokens": 100_000}, "reads at most"),
        ({"max_tokens": 64, "overlap": 33}, "half"),
        ({"overlap": -1}, "overlap"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(encoder, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        split_documents([], encoder, **options)


def test_the_end_of_a_long_document_is_found_once_it_is_in_passages(encoder):
    text = RULES * 10 + "탑재체의 거울은 열에 따른 변형이 적은 재료로 만든다."
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_stream(split_documents([Document("rules", text)], encoder))
        best = retriever.search("탑재체의 거울", k=1)[0].document
    assert best.metadata["source"] == "rules"
    assert "거울" in best.text
