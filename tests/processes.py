"""Python in a process of its own: a signal, a hang or a setting of the environment stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 3600 if os.environ.get("PIXIE_SOAK") else 600
"""A guard against a hang, not a measurement."""


def script(source: str, *args: str, **environment: str) -> Any:
    """Run Python in a process of its own, and read the JSON that it prints last."""
    paths = os.pathsep.join([str(Path(__file__).parent), *(path for path in sys.path if path)])
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *args],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])
