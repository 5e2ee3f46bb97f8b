"""Begin with a file; when it is outgrown, move the index to a server and change one URL. Needs no network.

    pip install "pixie-retrievers[encoder,langchain,opensearch]"
    python examples/from_file_to_server.py opensearch+http://127.0.0.1:9200/corpus

Without a URL the index moves to a second file, which shows the same.
"""

import sys
import tempfile
from pathlib import Path

from langchain_core.documents import Document

from pixie_retrievers import PixieEncoder, copy_index, open_index
from pixie_retrievers.index.opening import begin_index
from pixie_retrievers.langchain import PixieRetriever

DOCUMENTS = [
    Document("누리호는 2022년 6월 21일 두 번째 발사에서 위성을 궤도에 올렸다.", id="nuri", metadata={"year": 2022}),
    Document("다누리는 한국의 첫 달 탐사선으로 달 궤도에서 표면을 촬영한다.", id="danuri", metadata={"year": 2022}),
    Document("천리안 2B호는 해양과 환경을 살피는 정지궤도 위성이다.", id="chollian", metadata={"year": 2020}),
]
QUESTION = "위성을 궤도에 올린 로켓은 언제 발사됐나요?"


def answers(location: str) -> list[tuple[str | None, float, str]]:
    """What a chain sees: this function is the same before and after."""
    with PixieRetriever.from_index(location, k=2) as retriever:
        found = retriever.invoke(QUESTION, filter={"year": {"$gte": 2020}})
    return [
        (document.id, round(document.metadata["score"], 4), document.metadata["token_explanations"][0]["surface"])
        for document in found
    ]


with tempfile.TemporaryDirectory() as folder:
    before = str(Path(folder, "corpus.db"))
    after = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder, "moved.db"))
    PixieRetriever.from_documents(DOCUMENTS, encoder=PixieEncoder.bundled(), path=before).close()
    in_the_file = answers(before)

    # On the command line: pixie copy corpus.db opensearch+http://127.0.0.1:9200/corpus
    source = open_index(before)
    target = begin_index(after, vocabulary_size=source.vocabulary_size, fingerprint=source.fingerprint)
    copied = copy_index(source, target)
    source.close()
    target.close()

    on_the_server = answers(after)

print(QUESTION)
for id, score, surface in on_the_server:
    print(f"{id} {score:.2f}, most by {surface}")

assert copied.copied == 3
assert not copied.differences
assert on_the_server == in_the_file
assert on_the_server[0][0] == "nuri"
