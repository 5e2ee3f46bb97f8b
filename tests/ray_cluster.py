"""Encodes a corpus on a local Ray cluster of two workers, one of which is killed; run inside a network namespace.

python tests/ray_cluster.py FOLDER RAYS_OWN_FOLDER

Prints JSON: how many documents each way of storing left, and how many workers there were.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import ray

from pixie_retrievers import PixieEncoder, open_index
from pixie_retrievers.ray_data import attach_parts, encode_dataset, write_index, write_parts

N = 600
FOLDER = Path(sys.argv[1])


def make_encoder():
    """The bundled model, in a worker that says who it is."""
    Path(FOLDER, f"worker-{os.getpid()}-{time.time_ns()}").touch()
    return PixieEncoder.bundled()


def kill_one():
    """The first of two workers that encode, once both have begun."""
    before = {path.name for path in FOLDER.glob("worker-*")}
    while True:
        new = [path.name for path in FOLDER.glob("worker-*") if path.name not in before]
        if len(new) >= 3:  # one that only says what the model is, and the two
            break
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(int(max(new, key=lambda name: name.rpartition("-")[2]).split("-")[1]), signal.SIGKILL)


def main():
    ray.init(
        num_cpus=4, include_dashboard=False, logging_level="ERROR", object_store_memory=200 << 20, _temp_dir=sys.argv[2]
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [
        {"id": f"d{i}", "text": f"위성 {i}호는 궤도에서 {i % 97}번 지구를 찍었다. " * 12, "metadata": {"n": i}}
        for i in range(N)
    ]
    dataset = ray.data.from_items(rows, override_num_blocks=30)
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    encoded = encode_dataset(dataset, make_encoder, n_workers=2, batch_size=50, num_cpus=1)
    write_index(encoded, str(FOLDER / "direct.db"))
    killer.join()
    write_parts(encoded, FOLDER / "parts")
    told = {"attached_n": attach_parts(FOLDER / "parts", FOLDER / "attached.db")}
    told["n_workers"] = len(list(FOLDER.glob("worker-*")))
    for name in ("direct", "attached"):
        index = open_index(FOLDER / f"{name}.db")
        told[name] = {"n": len(index), "ids": sorted(index.ids()) == sorted(row["id"] for row in rows)}
        told[name]["sound"] = index.check().sound
        index.close()
    told["parts"] = len(list((FOLDER / "parts").iterdir()))
    ray.shutdown()
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
