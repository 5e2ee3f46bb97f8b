"""A corpus that changes, kept up to date by LangChain's index(): only what is new is encoded. Needs no network.

    pip install "pixie-retrievers[langchain]"
    python examples/langchain_incremental.py

The encoder is the small one that comes with the package; leave out ``encoder`` to get PIXIE. The record manager here
forgets when the program ends: for real use take one that keeps a file, such as langchain-classic's SQLRecordManager.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index

from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import PixieVectorStore


def page(source: str, text: str) -> Document:
    return Document(text, metadata={"source": source})


MONDAY = [
    page("launch.txt", "누리호의 다음 발사는 가을로 정해졌다."),
    page("launch.txt", "발사 장소는 고흥이다."),
    page("farm.txt", "위성 자료로 가뭄을 미리 안다."),
]
TUESDAY = [
    page("launch.txt", "누리호의 다음 발사는 겨울로 미뤄졌다."),
    page("launch.txt", "발사 장소는 고흥이다."),
]

records = InMemoryRecordManager("articles")
options = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": "sha256"}

with (
    TemporaryDirectory() as folder,
    PixieVectorStore.from_texts([], encoder=PixieEncoder.bundled(), path=Path(folder, "articles.db")) as store,
):
    monday = index(MONDAY, records, store, **options)
    again = index(MONDAY, records, store, **options)
    tuesday = index(TUESDAY, records, store, **options)
    found = store.similarity_search("누리호는 언제 발사하나요?", k=1)
    kept = store.similarity_search("가뭄", k=1)

print("Monday: ", monday)
print("again:  ", again)
print("Tuesday:", tuesday)
print(found[0].page_content)

assert (monday["num_added"], again["num_added"], again["num_skipped"]) == (3, 0, 3)
assert (tuesday["num_added"], tuesday["num_skipped"], tuesday["num_deleted"]) == (1, 1, 1)
assert found[0].page_content == "누리호의 다음 발사는 겨울로 미뤄졌다."
assert kept[0].metadata["source"] == "farm.txt"
