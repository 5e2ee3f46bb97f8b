"""Anserini itself indexes an export, and its ten best are those of the index, up to the rounding that is stated.

PIXIE_ANSERINI_JAR names its jar: `pip download --no-deps pyserini==1.6.0` has one, under pyserini/resources/jars.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from engines.servers import java_of
from vectors import documents, random_vectors

from pixie_retrievers import SqliteIndex, export_index

JAR = os.environ.get("PIXIE_ANSERINI_JAR", "")
N, N_QUERIES, STEPS = 2000, 50, 100
VOCABULARY_SIZE = 3000


@pytest.fixture
def anserini():
    """Runs one of its programs."""
    if not Path(JAR).is_file():
        pytest.skip("PIXIE_ANSERINI_JAR does not name a jar of Anserini")
    java = java_of("opensearch") / "java"  # of a version that suits both

    def run(program, **options):
        arguments = [
            word for name, value in options.items() for word in (f"-{name}", *([] if value is True else [value]))
        ]
        command = [java, "-Xmx1g", "--add-modules", "jdk.incubator.vector", "-cp", JAR, f"io.anserini.{program}"]
        done = subprocess.run(
            [*map(str, command), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    return run


@pytest.mark.server
def test_anserinis_ten_best_are_the_indexs(anserini, tmp_path):
    vectors = random_vectors(N, vocabulary_size=VOCABULARY_SIZE, n_terms=60)
    queries = random_vectors(N_QUERIES, vocabulary_size=VOCABULARY_SIZE, n_terms=20, seed=1)
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=VOCABULARY_SIZE) as index:
        index.upsert(documents(N), vectors)
        export_index(index, "anserini", tmp_path / "out", quantise=STEPS)
        ours = [[hit.document.id for hit in hits] for hits in index.search(queries, 10)]
    counts = [{term: round(weight * STEPS) for term, weight in row.items()} for row in queries.to_dicts()]
    # A query says a term as often as its weight has steps.
    topics = [" ".join(" ".join([str(term)] * n) for term, n in row.items()) for row in counts]
    (tmp_path / "queries.tsv").write_text("".join(f"{n}\t{topic}\n" for n, topic in enumerate(topics)))
    anserini(
        "index.IndexCollection",
        collection="JsonVectorCollection",
        input=tmp_path / "out/documents",
        index=tmp_path / "lucene",
        generator="DefaultLuceneDocumentGenerator",
        threads=1,
        impact=True,
        pretokenized=True,
    )
    anserini(
        "search.SearchCollection",
        index=tmp_path / "lucene",
        topics=tmp_path / "queries.tsv",
        topicReader="TsvInt",
        output=tmp_path / "run.txt",
        hits=10,
        impact=True,
        pretokenized=True,
    )
    theirs = defaultdict(list)
    for line in (tmp_path / "run.txt").read_text().splitlines():
        query, _, id, _, score, _ = line.split()
        theirs[int(query)].append((id, float(score)))
    whole = np.rint(vectors.to_scipy().toarray() * STEPS)
    found = 0
    for n, row in enumerate(counts):
        scores = whole[:, list(row)] @ np.array(list(row.values()))
        assert [score for _, score in theirs[n]] == sorted(scores, reverse=True)[:10]  # as exact as whole numbers are
        assert [scores[int(id.removeprefix("d"))] for id, _ in theirs[n]] == [score for _, score in theirs[n]]
        found += len({id for id, _ in theirs[n]} & set(ours[n]))
    assert found / (10 * N_QUERIES) >= 0.97
