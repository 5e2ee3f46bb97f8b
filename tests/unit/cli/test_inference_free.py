"""`pixie inference-free`, and what other commands do with the table."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import QueryTable, SparseRetriever, SqliteIndex
from pixie_retrievers.queries import stored_table

THINGS = ["위성", "도서관", "김치", "기차", "은행", "법원", "논", "바다", "우주", "의사"]
ROWS = [
    {"id": f"{thing}-{n}", "text": f"{thing}에 관한 {n}번째 글이다. 오늘도 {thing}을 본다."}
    for thing in THINGS
    for n in range(6)
]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    return file


@pytest.fixture
def index(tmp_path, encoder):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add_texts([row["text"] for row in ROWS], ids=[row["id"] for row in ROWS])
    return tmp_path / "corpus.db"


def table_of(index):
    with SqliteIndex(index, read_only=True) as opened:
        return stored_table(opened)


def test_a_table_is_made_shown_used_and_removed(pixie, index):
    made = pixie("inference-free", index)
    assert made.exit_code == 0
    assert "of the ten best documents, model and table share" in made.stdout
    assert "idf-5" in made.stdout
    assert "pixie search --fast" in made.stderr
    assert "a table learned from" in " ".join(pixie("info", index).stdout.split())
    assert json.loads(pixie("info", index, "--json").stdout)["inference_free"]["source"] == "sentences"
    assert "도서관" in pixie("search", "--fast", index, "도서관은 언제 여나?", "-k", "1").stdout
    found = json.loads(pixie("search", "--fast", index, "도서관", "-k", "1", "--json").stdout)
    assert found["queries"] == table_of(index).fingerprint
    assert "keeps no query table" in " ".join(pixie("inference-free", index, "--remove").stderr.split())
    assert table_of(index) is None
    without = pixie("search", "--fast", index, "도서관")
    assert without.exit_code == 1
    assert "pixie inference-free" in without.stderr
    assert "inference_free" not in json.loads(pixie("info", index, "--json").stdout)


def test_it_goes_to_a_file_and_leaves_the_index_alone(pixie, index, tmp_path):
    result = pixie("inference-free", index, "-o", tmp_path / "table.safetensors", "--json")
    said = json.loads(result.stdout)
    assert said["kept"] is False
    assert QueryTable.load(tmp_path / "table.safetensors").fingerprint == said["fingerprint"]
    assert table_of(index) is None


def test_questions_and_judgements_come_from_files(pixie, index, tmp_path):
    questions = [f"{thing}은 {n}번째로 무엇인가?" for thing in THINGS for n in range(6)]
    (tmp_path / "questions.txt").write_text("\n".join(questions), encoding="utf-8")
    said = json.loads(pixie("inference-free", index, "--questions", tmp_path / "questions.txt", "--json").stdout)
    assert (said["source"], said["n_learned"]) == ("questions", 54)
    rows = [{"question": q, "relevant": [row["id"]]} for q, row in zip(questions, ROWS, strict=True)]
    (tmp_path / "judged.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = pixie("inference-free", index, "--judged", tmp_path / "judged.jsonl")
    assert result.exit_code == 0
    assert "NDCG@10" in result.stdout


def test_too_few_texts_are_said_and_nothing_is_kept(pixie, index, tmp_path):
    (tmp_path / "questions.txt").write_text("위성은?\n", encoding="utf-8")
    result = pixie("inference-free", index, "--questions", tmp_path / "questions.txt")
    assert result.exit_code == 1
    assert "fewer than 50" in result.stderr
    assert table_of(index) is None


def test_indexing_makes_one_at_once(pixie, file, tmp_path):
    result = pixie("index", file, "-o", tmp_path / "new.db", "--model", "bundled", "--inference-free")
    assert result.exit_code == 0, result.stderr
    assert "model and table share" in result.stdout
    assert table_of(tmp_path / "new.db") is not None
    said = json.loads(
        pixie("index", file, "-o", tmp_path / "new.db", "--model", "bundled", "--inference-free", "--json").stdout
    )
    assert said["inference_free"]["kept"] is True


def test_a_table_that_is_damaged_does_not_hide_the_rest_of_info(pixie, index):
    with SqliteIndex(index) as opened:
        opened.attach("query-table", b"not a table")
    result = pixie("info", index)
    assert result.exit_code == 0
    assert "derive it again" in " ".join(result.stdout.split())
    assert "documents   60" in result.stdout
