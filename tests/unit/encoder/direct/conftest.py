"""A change of one file of a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def changed(copy_of: Callable[[Path], Path]) -> Callable[..., Path]:
    """A copy of a folder with other values in one of its JSON files; a value of None removes the key."""

    def change(folder: Path, name: str, values: dict[str, Any]) -> Path:
        folder = copy_of(folder)
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        content = {key: value for key, value in (content | values).items() if value is not None}
        path.write_text(json.dumps(content), encoding="utf-8")
        return folder

    return change
