"""The protocol's figures from the protocol's rules, and rankings that follow them."""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pixie_retrievers.cli.app import app
from pixie_retrievers.errors import (
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    OptionalDependencyError,
)
from pixie_retrievers.evaluation.collections import CARD_TASKS, card_task, read_folder
from pixie_retrievers.evaluation.metrics import CUTOFFS, Measures, measure
from pixie_retrievers.evaluation.report import Result, markdown, summarise, write_report
from pixie_retrievers.evaluation.systems import Bm25System, DenseSystem, SparseSystem, _best, fused

DATA = Path(os.environ.get("PIXIE_EVAL_DATA", "/none/such"))
DOCUMENTS = {
    "d1": ("위성", "정찰 위성은 국방 분야에서 쓰인다."),
    "d2": ("김치", "김치는 낮은 온도에서 천천히 익는다."),
    "d3": ("", "기준 금리가 오르면 대출 이자도 오른다."),
    "d4": ("", "위성 영상으로 바다의 온도를 살핀다."),
}
QUERIES = {"q1": "국방 위성", "q2": "김치 온도", "q3": "대출 금리", "unjudged": "바다"}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "small"
    (made / "qrels").mkdir(parents=True)
    corpus = [{"_id": id, "title": title, "text": text} for id, (title, text) in DOCUMENTS.items()]
    queries = [{"_id": id, "text": text} for id, text in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (made / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (made / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\nq3\td3\t1\nq3\td4\t0\n")
    return made


def ranks(system, collection):
    return {id: [document for document, _ in hits] for id, hits in system.rank(collection, lambda _: None).items()}


# Data


def test_a_folder_gives_judged_questions_and_documents_with_their_titles_in_front(folder):
    collection = read_folder(folder)
    assert (collection.task, collection.split) == ("small", "test")
    assert list(collection.queries) == ["q1", "q2", "q3"]
    assert collection.relevant["q3"] == {"d3": 1}
    for _ in range(2):  # as often as it is asked for
        texts = {document.id: document.text for document in collection.documents()}
        assert texts["d1"] == "위성 정찰 위성은 국방 분야에서 쓰인다."
        assert texts["d3"] == DOCUMENTS["d3"][1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("queries.jsonl", '{"_id": "q1"}\n', r"queries\.jsonl:1: there is no field 'text'"),
        ("queries.jsonl", '{"text": "a"}\n', r"queries\.jsonl:1: there is no id"),
        ("queries.jsonl", '[["q1"]]\n', r"queries\.jsonl, item 1"),
        ("queries.jsonl", '{"_id": "q9", "text": "a"}\n', "no question has a relevant document"),
        ("qrels/test.tsv", "a\tb\tc\nq1 d1 1\n", r"test\.tsv:2"),
        ("qrels/test.tsv", "a\tb\tc\nq1\td1\t0.5\n", r"test\.tsv:2: .*a whole number"),
    ],
)
def test_what_is_not_in_the_layout_is_refused_with_its_place(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises((InvalidParameterError, InvalidDocumentError), match=message):
        read_folder(folder)


@pytest.mark.parametrize(
    "content",
    [
        "q1\td1\t1\nq3\td3\t2\n",
        "query-id\tcorpus-id\tscore\r\n\r\nq1\td1\t1.0\r\n\r\nq3\td3\t2.0\r\n",
        "q1\t0\td1\t1\nq3\tQ0\td3\t2\nq3\t0\td4\t0\n",
        "\ufeff\nq1\td1\t1e0\nq3\td3\t2\nq3\td4\t-1.0",
    ],
    ids=["no header", "floats and blank lines", "as TREC has it", "a mark"],
)
def test_judgements_are_read_as_people_write_them(folder, content):
    (folder / "qrels/test.tsv").write_bytes(content.encode())
    assert read_folder(folder).relevant == {"q1": {"d1": 1}, "q3": {"d3": 2}}


def test_a_folder_may_be_of_other_formats_and_encodings(folder):
    expected = read_folder(folder)
    documents = list(expected.documents())
    (folder / "corpus.jsonl").unlink()
    rows = "".join(f'{id},{title},"{text}"\n' for id, (title, text) in DOCUMENTS.items())
    (folder / "corpus.csv.gz").write_bytes(gzip.compress(f"id,제목,본문\n{rows}".encode("cp949")))
    (folder / "queries.jsonl").write_text(json.dumps([{"id": id, "text": text} for id, text in QUERIES.items()]))
    (folder / "qrels/test.tsv").rename(folder / "qrels/tabs.txt")
    (folder / "qrels/test.csv").write_text("q1,d1,1\nq2,d2,1\nq3,d3,1\n", encoding="utf-16")
    with pytest.raises(InvalidTextError, match=r"corpus\.csv\.gz is not UTF-8 and seems to be cp949"):
        read_folder(folder)
    found = read_folder(folder, encoding="cp949")
    assert (found.queries, found.relevant) == (expected.queries, expected.relevant)
    assert list(found.documents()) == documents


def test_a_missing_file_split_or_task_is_named(folder):
    with pytest.raises(InvalidParameterError, match="no split 'dev'; there is test"):
        read_folder(folder, "dev")
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(InvalidParameterError, match=r"no corpus\.jsonl"):
        read_folder(folder)
    with pytest.raises(InvalidParameterError, match="BelebeleRetrieval"):
        card_task("none-such")


class Hub:
    """Rows as the hub's data sets have them."""

    ROWS = {  # noqa: RUF012
        ("taeminlee/Ko-StrategyQA", "corpus"): [{"_id": "d", "title": "t", "text": "x"}],
        ("taeminlee/Ko-StrategyQA", "queries"): [{"_id": "q", "text": "?"}],
        ("taeminlee/Ko-StrategyQA", "default"): [{"query-id": "q", "corpus-id": "d", "score": 1}],
        ("miracl/mmteb-miracl", "corpus-ko"): [{"docid": "1#0", "title": "t", "text": "x"}],
        ("miracl/mmteb-miracl", "queries-ko"): [{"query_id": "7", "query": "?"}],
        ("miracl/mmteb-miracl", "ko"): [{"query_id": "7", "docid": "1#0", "score": 1}],
        ("xhluca/publichealth-qa", "korean"): [
            {"question": "?", "answer": "x"},
            {"question": "??", "answer": "x"},
            {"question": "?", "answer": None},
        ],
        ("facebook/belebele", "kor_Hang"): [
            {"question": "a", "flores_passage": "x"},
            {"question": "b", "flores_passage": "x"},
            {"question": "a", "flores_passage": "y"},
        ],
        ("Shitao/MLDR", "corpus-ko"): [{"docid": "doc-1", "text": "x"}],
        ("Shitao/MLDR", "ko"): [{"query_id": "q-1", "query": "?", "positive_passages": [{"docid": "doc-1"}]}],
    }

    def __call__(self, path, configuration, split, revision=None):
        return self.ROWS[path, configuration]


def test_the_tasks_of_the_card_become_collections():
    assert len(CARD_TASKS) == 6
    found = {name: CARD_TASKS[name](Hub()) for name in CARD_TASKS if name != "AutoRAGRetrieval"}
    assert [c.split for c in found["MultiLongDocRetrieval"]] == ["dev", "test"]
    for name, collections in found.items():
        for collection in collections:
            assert collection.task == name
            documents = {document.id for document in collection.documents()}
            assert all(grades.keys() <= documents for grades in collection.relevant.values())
    assert next(iter(found["Ko-StrategyQA"][0].documents())).text == "t x"
    assert [d.text for d in found["PublicHealthQA"][0].documents()] == ["x"]
    assert list(found["BelebeleRetrieval"][0].relevant.values()) == [{"D0": 1, "D1": 1}, {"D0": 1}]


def test_a_task_without_the_package_for_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(OptionalDependencyError, match="pip install datasets"):
        card_task("PublicHealthQA")


# Metrics


def test_ndcg_is_linear_and_counts_questions_without_hits():
    relevant = {"a": {"x": 1, "y": 3}, "b": {"x": 1}}
    found = measure({"a": [("n", 3.0), ("y", 2.0), ("x", 1.0)]}, relevant)
    ideal = 3 + 1 / math.log2(3)
    expected = (3 / math.log2(3) + 1 / math.log2(4)) / ideal / 2
    assert found.ndcg[3] == found.ndcg[10] == pytest.approx(expected)
    assert found.ndcg[1] == 0
    assert found.recall == 0.5
    assert found.average == pytest.approx(sum(found.ndcg.values()) / 4)


def test_equal_scores_are_ordered_by_document_id_descending_after_the_cut_at_ten():
    assert measure({"q": [("a", 1.0), ("b", 1.0)]}, {"q": {"b": 1}}).ndcg[1] == 1
    assert measure({"q": [("a", 1.0), ("b", 1.0)]}, {"q": {"a": 1}}).ndcg[1] == 0
    eleven = [(f"d{n:02}", 1.0) for n in range(11)]
    found = measure({"q": eleven}, {"q": {"d10": 1}})
    assert (found.ndcg[10], found.recall) == (0, 1)  # the eleventh was cut before its id could help it


def test_a_document_with_the_questions_own_id_does_not_count():
    assert measure({"q": [("q", 2.0), ("d", 1.0)]}, {"q": {"d": 1}}).ndcg[1] == 1


def test_the_best_are_taken_stably():
    scores = np.zeros(500, np.float32)
    scores[[400, 7, 300]] = 2, 1, 2
    best = _best(scores)
    assert best[:3].tolist() == [300, 400, 7]
    assert len(best) == 100
    assert best[3:].tolist() == [n for n in range(104) if n != 7][:97]


# Systems


def test_every_system_finds_what_the_questions_are_about(folder, encoder):
    collection = read_folder(folder)
    found = {}
    for system in (Bm25System("word"), Bm25System("default"), Bm25System("bigram"), SparseSystem(encoder, name="nano")):
        found[system.name] = system.rank(collection, lambda _: None)
    assert measure(found["BM25 (bigram)"], collection.relevant).ndcg[1] == 1
    assert measure(found["nano"], collection.relevant).ndcg[1] == 1
    both = fused({"a": found["nano"], "b": found["BM25 (bigram)"]})
    assert measure(both, collection.relevant).ndcg[1] == 1
    assert both.keys() == collection.queries.keys()


def test_a_dense_model_ranks_by_cosine_and_keeps_the_best_of_every_group(folder, tmp_path, monkeypatch):
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    try:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError:  # before version 5.4
        from sentence_transformers.models import StaticEmbedding

    from pixie_retrievers.encoder.source import BUNDLED_FOLDER
    from pixie_retrievers.evaluation import systems

    tokenizer = Tokenizer.from_file(str(BUNDLED_FOLDER / "tokenizer.json"))
    weights = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 256)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save_pretrained(
        str(tmp_path / "static"), create_model_card=False
    )
    collection = read_folder(folder)
    whole = ranks(DenseSystem(str(tmp_path / "static"), device="cpu"), collection)
    assert {id: found[0] for id, found in whole.items()} == {"q1": "d1", "q2": "d2", "q3": "d3"}
    monkeypatch.setattr(systems, "_DOCUMENTS_AT_ONCE", 1)
    assert ranks(DenseSystem(str(tmp_path / "static"), device="cpu"), collection) == whole


@pytest.mark.skipif(not DATA.is_dir(), reason="PIXIE_EVAL_DATA names no folder with the two Korean sets")
@pytest.mark.parametrize(
    ("task", "tokens", "expected"),
    [
        ("autorag-markers-ko", "word", (0.6491, 0.7308, 0.7380, 0.7556, 0.7184, 0.9298)),
        ("autorag-markers-ko", "default", (0.6930, 0.7703, 0.7842, 0.7956, 0.7608, 0.9737)),
        ("autorag-markers-ko", "bigram", (0.8246, 0.9141, 0.9208, 0.9234, 0.8957, 1.0)),
        ("korquad1-dev", "word", (0.7520, 0.8087, 0.8206, 0.8281, 0.8024, 0.9357)),
        ("korquad1-dev", "default", (0.7568, 0.8169, 0.8288, 0.8366, 0.8098, 0.9423)),
        ("korquad1-dev", "bigram", (0.9070, 0.9498, 0.9542, 0.9562, 0.9418, 0.9998)),
    ],
)
def test_bm25_rows_are_what_they_were_measured_to_be(task, tokens, expected):
    collection = read_folder(DATA / task)
    found = measure(Bm25System(tokens).rank(collection, lambda _: None), collection.relevant)
    assert (*found.ndcg.values(), found.average, found.recall) == pytest.approx(expected, abs=5e-4)


# The table


def result(system, task, split, value):
    return Result(system, task, split, 10, Measures(dict.fromkeys(CUTOFFS, value), value), 1.0)


def test_splits_are_joined_before_tasks_and_both_readings_are_told():
    results = [result("s", "long", "dev", 0.2), result("s", "long", "test", 0.4), result("s", "other", "dev", 0.9)]
    found = {summary.reading: summary for summary in summarise(results)}
    assert found["all"].measures.average == pytest.approx((0.3 + 0.9) / 2)
    assert found["test only"].measures.average == pytest.approx((0.4 + 0.9) / 2)
    assert {summary.n_tasks for summary in found.values()} == {2}
    assert [summary.reading for summary in summarise(results[2:])] == ["all"]


def test_a_report_has_every_figure_and_a_picture(tmp_path):
    results = [result("a|b", "t", "test", 0.5), result("c", "t", "test", 0.75), result("c", "우리말", "dev", 0.25)]
    table, plain, picture = write_report(results, tmp_path / "report")
    assert table.read_text(encoding="utf-8") == markdown(results)
    assert "| a\\|b | 0.5000 | 0.5000 |" in markdown(results)
    assert [row["average_ndcg"] for row in json.loads(plain.read_text(encoding="utf-8"))["results"]] == [
        0.5,
        0.75,
        0.25,
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_measures_prints_and_writes(folder, tmp_path):
    arguments = ["eval", str(folder), "--model", "bundled", "--bm25", "bigram", "--hybrid", "-o", str(tmp_path / "out")]
    finished = CliRunner().invoke(app, [*arguments, "--json"])
    assert finished.exit_code == 0, finished.output
    rows = json.loads(finished.stdout)["results"]
    assert [row["system"] for row in rows] == ["BM25 (bigram)", "pixie-nano", "BM25 (bigram) + pixie-nano"]
    assert all(row["average_ndcg"] == 1 for row in rows)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json", "results.md", "results.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval"], "nothing to measure on"),
        (["eval", "FOLDER", "--bm25", ""], "nothing to measure:"),
        (["eval", "FOLDER", "--bm25", "syllable"], "syllable"),
        (["eval", "FOLDER", "--bm25", ","], "nothing to measure:"),
        (["eval", "FOLDER", "--bm25", "word,word"], "stands twice"),
        (["eval", "FOLDER", "--dense", ""], "pass a model's id on the hub, or its folder"),
        (["eval", "/none/such"], "no corpus.jsonl"),
        (["eval", "--task", "none-such"], "not a task of the card"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(folder, arguments, message):
    finished = CliRunner().invoke(app, [str(folder) if argument == "FOLDER" else argument for argument in arguments])
    assert finished.exit_code == 1
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_a_dense_model_without_the_packages_for_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    finished = CliRunner().invoke(app, ["eval", str(folder), "--bm25", "", "--dense", "some/model"])
    assert finished.exit_code == 1
    assert finished.stderr.startswith("error: running a model needs sentence_transformers: pip install")
