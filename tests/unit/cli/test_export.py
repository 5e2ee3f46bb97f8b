"""`pixie export`: what it writes, says and refuses."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import Document, SqliteIndex


@pytest.fixture
def index(tmp_path, encoder):
    path = tmp_path / "corpus.db"
    texts = ["위성이 지구를 돈다.", "김치가 익는다."]
    with SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint) as index:
        documents = [Document(f"글-{n}", text) for n, text in enumerate(texts)]
        index.upsert(documents, encoder.encode_documents(texts))
    return path


def test_it_says_what_was_written(pixie, index, tmp_path):
    done = pixie("export", index, "--to", "beir", "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "out: 2 documents in 2 files, " in done.stdout
    assert len((tmp_path / "out/corpus.jsonl").read_text("utf-8").splitlines()) == 2


def test_the_same_as_json(pixie, index, tmp_path, encoder):
    done = pixie("export", index, "--to", "ciff", "-o", tmp_path / "out", "--quantise", 50, "--json")
    said = json.loads(done.stdout)
    assert (said["index"], said["format"], said["n_documents"]) == (str(index), "ciff", 2)
    assert (said["quantise"], said["fingerprint"]) == (50, encoder.fingerprint)
    assert said["files"] == ["index.ciff", "manifest.json"]
    assert said["bytes"] == sum((tmp_path / "out" / name).stat().st_size for name in said["files"])
    assert said["folder"] == str((tmp_path / "out").resolve())


def test_tokens_are_the_models(pixie, index, tmp_path, encoder):
    assert pixie("export", index, "--to", "anserini", "-o", tmp_path / "out", "--tokens").exit_code == 0
    lines = (tmp_path / "out/terms.tsv").read_text("utf-8").split("\n")[:-1]
    assert len(lines) == encoder.vocabulary_size
    row = json.loads((tmp_path / "out/documents/documents-00000.jsonl").read_text("utf-8").splitlines()[0])
    named = dict(line.split("\t") for line in lines)
    assert encoder.tokens([int(term) for term in row["vector"]]) == [named[term] for term in row["vector"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "npz", "--quantise", 100], "quantise is for anserini and ciff"),
        (["--to", "npz", "-o", "."], "not an empty folder"),
    ],
)
def test_a_refusal_is_one_line(pixie, index, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = pixie("export", index, "-o", tmp_path / "out", *arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_index_that_is_not_there_is_not_made(pixie, tmp_path):
    done = pixie("export", tmp_path / "none.db", "--to", "npz", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_named_with_those_there_are(pixie, index, tmp_path):
    done = pixie("export", index, "--to", "csv", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "anserini" in done.stderr
