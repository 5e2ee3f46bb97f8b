"""A process that makes an index equal to its sources is killed between any two of its commits: the next run ends it."""

from __future__ import annotations

import os
import signal

import pytest
from workers import HANG_S, children

from pixie_retrievers import Document, SparseRetriever, SparseVectors, SqliteIndex, indexing
from pixie_retrievers.indexing import Indexed

OLD = [Document(f"d{n}", f"old text {n}", {"n": n}) for n in range(40)]
NEW = [
    *OLD[:10],
    *(Document(f"d{n}", f"new text {n}", {"n": n}) for n in (*range(10, 30), *range(40, 60))),
]  # ten are unchanged, twenty changed and twenty new; ten are gone
CHANGED, ADDED, GONE = range(10, 30), range(40, 60), range(30, 40)
A_COMMIT = 10
N_WRITES = len([*CHANGED, *ADDED]) // A_COMMIT + 1


class Letters:
    """An encoder for which a text is its letters."""

    vocabulary_size, fingerprint = 128, "letters"

    def encode_documents(self, texts, *, show_progress=False):
        rows = [{ord(letter): float(text.count(letter)) for letter in text} for text in texts]
        return SparseVectors.from_dicts(rows, 128).with_literal(rows)

    encode_queries = encode_documents

    def tokens(self, term_ids):
        return [chr(term) for term in term_ids]

    surfaces = tokens


def sync_and_die(path: str, n_writes: int) -> None:
    """Make the index at a path equal to NEW, but be killed when so many commits are done and the next one begins."""
    indexing._COMMIT_DOCUMENTS = A_COMMIT
    left = n_writes

    class Dying(SqliteIndex):
        def check_writable(self):
            pass  # a look at the lock is not a commit

        def _write(self, change):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return super()._write(change)

    with SparseRetriever(Letters(), Dying(path)) as retriever:
        retriever.sync(NEW)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("n_done", range(N_WRITES + 1))
def test_a_sync_that_was_killed_leaves_a_sound_index_and_the_next_one_ends_it(tmp_path, n_done):
    path = tmp_path / "index.db"
    with SparseRetriever.open(path, encoder=Letters()) as retriever:
        retriever.sync(OLD)
    child = children().Process(target=sync_and_die, args=(str(path), n_done))
    child.start()
    child.join(HANG_S)
    assert child.exitcode == -signal.SIGKILL

    stored = min(n_done * A_COMMIT, len(CHANGED) + len(ADDED))
    new = {document.id for document in [*NEW[10:]][:stored]}
    with SparseRetriever.open(path, encoder=Letters()) as retriever:
        assert retriever.index.check().sound
        there = {document.id: document for document in retriever.get([d.id for d in [*OLD, *NEW]]) if document}
        of_sources = {document.id: document for document in OLD} | {d.id: d for d in NEW if d.id in new}
        if n_done == N_WRITES:
            of_sources = {document.id: document for document in NEW}
        assert there == of_sources  # nothing that both have is ever missing, and nothing is there by half

        n_changed = sum(f"d{n}" not in new for n in CHANGED)
        n_added = sum(f"d{n}" not in new for n in ADDED)
        n_gone = 0 if n_done == N_WRITES else len(GONE)
        assert retriever.sync(NEW) == Indexed(n_added, n_changed, len(NEW) - n_added - n_changed, n_gone)
        assert sorted(retriever.index.ids()) == sorted(document.id for document in NEW)
        assert retriever.get([document.id for document in NEW]) == NEW
        assert retriever.index.check().sound
