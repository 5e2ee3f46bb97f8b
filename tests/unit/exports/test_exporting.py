"""Exports of any format: whole or not there, never over anything, each document once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import (
    Document,
    DuplicateIdError,
    InvalidParameterError,
    PixieWarning,
    SqliteIndex,
    StorageError,
    export_index,
)
from pixie_retrievers.cli.export import Format
from pixie_retrievers.exports.exporting import EXPORTERS

FORMATS = list(EXPORTERS)
pytestmark = pytest.mark.filterwarnings("ignore:4 ids hold white space")


def beside(tmp_path):
    """What lies beside the index's own files."""
    return sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("corpus.db"))


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_counted_and_described(index, held, tmp_path, format):
    moved = []
    done = export_index(index, format, tmp_path / "new/out", advance=moved.append)
    stored, vectors = held
    assert sum(moved) == len(stored)
    said = json.loads((tmp_path / "new/out/manifest.json").read_text("utf-8"))
    assert said == dict(done.manifest)
    assert (said["format"], said["fingerprint"]) == (format, "모델")
    assert (said["n_documents"], said["n_postings"], said["vocabulary_size"]) == (300, len(vectors.term_ids), 200)
    there = [path for path in done.folder.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(done.folder).as_posix() for path in there) == list(done.files)
    assert sum(path.stat().st_size for path in there) == done.n_bytes
    assert beside(tmp_path) == ["new"]
    assert beside(tmp_path / "new") == ["out"]


def test_an_empty_folder_is_filled(index, tmp_path):
    (tmp_path / "out").mkdir()
    assert export_index(index, "beir", tmp_path / "out").folder == (tmp_path / "out").resolve()
    assert (tmp_path / "out/corpus.jsonl").exists()


def test_a_link_to_an_empty_folder_stays_one(index, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    export_index(index, "beir", tmp_path / "link")
    assert (tmp_path / "out/corpus.jsonl").exists()


@pytest.mark.parametrize("format", ["anserini", "ciff"])
def test_ids_that_readers_cut_are_warned_of(index, tmp_path, format):
    with pytest.warns(PixieWarning, match="4 ids hold white space"):
        export_index(index, format, tmp_path / "out")


@pytest.mark.parametrize("name", ["file", "full"])
def test_what_is_there_is_never_written_over(index, tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/kept").write_text("")
    with pytest.raises(InvalidParameterError, match=f"{name} is not an empty folder: name a new one"):
        export_index(index, "npz", tmp_path / name)
    assert beside(tmp_path) == ["file", "full"]
    assert beside(tmp_path / "full") == ["kept"]


def test_a_folder_that_cannot_be_replaced_is_refused(index, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InvalidParameterError, match="name a new folder in it"):
        export_index(index, "npz", ".")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("csv", "out"), "format is 'csv'; it must be one of anserini, ciff"),
        (("npz", 7), "folder is 7"),
        (("npz", "a\0b"), "cannot be a folder"),
    ],
)
def test_misuse_is_refused(index, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidParameterError, match=message):
        export_index(index, *arguments)
    assert beside(tmp_path) == []


@pytest.mark.parametrize(("format", "quantise"), [("npz", 100), ("ciff", 0), ("ciff", 1.5), ("anserini", 2**62)])
def test_steps_that_do_not_fit_are_refused(index, tmp_path, format, quantise):
    with pytest.raises(InvalidParameterError, match="quantise is"):
        export_index(index, format, tmp_path / "out", quantise=quantise)
    assert beside(tmp_path) == []


class Breaking:
    """An index that ends in the middle."""

    def __init__(self, index, error):
        self.vocabulary_size, self.fingerprint = index.vocabulary_size, index.fingerprint
        self._index, self._error = index, error

    def scan(self):
        yield from self._index.scan()
        raise self._error


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "broken")])
def test_what_fails_leaves_nothing(index, tmp_path, format, error):
    with pytest.raises((KeyboardInterrupt, StorageError)):
        export_index(Breaking(index, error), format, tmp_path / "out")
    assert beside(tmp_path) == []


def test_a_document_that_was_replaced_meanwhile_is_not_exported_twice(tmp_path):
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=200) as index:
        index.upsert(documents(2500), random_vectors(2500))

        def replace(n):
            if n == 1000:  # the last, which comes besides, is not followed by another
                index.upsert([Document("d3", "새 글")], random_vectors(1))

        with pytest.raises(DuplicateIdError, match="1 documents were replaced"):
            export_index(index, "beir", tmp_path / "out", advance=replace)
        assert beside(tmp_path) == []
        index.upsert(documents(1, start=2500), random_vectors(1))
        assert export_index(index, "beir", tmp_path / "out").manifest["n_documents"] == 2501


def test_terms_are_named_a_line_each(index, tmp_path):
    def tokens(terms):
        return ["tab\tand\\", "줄\n바꿈\r"] + [f"▁토큰{term}" for term in terms[2:]]

    export_index(index, "npz", tmp_path / "out", tokens=tokens)
    lines = (tmp_path / "out/terms.tsv").read_bytes().decode().split("\n")
    assert lines[:3] == ["0\ttab\\tand\\\\", "1\t줄\\n바꿈\\r", "2\t▁토큰2"]
    assert lines[-2:] == ["199\t▁토큰199", ""]


def test_the_command_line_knows_every_format():
    assert [format.value for format in Format] == FORMATS


@pytest.mark.new_process
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("format", ["anserini", "ciff", "npz"])
def test_an_export_that_was_killed_is_not_there(tmp_path, format):
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=200) as index:
        index.upsert(documents(5000), random_vectors(5000))
    code = f"""
import time
from pixie_retrievers import export_index, open_index
with open_index("corpus.db", read_only=True) as index:
    export_index(index, {format!r}, "out", advance=lambda n: (print(n, flush=True), time.sleep(60)))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout.readline() == b"1000\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (left,) = beside(tmp_path)
    assert left.startswith("out.partial-")
    assert not (tmp_path / left / "manifest.json").exists()
    with SqliteIndex(tmp_path / "corpus.db", read_only=True) as index:
        export_index(index, format, tmp_path / "out")
    assert (tmp_path / "out/manifest.json").exists()
