"""The `pixie` command as processes: its entry point, exit codes, streams, pipes, and what it imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import script

from pixie_retrievers import __version__
from pixie_retrievers.index.sqlite.engine import SqliteIndex
from pixie_retrievers.types import Document, SparseVectors

TEXTS = {"위성": "정찰 위성이 국경을 살핀다.", "김치": "김치는 천천히 익는다."}


@pytest.fixture
def environment(tmp_path):
    """No network, no cached model."""
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "COLUMNS": "80",
    }


@pytest.fixture
def pixie(environment, tmp_path):
    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "pixie_retrievers.cli", *map(str, arguments)],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "timeout": 300} | options,
            env=environment,
            cwd=tmp_path,
            check=False,
        )

    return run


@pytest.fixture
def index(tmp_path):
    """An index that takes no model to make, nor to ask `pixie info` about."""
    path = tmp_path / "위성.db"
    with SqliteIndex(path, vocabulary_size=2, fingerprint="model") as opened:
        opened.upsert([Document("1", "글")], SparseVectors.from_dicts([{1: 1.0}], 2))
    return path


def test_the_package_installs_the_command():
    from importlib.metadata import entry_points

    (command,) = {entry for entry in entry_points(group="console_scripts") if entry.name == "pixie"}
    assert command.value == "pixie_retrievers.cli:main"


def test_it_says_its_version(pixie):
    done = pixie("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pixie {__version__}\n", "")


def test_help_versions_and_wrong_usage_load_nothing_heavy():
    said = script(
        """
import json, sys
from typer.main import get_command
from typer.testing import CliRunner
from pixie_retrievers.cli.app import app

run = CliRunner().invoke
calls = [[name, "--help"] for name in get_command(app).commands]
codes = [run(app, call).exit_code for call in [["--help"], ["--version"], *calls, ["frobnicate"]]]
heavy = {"torch", "transformers", "sentence_transformers", "numba", "scipy", "sqlitedict", "langchain_core"}
print(json.dumps([codes, sorted(heavy & sys.modules.keys())]))
"""
    )
    *fine, wrong = said[0]
    assert set(fine) == {0}
    assert wrong == 2
    assert said[1] == []


def test_an_index_is_made_searched_and_explained_across_processes(pixie, tmp_path):
    rows = [json.dumps({"id": id, "text": text}, ensure_ascii=False) for id, text in TEXTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows), encoding="utf-8")
    made = pixie("index", "corpus.jsonl", "-o", "corpus.db", "--model", "bundled", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["documents"] == 2
    found = pixie("search", "corpus.db", "국방 위성", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    first = json.loads(found.stdout)["results"][0]
    assert first["id"] == "위성"
    explained = pixie("explain", "corpus.db", "국방 위성", "위성", "--json")
    assert (explained.returncode, explained.stderr) == (0, "")
    assert json.loads(explained.stdout)["score"] == pytest.approx(first["score"])


def test_an_unknown_model_is_refused_with_the_ways_out(pixie, tmp_path):
    (tmp_path / "글.txt").write_text("위성", encoding="utf-8")
    done = pixie("index", "글.txt", "-o", "corpus.db", "--model", "nobody/nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the model 'nobody/nothing' is neither in the local cache nor reachable")
    assert done.stderr.count("\n") == 1
    assert "--model bundled" in done.stderr
    assert "folder" in done.stderr
    assert not (tmp_path / "corpus.db").exists()


def test_errors_go_to_stderr_and_leave_with_1(pixie, tmp_path):
    done = pixie("info", tmp_path / "nowhere.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_wrong_usage_leaves_with_2(pixie):
    done = pixie("info")
    assert (done.returncode, done.stdout) == (2, "")
    assert "INDEX" in done.stderr


def test_a_shell_completes_commands(environment, pixie):
    environment |= {"_PIXIE_COMPLETE": "complete_bash", "COMP_WORDS": "pixie ex", "COMP_CWORD": "1"}
    assert pixie().stdout.split() == ["explain", "explore", "export"]


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_that_goes_away_is_not_a_traceback(environment, index, options):
    process = subprocess.Popen(
        [sys.executable, "-m", "pixie_retrievers.cli", "info", str(index), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(300) != 0
    assert complaint == b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_gets_colours_unless_it_wants_none(environment, tmp_path):
    import pty

    (tmp_path / "글.txt").write_text(TEXTS["위성"], encoding="utf-8")
    pixie = [sys.executable, "-m", "pixie_retrievers.cli"]
    commands = [["index", "글.txt", "-o", "corpus.db", "--model", "bundled"], ["search", "corpus.db", "위성"]]

    def shown(**settings):
        screen, terminal = pty.openpty()
        with os.fdopen(terminal, "wb") as out:
            for command in commands:
                subprocess.run(
                    [*pixie, *command],
                    stdout=out,
                    stderr=subprocess.PIPE,
                    env=environment | {"TERM": "xterm-256color"} | settings,
                    cwd=tmp_path,
                    timeout=300,
                    check=True,
                )
            text = os.read(screen, 65536).decode()
        os.close(screen)
        return text

    colour = re.compile(r"\x1b\[[\d;]*[34]\d[\d;]*m")
    assert colour.search(shown())
    without = shown(NO_COLOR="1")
    assert "정찰" in without
    assert not colour.search(without)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_output_that_does_not_fit_on_the_disk_is_one_line(pixie, index, options):
    with Path("/dev/full").open("w") as full:
        done = pixie("info", index, *options, stdout=full)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_output_that_cannot_hold_korean_gets_what_it_can_hold(environment, pixie, index):
    environment |= {"PYTHONIOENCODING": "ascii", "COLUMNS": "1000"}
    shown = pixie("info", index)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "??.db" in shown.stdout
    as_json = pixie("info", index, "--json")
    assert (as_json.returncode, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout)["path"] == str(index)
