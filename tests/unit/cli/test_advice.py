"""Advice for Python becomes advice for the command line, as long as both are what the package says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pixie_retrievers
from pixie_retrievers.cli.advice import ADVICE, for_command_line

MESSAGES = {
    " ".join(part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
    for path in Path(pixie_retrievers.__file__).parent.rglob("*.py")
    if path.name != "advice.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, (ast.Constant, ast.JoinedStr))
}


@pytest.mark.parametrize("advice", ADVICE)
def test_all_that_is_put_into_other_words_is_said_somewhere(advice):
    assert any(advice in message for message in MESSAGES)
    assert for_command_line(f"it failed: {advice}.") == f"it failed: {ADVICE[advice]}."


def test_other_messages_stay_as_they_are():
    assert (
        for_command_line("the file is damaged: restore it from a copy") == "the file is damaged: restore it from a copy"
    )
