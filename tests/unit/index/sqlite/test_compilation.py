"""Compiled loops where what comes of them can be kept, and where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pixie_retrievers
from pixie_retrievers.index.sqlite.compilation import compiled

SEARCH = """
from pixie_retrievers import Document, SparseVectors, SqliteIndex
vectors = SparseVectors.from_dicts([{1: 2.0}, {2: 1.0}], 10)
with SqliteIndex(%r, vocabulary_size=10, fingerprint="test") as index:
    index.upsert([Document("a", "", {}), Document("b", "", {})], vectors)
    print([hit.document.id for hit in index.search(SparseVectors.from_dicts([{2: 1.0}], 10), 1)[0]])
"""


def test_a_compiled_loop_computes_what_the_loop_does_and_keeps_its_name():
    def twice(number):
        return 2 * number

    assert compiled(twice)(21) == 42
    assert compiled(twice).__name__ == "twice"


@pytest.mark.skipif(sys.platform == "win32", reason="folders' modes")
@pytest.mark.new_process
def test_where_no_folder_can_be_written_searches_work_and_one_warning_says_what_it_costs(tmp_path):
    package = tmp_path / "installed" / "pixie_retrievers"
    shutil.copytree(
        Path(pixie_retrievers.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "nano")
    )
    # A file where numba looks for folders: root itself cannot write into it.
    (package / "index" / "sqlite" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-c", SEARCH % str(tmp_path / "a.db")],
        env=environment | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(package.parent)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['b']\n"
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
