"""Space runs out: an error and no hang, the last commit intact and searchable, and writing goes on with space again."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest
from figures import SIZE_LIMITS, SMALL_DISKS, holds
from histories import VOCABULARY_SIZE, Model, Step, apply, build, model_after, opened, queries, shown, steps
from workers import HANG_S, children

from pixie_retrievers import Document, SparseVectors, StorageError, StorageFullError

BATCH = queries()
N_STEPS = 10


def fill(path: str, limits: list[int], answers) -> None:
    """Write until the file may not grow, for each limit; then lift the limit, and write on."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    seed = 7
    number = 0
    model = model_after(0, N_STEPS)
    for limit in limits:
        with opened(path) as index:
            n_refused = 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            for step in islice(steps(seed, number), 400):
                number += 1
                try:
                    apply(index, step)
                except StorageFullError:
                    n_refused += 1
                    answers.send(shown(index, BATCH) == model.shows(BATCH) or step.action == "compact")
                    if n_refused == 3:
                        break
                else:
                    model.apply(step)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            step = next(steps(seed, number))
            number += 1
            apply(index, step)
            model.apply(step)
            answers.send(shown(index, BATCH) == model.shows(BATCH))
            answers.send(index.check().sound)
        with opened(path, read_only=True) as index:
            answers.send(shown(index, BATCH) == model.shows(BATCH))
        if not n_refused:
            answers.send(f"the limit of {limit} bytes was never met")
    answers.send(None)


@holds(SIZE_LIMITS)
def test_a_file_that_may_not_grow_refuses_commits_whole_and_takes_them_again_later(tmp_path):
    path = tmp_path / "index.db"
    build(path, n_steps=N_STEPS)
    size = path.stat().st_size
    rng = np.random.default_rng(3)
    limits = [int(limit) for limit in rng.uniform(0.1, 1.6, SIZE_LIMITS.n) * size]
    answers = run(fill, str(path), limits)
    assert len(answers) >= 3 * len(limits)
    assert set(answers) == {True}, answers


def run(target, *args) -> list:
    """Everything that a child sends until None."""
    ours, theirs = children().Pipe(duplex=False)
    child = children().Process(target=target, args=(*args, theirs))
    child.start()
    theirs.close()
    answers = []
    try:
        while True:
            assert ours.poll(HANG_S), "the child hangs"
            answer = ours.recv()
            if answer is None:
                return answers
            answers.append(answer)
    finally:
        child.kill()
        child.join(HANG_S)
        child.close()
        ours.close()


@contextmanager
def small_disk(folder, n_bytes: int):
    folder.mkdir()
    mounted = sys.platform == "linux" and shutil.which("mount") and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root, on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@holds(SMALL_DISKS)
def test_a_full_disk_refuses_commits_whole_and_takes_them_again_later(tmp_path):
    rng = np.random.default_rng(4)
    for round in range(SMALL_DISKS.n):
        with small_disk(tmp_path / str(round), int(rng.uniform(1, 4) * 2**20)) as folder:
            path, ballast = folder / "index.db", folder / "ballast"
            ballast.write_bytes(bytes(int(rng.integers(60_000, 400_000))))
            model = Model()
            with opened(path) as index:
                n_refused = 0
                for number in range(10_000):
                    ids = tuple(f"{number}-{i}" for i in range(20))
                    documents = [Document(id, f"글 {id} " * 100) for id in ids]
                    vectors = SparseVectors.from_dicts([{1: 1.0}] * 20, VOCABULARY_SIZE)
                    try:
                        index.upsert(documents, vectors)
                    except StorageFullError:
                        n_refused += 1
                        assert len(index) == len(model.revisions)
                        assert index.get(ids) == [None] * 20
                        if model.revisions:
                            assert len(index.search(vectors[:1], 5)[0]) == 5
                        if n_refused == 3:
                            break
                    else:
                        model.revisions.update(dict.fromkeys(ids, 0))
                assert n_refused == 3
                ballast.unlink()
                apply(index, Step("delete", tuple(model.revisions)[:5]))
                assert len(index) == max(0, len(model.revisions) - 5)
                assert index.check().sound
            with opened(path, read_only=True) as index:
                assert len(index) == max(0, len(model.revisions) - 5)


def test_an_error_of_the_disk_that_is_not_for_want_of_space_says_so(tmp_path):
    with pytest.raises(StorageError) as raised, opened(tmp_path / "missing" / "index.db"):
        pass
    assert not isinstance(raised.value, StorageFullError)
