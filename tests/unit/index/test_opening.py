"""One function opens an index, whatever keeps it."""

from __future__ import annotations

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import IndexNotFoundError, InvalidParameterError, SqliteIndex, StorageError, open_index


def test_a_path_opens_the_file_that_is_there(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        index.upsert(documents(2), random_vectors(2))
    for location in (tmp_path / "index.db", str(tmp_path / "index.db")):
        with open_index(location, read_only=True) as index:
            assert len(index) == 2
            with pytest.raises(StorageError, match="read_only"):
                index.delete(["d0"])
    with pytest.raises(IndexNotFoundError):
        open_index(tmp_path / "nothing.db")


def test_a_url_of_an_unknown_engine_is_refused():
    with pytest.raises(InvalidParameterError, match=r"answers to .nosuch"):
        open_index("nosuch://host/index")
