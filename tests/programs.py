"""Programs that the documentation shows, each in a process of its own that need not import the heavy packages anew."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["Ended", "run_program"]

TIMEOUT_S = 300
HEAVY = ["torch", "transformers", "sentence_transformers", "langchain_core.documents", "llama_index.core", "numba"]
"""Imported once, in a process that runs nothing; each program's process is forked from it, where systems fork."""
_HOW = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PROCESSES = multiprocessing.get_context(_HOW)
if _HOW == "forkserver":
    _PROCESSES.set_forkserver_preload(HEAVY)


@dataclass
class Ended:
    """What a program left.

    Attributes:
        returncode: 0 where it came to its end.
        stdout, stderr: What it printed.
    """

    returncode: int | None
    stdout: str
    stderr: str


def run_program(program, folder, *, warnings_are="error", name="<program>"):
    """Run Python in a folder; a warning is an error, unless ``warnings_are`` says what else is done with it."""
    with TemporaryDirectory() as logs:
        paths = [str(Path(logs, stream)) for stream in ("out", "err")]
        process = _PROCESSES.Process(target=_run, args=(program, str(folder), warnings_are, name, paths))
        process.start()
        process.join(TIMEOUT_S)
        if process.is_alive():
            process.kill()
            process.join()
        stdout, stderr = (Path(path).read_text(encoding="utf-8") if Path(path).exists() else "" for path in paths)
        return Ended(process.exitcode, stdout, stderr)


def _run(program, folder, warnings_are, name, paths):
    for number, path in enumerate(paths, start=1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # for the rest of the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.argv = [name]
    warnings.resetwarnings()
    warnings.simplefilter(warnings_are)
    exec(compile(program, name, "exec"), {"__name__": "__main__", "__file__": name})
    sys.stdout.flush()
    sys.stderr.flush()
