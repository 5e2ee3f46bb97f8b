"""Files at their paths: found, refused, put in place, and never beside a log that is another file's."""

from __future__ import annotations

import os

import pytest

from pixie_retrievers import IndexLockedError, IndexNotFoundError, StorageError
from pixie_retrievers.index.sqlite import files
from pixie_retrievers.index.sqlite.files import (
    file_at,
    is_begun,
    log_of,
    log_size,
    put_in_place,
    refuse_folder,
    refuse_second_names,
    resolved,
    set_log_aside,
)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "index.db").write_bytes(b"content")
    return tmp_path / "index.db"


def test_a_file_is_the_same_under_any_name_and_another_one_under_the_same(path, tmp_path):
    before = file_at(path)
    (tmp_path / "link").symlink_to(path)
    assert file_at(tmp_path / "link") == before
    (tmp_path / "new").write_bytes(b"content")
    (tmp_path / "new").replace(path)
    assert file_at(path) != before
    path.unlink()
    with pytest.raises(IndexNotFoundError, match="check the path"):
        file_at(path)


def test_an_empty_file_is_only_a_place_unless_a_log_is_beside_it(path):
    assert is_begun(path)
    path.write_bytes(b"")
    assert not is_begun(path)
    log_of(path).write_bytes(b"log")
    assert is_begun(path)
    assert log_size(path) == 3
    assert is_begun(path.parent)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(StorageError, match="cannot be the path of an index"):
        resolved(tmp_path / name)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refuse_folder(tmp_path)
    with pytest.raises(StorageError, match="make it first"):
        refuse_folder(tmp_path / "nothing")


def test_a_file_with_two_names_is_refused_until_one_is_gone(path, tmp_path):
    os.link(path, tmp_path / "other.db")
    with pytest.raises(StorageError, match=r"2 names .*backup"):
        refuse_second_names(path)
    (tmp_path / "other.db").unlink()
    refuse_second_names(path)


def test_a_file_is_put_in_place_once_and_without_what_an_older_one_left(tmp_path):
    path, draft = tmp_path / "index.db", tmp_path / "draft"
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).write_bytes(b"of another file")
    draft.write_bytes(b"first")
    assert put_in_place(draft, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.db"]
    draft.write_bytes(b"second")
    assert not put_in_place(draft, path)
    assert path.read_bytes() == b"first"
    assert draft.exists()


def test_whoever_puts_a_file_in_place_waits_for_the_other_but_not_for_ever(path, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE_S", 0.05)
    (tmp_path / "draft").write_bytes(b"")
    with files._placing(path), pytest.raises(IndexLockedError, match="somebody else"):
        put_in_place(tmp_path / "draft", path)
    assert not put_in_place(tmp_path / "draft", path)


def test_a_log_is_set_aside_and_kept_only_if_it_still_is_foreign(path, caplog):
    log_of(path).write_bytes(b"log")
    set_log_aside(path, lambda: False)
    assert log_of(path).read_bytes() == b"log"
    set_log_aside(path, lambda: True)
    assert not log_of(path).exists()
    (aside,) = path.parent.glob("*.foreign")
    assert aside.read_bytes() == b"log"
    assert aside.name in caplog.text
