"""`pixie tune`: says what it found, and writes only where it helps and somebody agrees."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import Document, SparseRetriever

WORDS = ["위성", "로켓", "궤도", "지구", "휴가", "법", "계약", "임금", "세금", "병원"]
WORDS += ["의사", "약", "감기", "학교", "선생", "시험", "음악", "영화", "그림", "문화"]


@pytest.fixture
def index(tmp_path, encoder):
    """Every question ends in a word that only wrong documents have, and have much of."""
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        pairs = [(one, two) for n, one in enumerate(WORDS) for two in WORDS[n + 1 : n + 4]]
        retriever.add([Document(f"d{n}", f"{one} {two}") for n, (one, two) in enumerate(pairs)])
        retriever.add([Document(f"wrong{n}", f"안내 안내 안내 {word}") for n, word in enumerate(WORDS)])
    rows = [{"question": f"{one} {two} 안내", "relevant": [f"d{n}"]} for n, (one, two) in enumerate(pairs)]
    (tmp_path / "judged.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8"
    )
    return tmp_path / "corpus.db"


def n_rules(pixie, index):
    said = json.loads(pixie("rules", index, "--json").stdout)
    return len(said["factors"])


def test_nothing_is_written_without_a_yes(pixie, index, tmp_path):
    result = pixie("tune", index, tmp_path / "judged.jsonl")
    assert result.exit_code == 0, result.output
    assert "NDCG@10" in result.stdout
    assert n_rules(pixie, index) == 0


def test_what_helps_is_kept_and_undone(pixie, index, tmp_path):
    said = json.loads(pixie("tune", index, tmp_path / "judged.jsonl", "--yes", "--json").stdout)
    assert said["kept"] is said["is_beyond_chance"] is True
    assert n_rules(pixie, index) == len(said["changed"])
    shown = pixie("search", index, "위성 로켓 안내", "-k", "1").stdout
    assert "learned on" in shown
    pixie("rules", index, "--undo")
    assert n_rules(pixie, index) == 0


def test_what_does_not_help_is_never_kept(pixie, index, tmp_path):
    rows = [{"question": word, "relevant": [f"wrong{n}"]} for n, word in enumerate(WORDS)] * 2
    rows = [row | {"question": f"{row['question']} {'안내' * (n // len(WORDS))}"} for n, row in enumerate(rows)]
    (tmp_path / "easy.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said = json.loads(pixie("tune", index, tmp_path / "easy.jsonl", "--yes", "--json").stdout)
    assert said["kept"] is False or said["is_beyond_chance"]
    assert n_rules(pixie, index) == (len(said["changed"]) if said["kept"] else 0)


def test_too_few_questions_are_refused(pixie, index, tmp_path):
    (tmp_path / "few.jsonl").write_text('{"question": "위성", "relevant": ["d0"]}', encoding="utf-8")
    result = pixie("tune", index, tmp_path / "few.jsonl")
    assert result.exit_code == 1
    assert "30 are the least" in result.stderr
