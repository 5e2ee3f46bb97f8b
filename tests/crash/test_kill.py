"""A writer is killed at any moment: what it acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import numpy as np
from figures import CREATION_KILLS, KILLS, Figure, holds
from histories import (
    FINGERPRINT,
    Model,
    apply,
    model_after,
    opened,
    queries,
    shown,
    steps,
)
from vectors import documents, random_vectors
from workers import HANG_S, children, commit_history, create

from pixie_retrievers import SqliteIndex


def killed(target, *args, n_more: int = 0, after_s: float) -> int:
    """Start a child, kill it some time after it acknowledged some steps, and return the last that it acknowledged."""
    ours, theirs = children().Pipe(duplex=False)
    child = children().Process(target=target, args=(*args, theirs))
    child.start()
    theirs.close()
    try:
        assert ours.poll(HANG_S)
        last = ours.recv()
        for _ in range(n_more):
            assert ours.poll(HANG_S)
            last = ours.recv()
        time.sleep(after_s)
        assert child.is_alive(), f"the child ended by itself with {child.exitcode}"
        child.kill()
        child.join(HANG_S)
        assert child.exitcode == -signal.SIGKILL
        try:
            while True:
                last = max(last, ours.recv())
        except EOFError:
            return last
    finally:
        child.kill()
        child.join(HANG_S)
        child.close()
        ours.close()


@holds(KILLS)
def test_a_killed_writer_loses_nothing_it_acknowledged_and_leaves_nothing_by_half(tmp_path):
    rng = np.random.default_rng(1)
    batch = queries()
    seed, n_done, model = -1, 0, Model()
    n_done_before = 0
    for kill in range(KILLS.n):
        if kill % 10 == 0:  # a new file: it is small again, and its making can be hit too
            n_done_before += n_done
            seed, n_done, model = seed + 1, 0, Model()
        path = tmp_path / f"{seed}.db"
        last = killed(commit_history, str(path), seed, n_done, n_more=rng.integers(0, 11), after_s=rng.uniform(0, 0.03))
        for number, step in zip(range(n_done, last + 1), steps(seed, n_done), strict=False):
            model.apply(step)
            n_done = number + 1
        with opened(path) as index:
            found = shown(index, batch)
            if found != model.shows(batch):  # the step that was under way may have been committed, whole
                model.apply(next(steps(seed, n_done)))
                n_done += 1
                assert found == model.shows(batch)
            assert index.check().sound
            apply(index, next(steps(seed, n_done)))  # the lock is free, and writing goes on
            model.apply(next(steps(seed, n_done)))
            n_done += 1
            assert shown(index, batch) == model.shows(batch)
    assert n_done_before + n_done > 2 * KILLS.n, "the kills came too early to mean anything"
    assert model_after(seed, n_done).shows(batch) == model.shows(batch)


@holds(CREATION_KILLS)
def test_a_file_whose_making_was_interrupted_is_whole_or_absent(tmp_path):
    rng = np.random.default_rng(2)
    for kill in range(CREATION_KILLS.n):
        folder = tmp_path / str(kill)
        folder.mkdir()
        last = killed(create, str(folder), after_s=rng.uniform(0, 0.15))
        for path in [folder / f"{number}.db" for number in range(last + 2)]:
            acknowledged = int(path.stem) <= last
            assert path.exists() or not acknowledged
            with opened(path) as index:  # absent: made now
                assert index.check().sound
                assert len(index) in ((3,) if acknowledged else (0, 3))
                apply(index, next(steps(0)))


@holds(Figure(1, "index of 10,000 documents, killed and opened", 1, 1))
def test_a_killed_writers_large_index_opens_at_once(tmp_path):
    path, n_documents = tmp_path / "index.db", 10_000
    vectors = random_vectors(n_documents, vocabulary_size=60, n_terms=6)
    with SqliteIndex(path, vocabulary_size=60, fingerprint=FINGERPRINT) as index:
        index.upsert(documents(n_documents), vectors)
        left_behind = copy_with_log(path, tmp_path / "copy.db")  # what a kill leaves: the log is not folded in
    killed(commit_history, str(left_behind), 0, 0, after_s=0.1)
    began = time.perf_counter()
    with opened(left_behind, read_only=True) as index:
        assert len(index.search(vectors[:1], 10)[0]) == 10
        seconds = time.perf_counter() - began
        assert index.get(["d9999"]) == documents(1, start=9999)
        assert len(index) >= n_documents
        assert index.check().sound
    assert seconds < 20, "not a measurement: opening must not read everything"


def copy_with_log(source: Path, target: Path) -> Path:
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
    return target
