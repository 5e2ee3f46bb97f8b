"""The example service under several workers, and many callers who ask it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
START_S = 120


@contextmanager
def service(path: Path, *, n_workers: int, python: str = sys.executable, **environment: str) -> Iterator[str]:
    """The address of the service over an index file, which ends with the block.

    Args:
        path: The file.
        n_workers: How many processes answer.
        python: Which Python runs it.
        environment: What its environment says beside this process's.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "uvicorn", "--app-dir", str(ROOT / "examples" / "service"), "app:app"]
    command += ["--workers", str(n_workers), "--port", str(port), "--log-level", "warning"]
    log = path.with_name("service.log")
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command, env=os.environ | environment | {"CORPUS": str(path)}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            address, began = f"http://127.0.0.1:{port}", time.monotonic()
            while True:
                try:
                    httpx.get(f"{address}/search", params={"q": "위성"}, timeout=START_S).raise_for_status()
                    break
                except httpx.TransportError:
                    said = log.read_text(encoding="utf-8")
                    assert process.poll() is None, said
                    assert time.monotonic() - began < START_S, said
                    time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(START_S)


def ask(address: str, questions: Sequence[str], *, n_callers: int, k: int) -> list[tuple[float, Any]]:
    """Each question once, by so many callers at a time: the seconds it took, and the answer."""
    return asyncio.run(_ask(address, questions, n_callers, k))


async def _ask(address: str, questions: Sequence[str], n_callers: int, k: int) -> list[tuple[float, Any]]:
    left, answers = iter(questions), []

    async def call() -> None:
        # A client of its own: httpx goes through all connections of one for every request, and then waits for itself.
        async with httpx.AsyncClient(timeout=START_S, verify=False) as client:  # no certificate here
            for question in left:
                began = time.perf_counter()
                response = await client.get(f"{address}/search", params={"q": question, "k": k})
                seconds = time.perf_counter() - began
                assert response.status_code == 200, response.text
                answers.append((seconds, response.json()))

    await asyncio.gather(*(call() for _ in range(n_callers)))
    return answers
