"""What reaches a terminal: nothing that it would obey, nothing that it would not show."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.cli.app import app
from pixie_retrievers.cli.terminal import notes, one_line, output, print_json
from pixie_retrievers.render import UNSEEN

HOSTILE = "".join(map(chr, sorted(UNSEEN)))


def is_shown(text):
    return not any(ord(character) in UNSEEN - {ord("\n")} for character in text)


@pytest.mark.parametrize("console", [output, notes])
def test_a_console_shows_what_it_would_otherwise_obey(console, capsys):
    for shown in (HOSTILE, f"[bold]{HOSTILE}[/]"):
        console().print(shown, soft_wrap=True)
    said = capsys.readouterr()
    assert is_shown(said.out + said.err)
    assert "\N{REPLACEMENT CHARACTER}" in said.out + said.err


def test_json_escapes_what_a_terminal_would_not_show(capsys):
    print_json({HOSTILE: [HOSTILE, "한국어"]})
    said = capsys.readouterr().out
    assert is_shown(said)
    assert "한국어" in said
    assert json.loads(said) == {HOSTILE: [HOSTILE, "한국어"]}


def test_an_error_is_one_line_that_shows_everything():
    assert is_shown(one_line(HOSTILE))
    assert "\n" not in one_line(f"a\n{HOSTILE}\nb")


def test_a_hostile_path_and_a_hostile_model_are_shown(tmp_path):
    name = "a\x1b[31m\u200b\u202e\U000e0041\u3164"
    path = tmp_path / f"{name}.db"
    with SqliteIndex(path, vocabulary_size=9, fingerprint=name) as index:
        index.upsert([Document(name, name, {name: name})], SparseVectors.from_dicts([{1: 1.0}], 9))
    for command in (
        ["info", path],
        ["info", "--check", path],
        ["info", "--json", path],
        ["check", path],
        ["check", "--json", path],
        ["compact", path],
        ["search", path, "질문"],
        ["repair", path, tmp_path / f"{name}2.db"],
        ["repair", path, tmp_path / f"{name}2.db"],
        ["delete", path, name, f"{name}2"],
        ["info", tmp_path / f"{name}3.db"],
    ):
        assert is_shown(CliRunner().invoke(app, list(map(str, command))).output), command
