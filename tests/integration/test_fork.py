"""A process that is forked after a model was loaded is told so at once, and never hangs."""

from __future__ import annotations

import os

import pytest
from processes import script

CODE = """
import json, os, select, signal, threading, warnings
from pixie_retrievers import PixieEncoder
from pixie_retrievers.errors import ModelUnavailableError

encoder = PixieEncoder.bundled(device="cpu")
asked = ["위성 " * 200] * 40
encoder.encode_queries(["국방 위성"])
encoder.encode_documents(asked)  # the threads that a child will not have are running now
busy = threading.Thread(target=lambda: [encoder.encode_documents(asked) for _ in range(2)])
busy.start()  # and may hold any lock
found = []
for _ in range(10):
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that forking with threads is a bad idea is what this is about
        child = os.fork()
    if not child:
        try:
            encoder.encode_queries(["국방 위성"])
            answer = b"works"
        except ModelUnavailableError as error:
            answer = b"raises" if "spawn" in str(error) else b"unclear"
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], 120)
    found.append(os.read(read, 100).decode() if ready else "hangs")
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
busy.join()
print(json.dumps(sorted(set(found))))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_never_hangs():
    assert script(CODE) == ["raises"]
