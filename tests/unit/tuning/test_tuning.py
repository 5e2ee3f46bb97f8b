"""Factors are learned where they help, and refused where they do not; what a person set stays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pixie_retrievers import Document, InvalidParameterError, Rules, SparseRetriever, SparseVectors, rules_of
from pixie_retrievers.rules.rules import Factor, Origin, Term
from pixie_retrievers.tuning.candidates import found_candidates
from pixie_retrievers.tuning.judgements import read_questions
from pixie_retrievers.tuning.learning import learn

N = 120


class Words:
    """A word is a term; two texts that have it share it. Word 0 is noise that half of all texts have."""

    vocabulary_size, fingerprint = 500, "words"

    def encode_documents(self, texts, *, show_progress=False):
        rows = [{int(word): 3.0 if word == "0" else 1.0 for word in text.split()} for text in texts]
        return SparseVectors.from_dicts(rows, 500).with_literal([row.keys() for row in rows])

    encode_queries = encode_documents

    def tokens(self, term_ids):
        return [f"#{term}" for term in term_ids]

    def surfaces(self, term_ids):
        return [str(term) for term in term_ids]


@pytest.fixture
def retriever():
    """Document n is about words n + 1 and n + 201; every question has the noise, and so do the wrong documents."""
    with SparseRetriever.open(encoder=Words()) as retriever:
        retriever.add([Document(f"d{n}", f"{n + 1} {n + 201}") for n in range(N)])
        retriever.add([Document(f"noise{n}", f"0 {401 + n}") for n in range(20)])
        yield retriever


JUDGED = [{"question": f"0 {n + 1} {n + 201}", "relevant": [f"d{n}"]} for n in range(N)]


def test_what_misleads_every_question_is_weakened_and_the_gain_is_beyond_chance(retriever):
    report = retriever.tune(JUDGED)
    assert report.is_beyond_chance
    assert report.after > report.before + 0.2
    assert report.split_by == "document"
    assert report.n_learned + report.n_held_out == N
    assert (report.changed[0].term.surface, report.changed[0].factor < 0.5) == ("0", True)
    assert not retriever.rules
    retriever.set_rules(report.rules)
    assert retriever.search(JUDGED[0]["question"])[0].document.id == "d0"
    (noise,) = [c for c in retriever.explain("0 1", "noise0").contributions if c.surface == "0"]
    assert f"from {report.n_learned} questions" in noise.rule.origin
    assert retriever.undo_rules() == Rules()


def test_the_same_judgements_give_the_same_report(retriever):
    assert retriever.tune(JUDGED) == retriever.tune(JUDGED)


def test_what_cannot_get_better_is_left_alone(retriever):
    judged = [{"question": f"{n + 1} {n + 201}", "relevant": [f"d{n}"]} for n in range(N)]
    report = retriever.tune(judged)
    assert (report.rules, report.before, report.gain) == (None, 1.0, 0.0)
    assert not report.is_beyond_chance


def test_judgements_of_chance_change_nothing(retriever):
    rng = np.random.default_rng(3)
    judged = [{"question": f"{n + 1} {rng.integers(1, 100)}", "relevant": [f"d{rng.integers(0, N)}"]} for n in range(N)]
    assert retriever.tune(judged).rules is None


def test_what_a_person_set_stays_and_what_was_learned_makes_way(retriever):
    by_hand = Rules((Factor(Term(0, "#0", "0"), 0.9),))
    earlier = Rules((Factor(Term(7, "#7", "7"), 2.0, Origin("2026-01-01", 50)),))
    retriever.set_rules(by_hand.merged(earlier))
    report = retriever.tune(JUDGED)
    assert 0 not in {one.term.id for one in report.changed}
    assert any("1 factors learned earlier" in note or "1 factor learned earlier" in note for note in report.notes)
    if report.rules is not None:
        assert report.rules.by_hand == replace(by_hand)


def test_targets_of_expansions_are_left_to_the_person_too(retriever):
    retriever.set_rules(Rules((), rules_of_terms(1, 0)))
    assert 0 not in {one.term.id for one in retriever.tune(JUDGED).changed}


def rules_of_terms(source, target):
    from pixie_retrievers.rules.rules import Expansion

    return (Expansion((Term(source, f"#{source}", str(source)),), Term(target, f"#{target}", str(target)), 0.5),)


def test_fewer_than_thirty_questions_are_refused_with_the_reason(retriever):
    with pytest.raises(InvalidParameterError, match=r"^29 of 29 questions in 29 rows .* 30 are the least"):
        retriever.tune(JUDGED[:29])
    with pytest.raises(InvalidParameterError, match=r"^0 of no rows"):
        retriever.tune([])
    lost = [row | {"relevant": ["nowhere"]} for row in JUDGED]
    with pytest.raises(InvalidParameterError, match=r"^0 of 120 .* 1 ids are not in the index, such as 'nowhere'"):
        retriever.tune(lost)


def test_unknown_ids_are_counted_and_named(retriever):
    judged = [*JUDGED, {"question": "0 9", "relevant": ["gone", "d8"]}, {"question": "5", "relevant": ["away"]}]
    report = retriever.tune([*judged, JUDGED[0]])
    assert report.unknown_ids == ("away", "gone")
    assert (report.n_dropped, report.n_merged) == (1, 1)


def test_a_log_of_clicks_teaches_what_was_passed_over(retriever):
    rows = []
    for n in range(N):
        question = f"0 {n + 1} {n + 201}"
        shown = [result.document.id for result in retriever.search(question, 5)]
        rows.append({"question": question, "shown": [*shown[:4], f"d{n}"], "clicked": [f"d{n}"]})
    report = retriever.tune(rows)
    assert report.is_beyond_chance
    assert report.changed[0].term.surface == "0"
    assert report.changed[0].factor < 1
    assert "clicks" in report.measured
    assert any("People click what stands first" in note for note in report.notes)


def test_clicks_on_the_first_place_teach_nothing_and_are_measured_on(retriever):
    rows = []
    for n in range(N):
        shown = [f"noise{n % 20}", f"d{n}"]
        rows.append({"question": f"0 {n + 1} {n + 201}", "shown": shown, "clicked": [shown[n < 60]]})
    report = retriever.tune(rows)
    assert report.n_learned < 60 < report.n_learned + report.n_held_out
    assert 0.64 < report.before < 1, "some of what is measured was in order as it was shown"


def test_clicks_on_the_first_alone_teach_nothing(retriever):
    rows = [{"question": f"{n + 1}", "shown": [f"d{n}", "noise0"], "clicked": [f"d{n}"]} for n in range(N)]
    with pytest.raises(InvalidParameterError, match="with a click below another document"):
        retriever.tune(rows)


def test_a_report_is_plain_json_too(retriever):
    report = retriever.tune(JUDGED)
    plain = report.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["gained"][0]["after"] > plain["gained"][0]["before"]
    assert report.summary in plain["summary"]


def test_factors_are_held_to_one_the_stronger_the_more(retriever):
    questions = list(read_questions(JUDGED).questions)
    vectors = Words().encode_queries([question.text for question in questions])
    rng = np.random.default_rng(0)
    found = found_candidates(retriever.index, vectors, questions, np.zeros(500, bool), rng, lambda n: None)
    rows = np.arange(len(found))
    assert found.scores(rows, np.ones(501, np.float32))[0].max() == pytest.approx(9.0)  # the noise
    changes = [
        np.abs(np.log(learn(found, rows, strength=strength, vocabulary_size=500, rng=rng))).sum()
        for strength in (1.0, 0.1, 0.001)
    ]
    assert changes == sorted(changes)
    assert changes[0] < 0.5 * changes[2]


def test_hand_set_words_and_learned_ones_are_told_apart(encoder):
    assert rules_of(encoder, {"풀": 0.5}).by_hand == rules_of(encoder, {"풀": 0.5})
    assert not rules_of(encoder, {"풀": 0.5}, origin=Origin("2026-11-27", 40)).by_hand
