"""Who is writing an index, as a message says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixie_retrievers import SqliteIndex
from pixie_retrievers.index.sqlite.holders import describe_writer


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux's list of locks")
def test_a_handle_of_this_process_is_told_from_nobody(path):
    with SqliteIndex(path) as index:
        assert describe_writer(path) == "another writer"
        with index._writer._committing():
            assert describe_writer(path) == "another handle of this process"
        assert describe_writer(path) == "another writer"


def test_where_nothing_tells_it_is_another_writer(tmp_path):
    assert describe_writer(tmp_path / "nothing.db") == "another writer"
