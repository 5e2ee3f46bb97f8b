"""A query table for an index: learned, measured on what was kept out, kept with the documents."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from pixie_retrievers import (
    Document,
    InvalidParameterError,
    InvalidTextError,
    SparseRetriever,
    SparseVectors,
    SqliteIndex,
)
from pixie_retrievers.queries import stored_table


@pytest.fixture
def retriever(path, encoder):
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        yield retriever


def test_without_questions_it_learns_from_the_documents_sentences(retriever):
    report = retriever.derive_query_table()
    assert report.source == "sentences"
    assert report.n_learned >= 9 * report.n_held_out > 0
    assert report.kept
    assert report.table.sha256 == stored_table(retriever.index).sha256
    origin = report.table.origin
    assert (origin.model, origin.n_texts) == (retriever.encoder.fingerprint, report.n_learned)
    assert origin.created == f"{datetime.now().astimezone():%Y-%m-%d}"
    assert origin.overlap == pytest.approx(report.overlap, abs=1e-4)
    assert 0.5 < report.overlap <= 1
    assert (report.ndcg, report.model_ndcg) == (None, None)
    assert report.table_ms > 0 < report.model_ms
    assert [v.overlap for v in report.variants] == sorted((v.overlap for v in report.variants), reverse=True)
    assert {"mean", "idf-2", "idf-5", "idf-10", "documents-5", "both-10"} <= {
        variant.name for variant in report.variants
    }


def test_the_same_documents_give_the_same_table(retriever):
    assert retriever.derive_query_table().table.sha256 == retriever.derive_query_table(keep=False).table.sha256


def test_questions_are_learned_from_when_they_are_given(retriever, questions):
    report = retriever.derive_query_table((question for question in questions), max_texts=50, keep=False)
    assert (report.source, report.n_learned, report.n_held_out) == ("questions", 50, 6)
    assert not report.kept
    assert stored_table(retriever.index) is None


def test_judged_questions_say_what_it_costs(retriever, questions):
    rows = [{"question": q, "relevant": {f"{n // 6}-{n % 6}": 2, "nowhere": 1}} for n, q in enumerate(questions)]
    report = retriever.derive_query_table(judged=rows)
    assert (report.source, report.n_learned, report.n_held_out) == ("questions", 54, 6)
    assert 0 < report.ndcg <= 1
    assert 0 < report.model_ndcg <= 1
    assert report.ndcg == pytest.approx(max(variant.ndcg for variant in report.variants), abs=0.002)
    assert f"{report.ndcg:.4f}" in str(report)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["model_ndcg"] == report.model_ndcg
    assert plain["chosen"]["name"] == report.chosen.name == report.table.origin.method


def test_expansions_are_left_out_where_they_are_not_wanted(retriever):
    report = retriever.derive_query_table(expansions=False, keep=False)
    assert not any("added" in variant.name for variant in report.variants)
    assert len(report.table.expansions.terms) == 0


def test_the_table_answers_as_the_model_does_or_nearly(retriever, path, questions):
    report = retriever.derive_query_table()
    with SparseRetriever.open(path, queries="inference-free") as fast:
        same = [
            len({r.document.id for r in fast.search(q)} & {r.document.id for r in retriever.search(q)}) / 10
            for q in questions
        ]
        assert sum(same) / len(same) > 0.6
        for result in fast.search(questions[7], 5):
            why = result.explanation
            assert why.score == pytest.approx(sum(one.contribution for one in why.contributions) + why.residual)
            assert why.score == result.score
            assert any(one.in_query for one in why.contributions)
        assert fast.explain(questions[7], "1-1").score > 0
        assert report.table.fingerprint in fast.query_fingerprint


def test_too_little_to_learn_from_is_said_before_the_model_runs(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."])
        with pytest.raises(InvalidParameterError, match="fewer than 50"):
            retriever.derive_query_table()
        with pytest.raises(InvalidParameterError, match="fewer than 50"):
            retriever.derive_query_table(["위성은?"] * 100)
        assert retriever.index.attachments() == {}


@pytest.mark.parametrize("wrong", ["one string", [3] * 60])
def test_what_are_not_questions_is_refused(retriever, wrong):
    with pytest.raises((InvalidParameterError, InvalidTextError)):
        retriever.derive_query_table(wrong)


def test_an_encoder_that_does_not_say_how_it_reads_is_refused(tmp_path):
    class Letters:
        vocabulary_size, fingerprint = 128, "letters"

        def encode_documents(self, texts, *, show_progress=False):
            return SparseVectors.from_dicts([{ord(c): 1.0 for c in text if ord(c) < 128} for text in texts], 128)

        encode_queries = encode_documents

        def tokens(self, term_ids):
            return [chr(term) for term in term_ids]

        surfaces = tokens

    with SparseRetriever(Letters(), SqliteIndex(tmp_path / "i.db", vocabulary_size=128, fingerprint="letters")) as one:
        one.add([Document("a", "abc")])
        with pytest.raises(InvalidParameterError, match="Letters"):
            one.derive_query_table(["abc"] * 3)
