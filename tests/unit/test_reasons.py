"""What a retriever says when somebody asks why: of a text, of two documents, of a document that was not found."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import (
    Document,
    DocumentNotFoundError,
    FilterError,
    InvalidParameterError,
    PixieEncoder,
    PixieWarning,
    SparseRetriever,
    SparseVectors,
)

QUERY = "지구를 도는 위성"
TEXTS = {
    "orbit": "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "rocket": "로켓은 위성을 우주로 쏘아 올린다.",
    "moon": "달은 지구를 도는 하나뿐인 자연 위성이다.",
    "rice": "벼는 물을 채운 논에서 자란다.",
    "emoji": "\U0001f34e",
}


@pytest.fixture(scope="module")
def retriever(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add([Document(id, text, {"n": n}) for n, (id, text) in enumerate(TEXTS.items())])
        yield retriever


class Letters:
    """An encoder with nothing beyond the protocol: a letter is a term, and so is "x", which it adds to every text."""

    vocabulary_size, fingerprint = 128, "letters"

    def encode_documents(self, texts, *, show_progress=False):
        rows = [{ord(letter): float(text.count(letter)) for letter in text} | {ord("x"): 0.5} for text in texts]
        return SparseVectors.from_dicts(rows, 128).with_literal([{ord(letter) for letter in text} for text in texts])

    encode_queries = encode_documents

    def tokens(self, term_ids):
        return [chr(term) for term in term_ids]

    surfaces = tokens


@pytest.fixture
def letters():
    with SparseRetriever.open(encoder=Letters()) as retriever:
        retriever.add([Document("a", "aab"), Document("b", "abbc"), Document("c", "cccd", {"n": 1})])
        yield retriever


# One text


def test_a_query_is_explained_by_every_token_that_it_is_searched_with(retriever):
    told = retriever.explain_query(QUERY)
    vector = retriever.encoder.encode_queries([QUERY])
    assert {token.token_id: token.weight for token in told.tokens} == vector.to_dicts()[0]
    assert [token.weight for token in told.tokens] == sorted((t.weight for t in told.tokens), reverse=True)
    assert (told.text, told.kind, told.id, told.read) == (QUERY, "query", None, (0, len(QUERY)))
    literal = {token.surface: [QUERY[a:b] for a, b in token.spans] for token in told.tokens if token.literal}
    assert literal["위성"] == ["위성"]
    assert all(literal.values())
    assert not any(token.spans or token.raised_by for token in told.tokens if not token.literal)


def test_a_document_is_explained_as_the_index_stores_it(retriever):
    told = retriever.explain_document("moon")
    assert (told.text, told.kind, told.id) == (TEXTS["moon"], "document", "moon")
    assert {token.token_id: token.weight for token in told.tokens} == retriever.index.vectors(["moon"]).to_dicts()[0]
    with pytest.raises(DocumentNotFoundError, match="'nowhere'"):
        retriever.explain_document("nowhere")


def test_what_raised_a_token_is_found_when_it_is_asked_for(retriever):
    told = retriever.explain_document("moon", raised_by=True)
    added = [token for token in told.tokens if not token.literal]
    assert added
    for token in added:
        assert token.raised_by.weight == pytest.approx(token.weight, abs=1e-5)
        assert token.raised_by.span is None or token.raised_by.by in TEXTS["moon"]
    assert not any(token.raised_by for token in told.tokens if token.literal)
    assert retriever.explain_query(QUERY, raised_by=True).tokens[0].raised_by is None


def test_an_explanation_of_a_match_says_which_word_of_the_document_raised_it(retriever):
    plain, told = (retriever.explain(QUERY, "orbit", raised_by=asked) for asked in (False, True))
    assert plain.raised_by is None
    assert told.raised_by.keys() <= {c.token_id for c in told.contributions if not c.in_document}
    assert "raised_by" not in plain.to_dict()
    assert len(told.to_dict()["raised_by"]) == len(told.raised_by)
    assert told.contributions == plain.contributions


def test_a_vector_of_another_text_is_not_said_to_be_raised_by_this_one(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.index.upsert([Document("1", "벼")], encoder.encode_documents(["위성의 궤도를 살핀다"]))
        assert all(token.raised_by is None for token in retriever.explain_document("1", raised_by=True).tokens)


def test_an_encoder_without_spans_explains_all_the_same(letters):
    told = letters.explain_document("a")
    assert [(t.surface, t.weight, t.literal, t.spans) for t in told.tokens] == [
        ("a", 2.0, True, ()), ("b", 1.0, True, ()), ("x", 0.5, False, ())
    ]  # fmt: skip
    assert told.read is None
    with pytest.raises(InvalidParameterError, match="a Letters cannot say what raised a token"):
        letters.explain_query("a", raised_by=True)


# Two documents


def test_two_documents_are_compared_token_by_token(letters):
    told = letters.compare("ab", "a", "b")
    assert [(t.surface, t.contribution_a, t.contribution_b, t.difference) for t in told.tokens] == [
        ("a", 2.0, 1.0, 1.0), ("b", 1.0, 2.0, -1.0), ("x", 0.25, 0.25, 0.0)
    ]  # fmt: skip
    assert (told.a.score, told.b.score, told.difference) == (3.25, 3.25, 0.0)


def test_the_differences_sum_to_the_difference_of_the_scores(retriever):
    told = retriever.compare(QUERY, "moon", "rocket")
    assert told.a.score == retriever.explain(QUERY, "moon").score
    assert sum(token.difference for token in told.tokens) == pytest.approx(told.difference)
    assert [abs(token.difference) for token in told.tokens] == sorted(
        (abs(token.difference) for token in told.tokens), reverse=True
    )
    back = retriever.compare(QUERY, "rocket", "moon")
    assert back.difference == -told.difference
    with pytest.raises(DocumentNotFoundError, match="'nowhere'"):
        retriever.compare(QUERY, "moon", "nowhere")


# Why not


def test_what_is_found_is_said_to_be_found(retriever):
    best = retriever.search(QUERY)
    for rank, result in enumerate(best, start=1):
        told = retriever.why_not(QUERY, result.document.id)
        assert (told.verdict, told.rank, told.score) == ("found", rank, result.score)
        assert told.comparison is None
        assert "It is found" in told.summary


def test_what_is_ranked_lower_has_its_rank_its_gap_and_the_tokens_that_cost_it(retriever):
    *_, last = retriever.search(QUERY)
    first = retriever.search(QUERY, 1)[0]
    told = retriever.why_not(QUERY, last.document.id, k=1)
    assert (told.verdict, told.rank) == ("ranked lower", len(retriever.search(QUERY)))
    assert told.score_to_beat == first.score
    assert told.gap == first.score - last.score
    assert told.comparison.a.document.id == first.document.id
    assert told.cost
    assert all(token.difference > 0 for token in told.cost)
    assert f"rank {told.rank}" in told.summary


def test_a_rank_is_looked_for_as_deep_as_it_takes(letters):
    letters.add([Document(f"n{n}", "a" * (300 - n)) for n in range(250)])
    told = letters.why_not("a", "a", k=2)
    assert (told.verdict, told.rank) == ("ranked lower", 251)
    assert letters.why_not("a", "n0", k=2).rank == 1


def test_what_shares_no_token_is_compared_with_what_does(retriever):
    told = retriever.why_not(QUERY, "emoji", k=1)
    assert (told.verdict, told.rank, told.score) == ("shares no token", None, 0.0)
    assert told.comparison.b.score == 0
    assert "shares no token" in told.summary
    nothing = retriever.why_not("\U0001f680", "rice", k=1)
    assert (nothing.verdict, nothing.comparison, nothing.cost, nothing.gap) == ("shares no token", None, (), None)


def test_a_filter_that_keeps_a_document_out_is_named(retriever):
    for id in ("moon", "emoji"):
        assert retriever.why_not(QUERY, id, filter={"n": {"$lt": 2}}).verdict == "filtered out"
    assert retriever.why_not(QUERY, "moon", filter={"n": 2}).rank == 1
    assert retriever.why_not(QUERY, "moon", filter=lambda metadata: metadata["n"] != 2).verdict == "filtered out"
    with pytest.raises(FilterError):
        retriever.why_not(QUERY, "moon", filter={"n": {"$near": 2}})


def test_what_is_not_there_is_not_there(retriever):
    told = retriever.why_not(QUERY, "nowhere")
    assert (told.verdict, told.rank, told.score, told.gap) == ("not there", None, None, None)
    with pytest.raises(InvalidParameterError, match="k is 0"):
        retriever.why_not(QUERY, "moon", k=0)


@pytest.mark.parametrize("n_more", [0, 5_000])
def test_what_the_models_length_cost_a_document_is_said(n_more):
    text = "벼는 물을 채운 논에서 자란다. " * 20 + "끝에 위성이 나온다. " + "벼가 자란다. " * n_more
    with SparseRetriever.open(encoder=PixieEncoder.bundled(device="cpu", max_length=32)) as retriever:
        with pytest.warns(PixieWarning, match="read only the beginning"):
            retriever.add([Document("long", text), Document("short", "위성이 나온다.")])
        told = retriever.why_not("논 위성", "long", k=1)
        assert told.cut
        assert [(token.surface, [text[a:b] for a, b in token.spans]) for token in told.unread] == [("위성", ["위성"])]
        assert "does not read of its text has 1 more" in told.summary
        read = retriever.explain_document("long").read
        assert read[0] == 0
        assert read[1] < text.index("위성")
        assert not retriever.why_not("위성", "short", k=1).cut


def test_everything_is_plain_json(retriever):
    for told in (
        retriever.explain_query(QUERY, raised_by=True),
        retriever.explain_document("moon"),
        retriever.compare(QUERY, "moon", "rocket"),
        *(retriever.why_not(QUERY, id, k=1) for id in [*TEXTS, "nowhere"]),
        retriever.explain(QUERY, "orbit", raised_by=True),
    ):
        plain = told.to_dict()
        assert json.loads(json.dumps(plain)) == plain
