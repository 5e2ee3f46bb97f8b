"""Every format that was released opens, shows what it always showed, and can be written to; a newer one is refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from histories import apply, model_after, opened, queries, shown, steps

from pixie_retrievers import IncompatibleIndexError, SqliteIndex
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION, encode_row
from pixie_retrievers.index.sqlite.repair import repair_index

SEED, N_STEPS = 4, 20  # of make.py
FILES = sorted(Path(__file__).parent.glob("format-*.db"))
BATCH = queries(8, 6)


def test_there_is_a_file_of_every_format():
    assert {int(path.stem.split("-")[1]) for path in FILES} == set(range(1, FORMAT_VERSION + 1))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request, tmp_path):
    return Path(shutil.copyfile(request.param, tmp_path / "index.db"))


def test_a_file_of_a_released_format_shows_what_it_always_showed(path):
    with opened(path) as index:
        assert shown(index, BATCH) == model_after(SEED, N_STEPS, index.weights).shows(BATCH)
        assert index.check().sound


def test_a_file_of_a_released_format_can_be_written_to(path):
    with opened(path) as index:
        model = model_after(SEED, N_STEPS, index.weights)
        for _, step in zip(range(12), steps(SEED, N_STEPS), strict=False):
            apply(index, step)
            model.apply(step)
        index.compact()
        assert shown(index, BATCH) == model.shows(BATCH)
        assert index.check().sound


def test_a_file_of_a_released_format_can_be_repaired(path, tmp_path):
    assert check_file(path).sound
    report = repair_index(path, tmp_path / "repaired.db")
    assert report.lost == ()
    with opened(path) as old, opened(tmp_path / "repaired.db") as new:
        assert shown(old, BATCH) == shown(new, BATCH)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99])
def test_a_newer_format_is_refused_and_said_to_be_newer(path, tmp_path, version):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "UPDATE meta SET value = ? WHERE key = 'manifest'", (encode_row("manifest", [version, {"new": "things"}]),)
    )
    connection.close()
    content = path.read_bytes()
    for work in (lambda: SqliteIndex(path), lambda: check_file(path), lambda: repair_index(path, tmp_path / "new.db")):
        with pytest.raises(IncompatibleIndexError, match=f"format {version}"):
            work()
    assert path.read_bytes() == content
    assert not (tmp_path / "new.db").exists()
