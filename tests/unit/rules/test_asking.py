"""Rules in an index: kept, seen by every reader, seen in every explanation, taken back."""

from __future__ import annotations

import json
import pickle

import pytest

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    IncompatibleIndexError,
    InvalidParameterError,
    PixieWarning,
    Rules,
    SparseRetriever,
    rules_of,
    show,
    to_html,
    to_text,
)
from pixie_retrievers.rules.files import write_rules
from pixie_retrievers.rules.rules import Factor, Origin, Term
from pixie_retrievers.types import sum_contributions

TEXTS = {
    "pool": "스레드 풀은 스레드를 미리 만들어 둔다.",
    "riddle": "수수께끼는 이렇게 풀립니다.",
    "leave": "휴가는 한 해에 열다섯 날이다.",
}
QUERY = "스레드 풀"


@pytest.fixture
def path(tmp_path, encoder):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add([Document(id, text) for id, text in TEXTS.items()])
    return tmp_path / "corpus.db"


@pytest.fixture
def retriever(path, encoder):
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        yield retriever


def ids(results):
    return [result.document.id for result in results]


def whole(explanation):
    return sum_contributions(c.contribution for c in sorted(explanation.contributions, key=lambda c: c.token_id))


def test_rules_hold_for_every_way_of_asking(retriever, encoder):
    assert ids(retriever.search(QUERY)) == ["pool", "riddle"]
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    assert ids(retriever.search(QUERY)) == ["pool"]
    assert ids(retriever.search_many([QUERY, "휴가"])[0]) == ["pool"]
    assert ids(retriever.search_diverse(QUERY)) == ["pool"]
    assert retriever.explain(QUERY, "riddle").score == 0
    assert retriever.explain_many(QUERY, [Document("new", TEXTS["riddle"])])[0].score == 0
    assert retriever.why_not(QUERY, "riddle").verdict == "shares no token"
    assert "풀" not in {token.surface for token in retriever.compare(QUERY, "pool", "riddle").tokens}
    assert {t.surface: t.weight for t in retriever.explain_query(QUERY).tokens}["풀"] == 0


def test_rules_are_switched_off_at_any_call(retriever, encoder):
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    assert ids(retriever.search(QUERY, rules=False)) == ["pool", "riddle"]
    assert ids(retriever.search_many([QUERY], rules=False)[0]) == ["pool", "riddle"]
    assert set(ids(retriever.search_diverse(QUERY, rules=False))) == {"pool", "riddle"}
    assert retriever.explain(QUERY, "riddle", rules=False).score > 0
    assert retriever.explain_many(QUERY, [Document("new", TEXTS["riddle"])], rules=False)[0].score > 0
    assert retriever.why_not(QUERY, "riddle", rules=False).verdict == "found"
    assert "풀" in {token.surface for token in retriever.compare(QUERY, "pool", "riddle", rules=False).tokens}
    assert all(token.rule is None for token in retriever.explain_query(QUERY, rules=False).tokens)


def test_other_rules_take_the_place_of_the_indexs_own(retriever, encoder, tmp_path):
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    other = rules_of(encoder, {"스레드": 0})
    assert ids(retriever.search(QUERY, rules=other)) == ids(retriever.search("풀", rules=False))
    write_rules(tmp_path / "rules.json", other)
    assert retriever.search(QUERY, rules=tmp_path / "rules.json") == retriever.search(QUERY, rules=other)


@pytest.mark.parametrize("rules", [None, 1, {"풀": 0}, ["풀"]])
def test_what_is_not_rules_is_refused(retriever, rules):
    with pytest.raises(InvalidParameterError, match="rules"):
        retriever.search(QUERY, rules=rules)
    with pytest.raises(InvalidParameterError, match="rules"):
        retriever.set_rules(rules)


def test_another_models_rules_are_refused_before_they_are_kept(retriever):
    with pytest.raises(IncompatibleIndexError, match="vocabulary of 8000"):
        retriever.set_rules(Rules((Factor(Term(9000, "x", "x"), 2),)))
    assert not retriever.rules


def test_contributions_under_rules_sum_to_the_score(retriever, encoder):
    retriever.set_rules(rules_of(encoder, {"풀": 0.3, "스레드": 1.7}, [("스레드", "휴가", 0.37)]))
    for result in retriever.search(QUERY, top_k_tokens=None):
        assert whole(result.explanation) == result.score
        again = retriever.explain(QUERY, result.document.id)
        assert (again.score, again.to_metadata()) == (result.score, result.explanation.to_metadata())


def test_an_explanation_says_what_rules_did_and_where_they_come_from(retriever, encoder):
    learned = rules_of(encoder, {"풀": 0.5}, origin=Origin("2026-11-27", 1000))
    retriever.set_rules(learned.merged(rules_of(encoder, None, [("스레드", "휴가", 0.25)])))
    plain = {c.surface: c for c in retriever.explain(QUERY, "pool", rules=False).contributions}
    told = {c.surface: c for c in retriever.explain(QUERY, "pool").contributions}
    assert told["풀"].rule.origin == "learned on 2026-11-27 from 1,000 questions"
    assert told["풀"].rule.model_weight == plain["풀"].query_weight
    assert told["풀"].query_weight == pytest.approx(0.5 * plain["풀"].query_weight)
    assert told["스레드"].rule is None
    (leave,) = retriever.explain(QUERY, "leave").contributions
    assert (leave.surface, leave.in_query, leave.rule.expanded_from) == ("휴가", False, ("스레드",))
    assert (leave.rule.model_weight, leave.rule.origin) == (0, "by hand")
    assert leave.query_weight == 0.25 * plain["스레드"].query_weight


def test_rules_are_seen_in_text_html_and_metadata(retriever, encoder):
    retriever.set_rules(rules_of(encoder, {"풀": 0.5}, [("스레드", "휴가", 0.25)]))
    results = retriever.search(QUERY)
    assert "query + text · × 0.5" in to_text(results)
    assert "rules by hand: 휴가 from 스레드 × 0.25" in to_text(results)
    assert "· × 0.5" in to_html(results)
    assert "rules by hand: 휴가 from 스레드 × 0.25" in to_html(results)
    assert "풀 · × 0.5" in to_text(retriever.compare(QUERY, "pool", "riddle"))
    assert "1 by a rule" in to_text(retriever.explain_query(QUERY))
    rows = {row["surface"]: row for row in results[0].explanation.to_metadata()}
    assert rows["풀"]["rule"]["factor"] == 0.5
    assert "rule" not in rows["스레드"]
    assert json.loads(json.dumps(results[0].to_dict())) == results[0].to_dict()
    assert pickle.loads(pickle.dumps(results)) == results


def test_rules_survive_the_way_through_a_frameworks_document(retriever, encoder):
    from langchain_core.documents import Document as Theirs

    retriever.set_rules(rules_of(encoder, {"풀": 0.5}))
    (result, *_) = retriever.search(QUERY, top_k_tokens=None)
    metadata = json.loads(json.dumps({"score": result.score, "token_explanations": result.explanation.to_metadata()}))
    (again,) = show(Theirs(id="pool", page_content=TEXTS["pool"], metadata=metadata))
    assert again.explanation.to_metadata() == result.explanation.to_metadata()


def test_every_reader_keeps_new_rules_at_its_next_search(retriever, path, encoder):
    with SparseRetriever.from_index(path, encoder=encoder, read_only=True) as reader:
        assert ids(reader.search(QUERY)) == ["pool", "riddle"]
        retriever.set_rules(rules_of(encoder, {"풀": 0}))
        assert ids(reader.search(QUERY)) == ["pool"]
        retriever.undo_rules()
        assert ids(reader.search(QUERY)) == ["pool", "riddle"]


def test_rules_are_read_once_for_each_change(retriever, encoder):
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    assert retriever.rules is retriever.rules
    first = retriever.rules
    retriever.add([Document("more", "더")])
    assert retriever.rules is first


def test_changes_are_numbered_and_undone(retriever, encoder):
    with pytest.raises(InvalidParameterError, match="nothing to undo"):
        retriever.undo_rules()
    first, second = rules_of(encoder, {"풀": 0}), rules_of(encoder, {"휴가": 2})
    assert [retriever.set_rules(one).version for one in (first, second)] == [1, 2]
    assert (retriever.undo_rules(), retriever.rules, retriever.rules.version) == (first, first, 3)
    assert retriever.undo_rules() == second
    retriever.set_rules(Rules())
    assert not retriever.rules
    assert retriever.undo_rules() == second


def test_a_change_of_somebody_else_meanwhile_is_not_lost(retriever, encoder):
    mine = retriever.rules.merged(rules_of(encoder, {"풀": 0}))
    theirs = retriever.set_rules(rules_of(encoder, {"휴가": 2}))
    with pytest.raises(InvalidParameterError, match="version 1, and yours were made from version 0; nothing"):
        retriever.set_rules(mine, base=mine.version)
    assert (retriever.rules, retriever.rules.version) == (theirs, 1)
    both = retriever.set_rules(theirs.merged(mine), base=theirs.version)
    assert (len(both), both.version) == (2, 2)


def test_rules_are_copied_and_checked_with_the_index(retriever, encoder, tmp_path):
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    retriever.backup(tmp_path / "copy.db")
    with SparseRetriever.open(tmp_path / "copy.db", encoder=encoder) as copy:
        assert copy.rules == retriever.rules
        assert copy.index.check().sound


def test_what_are_not_rules_in_an_index_is_said(retriever):
    retriever.index.attach("rules", b"{}")
    with pytest.raises(CorruptIndexError, match="not rules"):
        retriever.search(QUERY)
    assert retriever.search(QUERY, rules=False)


def test_rules_that_leave_nothing_of_a_question_warn(retriever, encoder):
    retriever.set_rules(rules_of(encoder, {"풀": 0}))
    with pytest.warns(PixieWarning, match="mute every token of 1 of 2 questions"):
        assert [ids(found) for found in retriever.search_many(["풀", "휴가"])] == [[], ["leave"]]


class NoPlace:
    """Somebody's own index: it has the protocol, and no place for rules."""

    def __init__(self, index):
        self._index = index

    def __getattr__(self, name):
        if name.startswith("attach"):
            raise AttributeError(name)
        return getattr(self._index, name)

    def __len__(self):
        return len(self._index)


def test_an_index_without_a_place_for_rules_takes_them_at_each_call(retriever, encoder):
    elsewhere = SparseRetriever(encoder, NoPlace(retriever.index))
    assert not elsewhere.rules
    assert ids(elsewhere.search(QUERY, rules=rules_of(encoder, {"풀": 0}))) == ["pool"]
    with pytest.raises(InvalidParameterError, match="no place for rules"):
        elsewhere.set_rules(Rules())
    with pytest.raises(InvalidParameterError, match="no place for rules"):
        elsewhere.undo_rules()
