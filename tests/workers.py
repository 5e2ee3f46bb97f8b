"""What the child processes of the crash tests run, and how they are started."""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache
from typing import Any

import histories

__all__ = ["answer", "children", "commit_history", "create", "hold_lock", "read", "write_revisions"]

HANG_S = 120
"""No child may take so long, on the slowest machine: a guard against a hang, not a measurement."""


@cache
def children() -> Any:
    """Where children come from: forks of a clean process that has the package loaded, not of this one."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["workers", "pixie_retrievers.index.sqlite.engine"])
    return context


def commit_history(path: str, seed: int, first: int, answers: Any) -> None:
    """Walk through a history for ever; tell each step's number once it is committed."""
    with histories.opened(path) as index:
        answers.send(-1)
        for number, step in enumerate(histories.steps(seed, first), first):
            histories.apply(index, step)
            answers.send(number)


def create(path: str, answers: Any) -> None:
    """Make an index file with one document, over and over: beside the last one."""
    number = 0
    answers.send(-1)
    while True:
        with histories.opened(f"{path}/{number}.db") as index:
            histories.apply(index, histories.Step("upsert", histories.IDS[:3], number))
        answers.send(number)
        number += 1


def hold_lock(path: str, answers: Any) -> None:
    """Store a document, and be in the middle of another commit until killed."""
    with histories.opened(path) as index:
        histories.apply(index, histories.Step("upsert", histories.IDS[:1], 1_000_000))
        with index._writer._committing():
            answers.send(True)
            answers.recv()


def write_revisions(path: str, stop: Any, least: int, answers: Any) -> None:
    """Give all documents the same new revision, commit after commit, ``least`` at least; now and then compact."""
    revision = 0
    with histories.opened(path) as index:
        while not stop.is_set() or revision < least:
            revision += 1
            histories.apply(index, histories.Step("upsert", tuple(histories.IDS[:40]), revision))
            if revision % 25 == 0:
                index.compact()
    answers.send(revision)


def read(path: str, stop: Any, least: int, answers: Any) -> None:
    """Search while another process writes, ``least`` times at least, and until a new commit is seen.

    Every result must come from one commit point, and none from before.
    """
    batch = histories.queries()
    newest, n_searches, problems = 0, 0, []
    with histories.opened(path, read_only=True) as index:
        while not problems and not (stop.is_set() and n_searches >= least and newest > 1):
            hit_lists = index.search(batch, len(histories.IDS))
            documents = [document for document in index.get(histories.IDS[:40]) if document]
            seen = {hit.document.metadata["revision"] for hits in hit_lists for hit in hits}
            got = {document.metadata["revision"] for document in documents}
            if len(seen) > 1 or len(got) > 1 or len(documents) != 40:
                problems.append(f"torn: {seen} {got} {len(documents)}")
            for revision in (*seen, *got):
                if revision < newest:
                    problems.append(f"went back from {newest} to {revision}")
                newest = max(newest, revision)
            if seen:
                model = histories.Model()
                model.apply(histories.Step("upsert", tuple(histories.IDS[:40]), seen.pop()))
                expected = model.shows(batch, len(histories.IDS))["hits"]
                if expected != histories.as_rows(hit_lists):
                    problems.append(f"wrong hits at revision {newest}")
            n_searches += 1
    answers.send((n_searches, newest, problems))


def answer(path: str, answers: Any) -> None:
    """Search once, and say what was found."""
    with histories.opened(path, read_only=True) as index:
        answers.send(histories.shown(index, histories.queries()))
