"""Ctrl-C at any moment: nothing hangs, nothing leaks, nothing is half-written, and what is raised is an interrupt."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from figures import INTERRUPTS, holds

WORK = """
import gc, json, os, signal, sys, time
import histories

path, mode, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
batch, ids = histories.queries(), tuple(histories.IDS[:40])
unexpected, state = [], {"n": 0, "revision": 1}

def change(index):
    state["revision"] += 1
    histories.apply(index, histories.Step("upsert", ids, state["revision"]))

def use(index):
    if mode != "read":
        change(index)
    if mode == "compact":
        index.compact()
    if mode != "write":
        for _ in range(20):
            index.search(batch, 5)

def left_open():
    gc.collect()
    # Not threading.active_count(): an interrupt inside Thread.start() leaves a thread that never began in its list.
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

def work(index):
    while state["n"] < n:
        try:
            use(index)
        except KeyboardInterrupt:
            state["n"] += 1
        except BaseException as error:
            unexpected.append(repr(error))

with histories.opened(path) as index:
    use(index)
    change(index)
    before = left_open()
    print("ready", flush=True)
    while state["n"] < n:
        try:  # an interrupt may come where the work above is not looking for it
            work(index)
        except KeyboardInterrupt:
            state["n"] += 1
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            break
        except KeyboardInterrupt:
            pass
    index.search(batch, 5)
    change(index)
    found = histories.shown(index, batch)
    revisions = {document.metadata["revision"] for document in found["documents"] if document}
    for _ in range(100):  # threads that have done their work are still there for a moment
        threads, files = (now - then for now, then in zip(left_open(), before))
        if threads == 0:
            break
        time.sleep(0.05)
    sound = index.check().sound
print(json.dumps([unexpected, len(revisions), threads, files <= 4, sound]))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
@pytest.mark.parametrize("mode", ["write", "read", "both", "compact"])
@pytest.mark.parametrize("n_signals", [1, 2])
@holds(INTERRUPTS)
def test_interrupts_end_what_runs_and_leave_nothing_behind(tmp_path, mode, n_signals):
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *(path for path in sys.path if path)])
    moments = random.Random(f"{mode} {n_signals}")
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path / "index.db"), mode, str(INTERRUPTS.n)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < 240:
            for _ in range(n_signals):  # the second within 10 ms of the first
                time.sleep(moments.random() * 0.01)
                process.send_signal(signal.SIGINT)
            time.sleep(moments.random() * 0.02)
        if process.poll() is None:
            process.kill()
        said, errors = process.communicate()
    assert process.returncode == 0, f"hung, or died: {errors[-3000:]}"
    assert said.strip() == "[[], 1, 0, true, true]"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.db"]
