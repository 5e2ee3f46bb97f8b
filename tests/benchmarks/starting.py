"""What a command takes from its start to its end: `pixie search` with a model, with a table, and `import torch` alone.

For example, beside the working tree that stands in another folder::

    python tests/benchmarks/starting.py --tree before=../before --rounds 5 --output /tmp/starting.json

Every process is a new one, the commands take turns, and what counts is processor time, of the process and its threads:
other work on the machine changes it least. A first round, which fills the caches of files and of compiled code, is left
out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_HERE = Path(__file__).parents[2]
_TEXTS = [f"{thing}에 관한 {n}번째 글이다." for n, thing in enumerate(("위성 영상", "논의 물", "법원의 판결") * 20)]
_PIXIE = ("-m", "pixie_retrievers.cli")


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        cpu_s: Processor time, its own and the system's for it.
        wall_s: From start to end.
        peak_bytes: The most memory that was resident, code of libraries included.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int


def main(
    tree: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER of another working tree; repeat for more")] = None,
    rounds: Annotated[int, typer.Option(help="How often each command is run")] = 5,
    model: Annotated[str, typer.Option(help="A model's name or folder, or bundled")] = "bundled",
    output: Annotated[Path | None, typer.Option(help="Write every run as JSON")] = None,
) -> None:
    trees = dict(one.split("=", 1) for one in tree or []) | {"here": str(_HERE)}
    with tempfile.TemporaryDirectory() as folder:
        index, rows = str(Path(folder) / "corpus.db"), Path(folder) / "corpus.jsonl"
        lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(_TEXTS)]
        rows.write_text("\n".join(lines), encoding="utf-8")
        # Not in this process: what starts another hands its own peak of memory on to it.
        _run([*_PIXIE, "index", str(rows), "-o", index, "--model", model], str(_HERE))
        _run([*_PIXIE, "inference-free", index, "--model", model], str(_HERE))
        asked = ["search", index, "위성 영상", "--model", model]
        commands = {"import torch": (str(_HERE), ["-c", "import torch"])}
        commands |= {f"search, {name}": (path, [*_PIXIE, *asked]) for name, path in trees.items()}
        commands["search --fast, here"] = (str(_HERE), [*_PIXIE, "search", index, "위성 영상", "--fast"])
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, (path, arguments) in commands.items():
                run = _run(arguments, path)
                if number:
                    runs[name].append(run)
    table = Table("", "processor s", "lowest-highest", "wall s", "peak MB")
    for name, found in runs.items():
        cpu = [run.cpu_s for run in found]
        table.add_row(
            name,
            f"{median(cpu):.2f}",
            f"{min(cpu):.2f}-{max(cpu):.2f}",
            f"{median(run.wall_s for run in found):.1f}",
            f"{median(run.peak_bytes for run in found) / 1e6:.0f}",
        )
    Console().print(table)
    if output is not None:
        output.write_text(json.dumps({name: [asdict(run) for run in found] for name, found in runs.items()}, indent=1))


def _run(arguments: list[str], path: str) -> Run:
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=path, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(arguments)} left with exit code {os.waitstatus_to_exitcode(status)}")
    return Run(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss * 1024)


if __name__ == "__main__":
    typer.run(main)
