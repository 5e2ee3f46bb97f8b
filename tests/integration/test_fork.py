"""A forked process in which a model cannot compute is told so, and never hangs; where it can, it does."""

from __future__ import annotations

import sys

import pytest
from processes import script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads of torch outlive forks differently")

BEGIN = """
import json, multiprocessing, os, select, signal, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

def make(_=None):
    from pixie_retrievers import PixieEncoder
    return PixieEncoder.bundled(device="cpu")

def said(work):
    from pixie_retrievers import ModelUnavailableError
    try:
        work()
    except ModelUnavailableError as error:
        return "raises" if "'spawn' or 'forkserver'" in str(error) else f"unclear: {error}"
    return "works"

def in_child(work):
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that forking with threads is a bad idea is what this is about
        child = os.fork()
    if not child:
        try:
            os.write(write, said(work).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], 120)
    answer = os.read(read, 1000).decode() if ready else "hangs"
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return answer

def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""

USED_MEANWHILE = """
encoder = make()
asked = ["위성 " * 200] * 40
encoder.encode_queries(["국방 위성"])
encoder.encode_documents(asked)  # the threads that a child will not have are running now
busy = threading.Thread(target=lambda: [encoder.encode_documents(asked) for _ in range(2)])
busy.start()  # and may hold any lock
found = {in_child(lambda: encoder.encode_queries(["국방 위성"])) for _ in range(10)} | {in_child(make)}
busy.join()
print(json.dumps(sorted(found)))
"""

USED_BEFORE = """
from pixie_retrievers import SparseRetriever
encoder = make()
retriever = SparseRetriever.open(encoder=encoder)
retriever.add_texts(["위성은 지구를 돈다."], ids=["a"])
vector = encoder.encode_queries(["위성"])

def searched():
    assert [hit.document.id for hit in retriever.index.search(vector, 3)[0]] == ["a"]

print(json.dumps({
    "made": in_child(make),
    "opened": in_child(lambda: SparseRetriever.open(encoder="bundled")),
    "asked": in_child(lambda: encoder.encode_queries(["위성"])),
    "asked of a retriever": in_child(lambda: retriever.search("위성")),
    "encoded": in_child(lambda: encoder.encode_documents(["위성"])),
    "why": in_child(lambda: encoder.raised_by("위성", [7])),
    "an index": in_child(searched),
    "names": in_child(lambda: encoder.tokens([7])),
}))
"""

TORCH_OF_OTHERS = """
import torch
a = torch.randn(600, 600)
(a @ a).exp().sum()  # before this package is there at all
print(json.dumps(in_child(make)))
"""

OTHER_THREADS = """
import torch
expected = []
in_thread(lambda: expected.append(make().encode_documents(["국방 위성 " * 100] * 8)))

def encode():
    assert make().encode_documents(["국방 위성 " * 100] * 8).to_dicts()[0].keys() == expected[0].to_dicts()[0].keys()

print(json.dumps(in_child(encode)))
"""

IMPORTED = """
import pixie_retrievers.encoder.pixie, torch, transformers
print(json.dumps(in_child(lambda: make().encode_queries(["위성"]))))
"""

POOL = """
def made(_):
    return said(make)

def asked(encoder):
    return said(lambda: encoder.encode_queries(["위성"]))

encoder = make()
found = []
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        found += pool.map(made, range(2))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            found.append(pool.submit(asked, encoder).result(120))  # it is made there, before anything is called
        except BrokenProcessPool:
            found.append("breaks")
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(USED_MEANWHILE, ["raises"], id="while another thread encodes"),
        pytest.param(
            USED_BEFORE,
            dict.fromkeys(["made", "opened", "asked", "asked of a retriever", "encoded", "why"], "raises")
            | dict.fromkeys(["an index", "names"], "works"),
            id="after an encoder was used",
        ),
        pytest.param(TORCH_OF_OTHERS, "raises", id="after torch was used by others"),
        pytest.param(OTHER_THREADS, "works", id="after an encoder was used in another thread"),
        pytest.param(IMPORTED, "works", id="after torch was imported"),
        pytest.param(POOL, ["raises", "raises", "breaks"], id="by a pool of processes"),
    ],
)
def test_a_forked_process_never_hangs(code, expected):
    assert script(BEGIN + code, OMP_NUM_THREADS="2") == expected
