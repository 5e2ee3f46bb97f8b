"""A service with two workers answers many callers while another process writes."""

from __future__ import annotations

import os
import subprocess
import sys

from serving import ask, service

from pixie_retrievers import PixieEncoder, SparseRetriever

SUBJECTS = ["정찰 위성이 국경을 살핀다", "김치는 천천히 익는다", "대출 이자는 금리를 따른다", "한강의 수위가 오른다"]
N = 40

WRITER = """
import sys
from pathlib import Path
from pixie_retrievers import Document, PixieEncoder, SqliteIndex

encoder = PixieEncoder.bundled()
texts = sys.argv[3:]
vectors = encoder.encode_documents(texts)
with SqliteIndex(sys.argv[1]) as index:
    revision = 0
    print("ready", flush=True)
    while not Path(sys.argv[2]).exists():
        revision += 1
        metadata = {"revision": revision}
        index.upsert([Document(f"d{i}", text, metadata) for i, text in enumerate(texts)], vectors)
print(revision)
"""


def test_every_answer_is_whole_and_of_one_commit_while_another_process_writes(tmp_path):
    path, stop = tmp_path / "corpus.db", tmp_path / "stop"
    texts = [f"{SUBJECTS[i % len(SUBJECTS)]}. {i}" for i in range(N)]
    with SparseRetriever.open(path, encoder=PixieEncoder.bundled()) as retriever:
        retriever.add_texts(texts, metadatas=[{"revision": 0}] * N, ids=[f"d{i}" for i in range(N)])
    with service(path, n_workers=2) as address:
        command = [sys.executable, "-c", WRITER, str(path), str(stop), *texts]
        with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            try:
                questions = [f"{SUBJECTS[i % len(SUBJECTS)]}?" for i in range(600)]
                answers = [answer for _, answer in ask(address, questions, n_callers=50, k=10)]
            finally:
                stop.touch()
            n_revisions = int(writer.communicate()[0])
    assert len(answers) == 600
    assert n_revisions > 5
    revisions = [{hit["metadata"]["revision"] for hit in answer} for answer in answers]
    assert all(len(seen) == 1 for seen in revisions)
    assert len(set().union(*revisions)) > 3
    assert all(len(answer) == 10 for answer in answers)
    with SparseRetriever.open(path, encoder=PixieEncoder.bundled()) as retriever:
        assert len(retriever) == N
        assert retriever.index.check().sound
