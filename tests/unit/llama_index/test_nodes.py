"""A node becomes a document and the same node again: no index, no model."""

from __future__ import annotations

import copy
import json
import pickle
from typing import ClassVar

import pytest
from explanations import explanation_of
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc

from pixie_retrievers import types
from pixie_retrievers.errors import IncompatibleIndexError, InvalidDocumentError
from pixie_retrievers.index.documents import check_documents
from pixie_retrievers.llama_index.nodes import (
    NODE_KEY,
    REF_DOC_KEY,
    annotated,
    to_document,
    to_node,
    without_notes,
)
from pixie_retrievers.types.metadata import FUSION_PARTS, TOKEN_EXPLANATIONS, TOKEN_SCORE

EXPLANATION = explanation_of(
    [types.TokenContribution("##성", "성", 7, 2.0, 3.0, 6.0, in_query=True, in_document=False)]
)
RELATIONSHIPS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="문서", node_type=ObjectType.DOCUMENT, metadata={"쪽": 3, "없음": None}, hash="abc"
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="앞", node_type="자체"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="가"), RelatedNodeInfo(node_id="나", node_type=ObjectType.IMAGE)],
}


class Recipe(TextNode):
    """A user's own node type, with a field, a hash and private state of its own."""

    servings: int = 1
    kind: ClassVar[str] = "recipe"
    _seen: bool = PrivateAttr(default=False)

    @property
    def hash(self) -> str:
        return f"{self.servings}:{super().hash}"


class Claim(TextNode):
    """Another one, with a field named as one of core's own types has it."""

    obj: str = ""


# Older versions of TextNode have a second field for it, and lose this one in their own dump.
SEPARATOR = {} if "metadata_seperator" in TextNode.model_fields else {"metadata_separator": " / "}

NODES = {
    "text": TextNode(text="인공위성은 지구를 돈다.", metadata={"나": 1, "가": [1.5, None, {"다": "라"}]}),
    "bare text": TextNode(text="  끝에 빈칸 "),
    "empty text": TextNode(text=""),
    "text with everything": TextNode(
        id_="아이디",
        text="로켓 발사",
        metadata={"제목": "로켓", "비밀": 1, "쪽": 2},
        excluded_llm_metadata_keys=["비밀"],
        excluded_embed_metadata_keys=["쪽"],
        metadata_template="[{key}] {value}",
        **SEPARATOR,
        text_template="{content}\n--\n{metadata_str}",
        mimetype="text/markdown",
        start_char_idx=10,
        end_char_idx=15,
        relationships=RELATIONSHIPS,
    ),
    "text the template strips": TextNode(
        text=" 앞뒤 빈칸 ", metadata={"a": 1}, text_template="{content}{metadata_str}"
    ),
    "image": ImageNode(
        text="로켓 사진", image="aGVsbG8=", image_path="a/b.png", image_url="https://a.kr/b.png", metadata={"a": 1}
    ),
    "index": IndexNode(text="요약", index_id="질의 엔진", metadata={"a": 1}),
    "index of a node": IndexNode(
        text="요약", index_id="큰 글", obj=TextNode(text="큰 글", metadata={"x": 1}, relationships=RELATIONSHIPS)
    ),
    "node": Node(
        text_resource=MediaResource(text="그림 설명"),
        image_resource=MediaResource(data=b"not base64!", mimetype="image/png", path="a.png", url="https://a.kr/"),
        audio_resource=MediaResource(data=b"RIFF", mimetype="audio/wav"),
        metadata={"a": 1},
    ),
    "document": Document(text="긴 글", metadata={"author": "김"}, doc_id="d1"),
    "image document": ImageDocument(text="사진 글", image=b"\x89PNG", image_mimetype="image/png"),
    "own type": Recipe(text="반죽을 굽는다.", servings=4, metadata={"a": 1}),
    "own type with an obj": Claim(text="주장", obj="사물"),
    "chunk": SentenceSplitter(chunk_size=40, chunk_overlap=0)(
        [Document(text="가을에 벼를 벤다. " * 20, metadata={"달": 9}, id_="농사")]
    )[1],
}


def stored(node: BaseNode) -> types.Document:
    """What an index gives back for a node: the document after a trip through JSON."""
    document = to_document(node)
    check_documents([document])
    return types.Document(document.id, document.text, json.loads(json.dumps(dict(document.metadata))))


@pytest.fixture(params=NODES, ids=lambda name: name.replace(" ", "-"))
def node(request):
    return NODES[request.param]


def test_a_node_comes_back_equal_and_of_its_type(node):
    restored = to_node(stored(node))
    assert type(restored) is type(node)
    assert restored == node
    assert list(restored.metadata) == list(node.metadata)
    assert restored.hash == node.hash


def test_the_types_in_relationships_come_back():
    restored = to_node(stored(NODES["text with everything"]))
    assert restored.source_node.node_type is ObjectType.DOCUMENT
    assert type(restored.prev_node.node_type) is str
    assert restored.child_nodes[0].node_type is None


def test_the_indexed_text_is_the_embedding_text(node):
    assert to_document(node).text == node.get_content(MetadataMode.EMBED)


def test_the_nodes_own_metadata_is_on_top_for_filters(node):
    metadata = to_document(node).metadata
    assert {key: metadata[key] for key in metadata if key not in (NODE_KEY, REF_DOC_KEY)} == node.metadata
    assert metadata.get(REF_DOC_KEY) == node.ref_doc_id


def test_a_text_is_stored_once():
    document = to_document(NODES["text"])
    assert json.dumps([document.text, document.metadata], ensure_ascii=False).count("인공위성은") == 1


def test_embeddings_are_not_stored():
    node = ImageNode(text="글", embedding=[0.25, 0.5], text_embedding=[0.125])
    document = to_document(node)
    assert "0.25" not in str(document)
    assert "0.125" not in str(document)
    assert to_node(document).embedding is None
    assert node.embedding == [0.25, 0.5]

    with_resource = Document(text_resource=MediaResource(text="글", embeddings={"dense": [0.25]}))
    assert "0.25" not in str(to_document(with_resource))
    assert with_resource.text_resource.embeddings == {"dense": [0.25]}


def test_an_explained_node_is_still_what_it_was(node):
    restored = to_node(stored(node), EXPLANATION)
    assert isinstance(restored, type(node))
    assert restored.class_name() == node.class_name()
    assert restored.get_type() == node.get_type()
    assert restored.relationships == node.relationships
    assert restored.hash == node.hash
    assert restored.metadata[TOKEN_EXPLANATIONS] == [EXPLANATION.contributions[0].to_dict()]
    for mode in (MetadataMode.NONE, MetadataMode.LLM, MetadataMode.EMBED):
        assert restored.get_content(mode) == node.get_content(mode)


def test_the_hash_of_an_explained_node_still_follows_text_and_metadata():
    restored = to_node(to_document(NODES["text"]), EXPLANATION)
    restored.metadata["나"] = 2
    changed = NODES["text"].model_copy(update={"metadata": {**NODES["text"].metadata, "나": 2}})
    assert restored.hash == changed.hash != NODES["text"].hash
    restored.set_content("다른 글")
    changed.set_content("다른 글")
    assert restored.hash == changed.hash


def test_a_node_of_another_origin_takes_notes_and_keeps_what_it_is(node):
    before = copy.deepcopy(node)
    noted = annotated(annotated(node, {FUSION_PARTS: {"a": 1}}), {TOKEN_EXPLANATIONS: [2]})
    assert (noted.metadata[FUSION_PARTS], noted.metadata[TOKEN_EXPLANATIONS]) == ({"a": 1}, [2])
    assert annotated(noted, {FUSION_PARTS: {"b": 3}}).metadata[FUSION_PARTS] == {"b": 3}
    assert (noted.hash, noted.node_id, noted.embedding) == (node.hash, node.node_id, node.embedding)
    for mode in (MetadataMode.NONE, MetadataMode.LLM, MetadataMode.EMBED):
        assert noted.get_content(mode) == node.get_content(mode)
    assert to_document(noted) == to_document(node)
    assert node == before


def test_an_explained_node_is_written_and_read_as_json(node):
    restored = to_node(to_document(node), EXPLANATION)
    again = type(restored).from_dict(restored.model_dump(mode="json"))
    assert again.metadata == restored.metadata
    assert again.hash == type(node).from_dict(node.model_dump(mode="json")).hash
    assert restored.model_dump()["class_name"] == node.class_name()
    if isinstance(node, TextNode):  # core's own cannot write the URL of a Node's resource
        assert json.loads(restored.to_json())["metadata"] == restored.metadata

    in_docstore = json_to_doc(doc_to_json(restored))
    assert in_docstore.metadata == restored.metadata
    assert in_docstore.get_content(MetadataMode.LLM) == json_to_doc(doc_to_json(node)).get_content(MetadataMode.LLM)

    scored = NodeWithScore(node=restored, score=1.0)
    assert scored.node is restored
    assert scored.model_dump(mode="json")["node"]["metadata"] == restored.metadata


def test_an_explained_node_is_copied_and_pickled(node):
    restored = to_node(to_document(node), EXPLANATION)
    for twin in (copy.copy(restored), copy.deepcopy(restored), restored.model_copy(deep=True)):
        assert type(twin) is type(restored)
        assert twin == restored
        assert twin.hash == node.hash
    if not isinstance(node, Node):  # core's own pickling of a Node drops the bytes of its resources
        unpickled = pickle.loads(pickle.dumps(restored))
        assert unpickled == restored
        assert unpickled.hash == node.hash


def test_a_retrieved_node_can_be_indexed_again_without_its_explanation(node):
    restored = to_node(to_document(node), EXPLANATION)
    before = copy.deepcopy(restored)
    assert to_document(restored) == to_document(node)
    assert restored == before


def test_a_hit_that_lost_its_class_can_be_indexed_again_without_its_notes(node):
    restored = to_node(to_document(node), EXPLANATION)
    parts = {"sparse": {"rank": 1, "score": 2.0, "value": 0.5, "weight": 1.0, "contribution": 0.5}}
    restored = annotated(restored, {FUSION_PARTS: parts, TOKEN_SCORE: 2.0})
    plain = json_to_doc(doc_to_json(restored))
    assert type(plain) is type(json_to_doc(doc_to_json(node)))
    before = copy.deepcopy(plain)
    again = to_node(to_document(plain))
    assert again.metadata == node.metadata
    assert again.excluded_llm_metadata_keys == node.excluded_llm_metadata_keys
    assert again.hash == to_node(to_document(json_to_doc(doc_to_json(node)))).hash
    assert plain == before


def test_without_its_notes_a_hit_has_the_hash_of_the_node_that_went_in_whatever_it_went_through():
    node = NODES["text"]
    hit = to_node(to_document(node), EXPLANATION)
    plain = TextNode.from_json(hit.to_json())
    assert plain.hash != node.hash
    assert without_notes(plain) == TextNode.from_json(node.to_json())
    assert without_notes(plain).hash == without_notes(hit).hash == node.hash
    assert without_notes(node) is node


def test_what_a_splitter_cuts_from_a_hit_is_stored_without_the_notes():
    page = Document(id_="page", text="첫 문장이다. 둘째 문장이다.", metadata={"가": 1})
    hit = to_node(to_document(page), EXPLANATION)
    pieces = SentenceSplitter(chunk_size=16, chunk_overlap=0).get_nodes_from_documents([hit])
    assert TOKEN_EXPLANATIONS in pieces[0].metadata
    for piece in pieces:
        document = to_document(piece)
        assert TOKEN_EXPLANATIONS not in str(document)
        assert to_node(document).metadata == {"가": 1}
        assert to_node(document).relationships[NodeRelationship.SOURCE].metadata == {"가": 1}


@pytest.mark.parametrize("key", [TOKEN_EXPLANATIONS, FUSION_PARTS])
@pytest.mark.parametrize("own", ["글", [1], {"a": 1}, [{"token": "위성"}], {"sparse": {"rank": 1}}])
def test_what_a_caller_keeps_under_the_name_of_a_note_is_refused_and_never_dropped(key, own):
    with pytest.raises(InvalidDocumentError, match="reserved"):
        to_document(TextNode(text="글", metadata={key: own}))


def test_the_notes_of_a_hit_are_short_where_metadata_is_printed():
    restored = to_node(to_document(NODES["text"]), EXPLANATION)
    tokens = restored.metadata[TOKEN_EXPLANATIONS]
    for printed in (restored.get_metadata_str(), f"{restored.metadata}", f"{copy.deepcopy(restored).metadata}"):
        assert "query_weight" not in printed
        assert tokens[0]["surface"] in printed
    assert json.loads(json.dumps(tokens)) == tokens


def test_storing_a_node_leaves_it_alone(node):
    before = copy.deepcopy(node)
    document = to_document(node)
    to_node(document, EXPLANATION)
    assert node == before
    assert document == to_document(before)


def test_the_node_that_an_index_node_stands_for_has_the_explanation_too():
    target = NODES["text"]
    restored = to_node(stored(IndexNode(text="요약", index_id="글", obj=target)), EXPLANATION)
    assert restored.obj.metadata[TOKEN_EXPLANATIONS] == restored.metadata[TOKEN_EXPLANATIONS]
    assert restored.obj.hash == target.hash
    assert to_document(restored) == to_document(IndexNode(id_=restored.id_, text="요약", index_id="글", obj=target))


def test_private_state_of_an_own_type_starts_afresh():
    restored = to_node(to_document(NODES["own type"]), EXPLANATION)
    assert restored._seen is False
    restored._seen = True
    assert restored.servings == 4


def test_an_object_that_is_not_a_node_stays_out_of_storage():
    engine = object()
    node = IndexNode(text="요약", index_id="엔진", obj=engine)
    restored = to_node(stored(node))
    assert restored.obj is None
    assert restored.index_id == "엔진"
    assert node.obj is engine


def test_an_object_that_is_an_explained_node_is_stored_without_the_explanation():
    target = to_node(to_document(NODES["text"]), EXPLANATION)
    restored = to_node(stored(IndexNode(text="요약", index_id="글", obj=target)))
    assert restored.obj == NODES["text"]


def test_a_type_that_is_not_loaded_comes_back_as_its_nearest_known_base():
    document = stored(NODES["own type"])
    document.metadata[NODE_KEY]["types"][0] = "somewhere.else.Recipe"
    restored = to_node(document)
    assert type(restored) is TextNode
    assert restored.text == "반죽을 굽는다."


def test_a_document_that_was_no_node_comes_back_as_a_text_node():
    for metadata in ({"a": 1}, {"a": 1, NODE_KEY: "my own"}):
        restored = to_node(types.Document("x", "글", metadata))
        assert restored == TextNode(id_="x", text="글", metadata=metadata)
    assert to_node(types.Document("x", "글", {}), EXPLANATION).hash == TextNode(id_="x", text="글").hash


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed.update(types=["some.Type"]),
        lambda packed: packed.update(types=["IndexNode"]),
        lambda packed: packed.update(text_at=None),
        lambda packed: packed["fields"].update(start_char_idx="처음"),
        lambda packed: packed["fields"].update(relationships={"9": {}}),
    ],
)
def test_a_node_that_cannot_be_built_is_an_error_of_the_package(spoil):
    document = stored(NODES["text"])
    spoil(document.metadata[NODE_KEY])
    with pytest.raises(IncompatibleIndexError, match="cannot build"):
        to_node(document)


@pytest.mark.parametrize("key", [NODE_KEY, REF_DOC_KEY, TOKEN_EXPLANATIONS, TOKEN_SCORE, FUSION_PARTS])
def test_reserved_metadata_keys_are_refused(key):
    with pytest.raises(InvalidDocumentError, match="reserved"):
        to_document(TextNode(text="글", metadata={key: 1}))


@pytest.mark.parametrize("foreign", ["글", None, NodeWithScore(node=TextNode(text="글"))])
def test_what_is_not_a_node_is_refused(foreign):
    with pytest.raises(InvalidDocumentError, match=r"not a LlamaIndex node: pass (its \.node|TextNode)"):
        to_document(foreign)


def test_a_field_that_is_not_json_is_refused():
    class Odd(TextNode):
        thing: object = None

    with pytest.raises(InvalidDocumentError, match="Odd"):
        to_document(Odd(text="글", thing=object()))


def test_a_foreign_value_in_a_relationship_is_left_for_the_index_to_refuse():
    related = RelatedNodeInfo(node_id="x", metadata={"when": object()})
    with pytest.raises(InvalidDocumentError, match="when"):
        stored(TextNode(text="글", relationships={NodeRelationship.SOURCE: related}))
