"""A node becomes a document, and the document the same node again, with notes about a hit beside it.

Notes (an explanation, what fusion made of a node) travel in the node's metadata, which LlamaIndex hashes and prints
into prompts. So their keys are excluded from LLM and embedding text, and the returned node's class is a subclass whose
``hash`` does not see them: fusion and de-duplication by hash find the node that went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import new_class
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.schema import (
    BaseNode,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.schema import Document as LlamaDocument

from pixie_retrievers.errors import IncompatibleIndexError, InvalidDocumentError
from pixie_retrievers.types import Document, Explanation
from pixie_retrievers.types.metadata import NOTES, own_notes, token_notes

__all__ = [
    "NODE_KEY",
    "REF_DOC_KEY",
    "STORED_KEYS",
    "annotated",
    "drop_empty_embeddings",
    "to_document",
    "to_node",
    "without_notes",
]

NODE_KEY = "_llama_index_node"
"""The metadata key under which a stored document keeps what a node has beside its id, text and metadata."""
REF_DOC_KEY = "_llama_index_ref_doc"
"""The metadata key of the id of the document that a node was cut from: on top, where a filter finds it."""

STORED_KEYS = (NODE_KEY, REF_DOC_KEY)

_EXCLUSIONS = ("excluded_llm_metadata_keys", "excluded_embed_metadata_keys")
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
_OBJECT_TYPES: dict[str, ObjectType] = {str(kind.value): kind for kind in ObjectType}
_CORE_TYPES: dict[str, type[BaseNode]] = {
    cls.__name__: cls for cls in (TextNode, ImageNode, IndexNode, Node, LlamaDocument, ImageDocument)
}


def to_document(node: BaseNode) -> Document:
    """What the index stores for a node: its embedding text is what gets searched, its metadata stays filterable.

    Raises:
        InvalidDocumentError: Not a node, a reserved metadata key, or a field that cannot be written as JSON.
    """
    if not isinstance(node, BaseNode):
        cure = "its .node" if isinstance(node, NodeWithScore) else "TextNode(text=...) or another node"
        raise InvalidDocumentError(f"an object of type {type(node).__name__} is not a LlamaIndex node: pass {cure}")
    node = without_notes(node)
    for key in (*STORED_KEYS, *NOTES):
        if key in node.metadata:
            raise InvalidDocumentError(f"node {node.node_id!r}: the metadata key {key!r} is reserved; remove it")
    text = node.get_content(MetadataMode.EMBED)
    packed = _pack(node)
    if isinstance(node, TextNode) and (start := text.find(node.text)) >= 0:
        del packed["fields"]["text"]  # the indexed text holds it: stored once, not twice
        packed["text_at"] = [start, start + len(node.text)]
    stored = {**node.metadata, NODE_KEY: packed}
    if node.ref_doc_id is not None:
        stored[REF_DOC_KEY] = node.ref_doc_id
    return Document(node.node_id, text, stored)


def to_node(document: Document, explanation: Explanation | None = None) -> BaseNode:
    """The node that a document was made from; a document of another origin becomes a TextNode.

    Args:
        document: What the index returned.
        explanation: Goes into the node's metadata, under ``token_explanations`` and beside it, and into that of the
            node that an IndexNode stands for; None leaves the node as it was.

    Raises:
        IncompatibleIndexError: The installed llama-index-core cannot build the stored node.
    """
    metadata = dict(document.metadata)
    packed = metadata.get(NODE_KEY)
    if isinstance(packed, Mapping) and "types" in packed and "fields" in packed:
        for key in STORED_KEYS:
            metadata.pop(key, None)
    else:
        packed = {"types": ["TextNode"], "fields": {}, "text_at": [0, len(document.text)]}
    own = {"id_": document.id, "metadata": metadata}
    try:
        if "text_at" in packed:
            own["text"] = document.text[slice(*packed["text_at"])]
        node = _unpack(packed, own)
    except (LookupError, TypeError, ValueError) as error:
        raise IncompatibleIndexError(
            f"document {document.id!r} was stored as a node that the installed llama-index-core cannot build: use the"
            " version that wrote it, or index the nodes again"
        ) from error
    if explanation is None:
        return node
    if isinstance(node, IndexNode) and isinstance(node.obj, BaseNode):
        _annotate(node.obj, token_notes(explanation))
    return _annotate(node, token_notes(explanation))


def annotated(node: BaseNode, notes: Mapping[str, Any]) -> BaseNode:
    """A copy of the node with notes in its metadata, out of sight of LLM, embedding model and hash.

    Args:
        node: Stays as it is. Notes that it has already are kept, unless there are new ones under the same key.
        notes: By the keys that notes have.
    """
    known = {key: node.metadata[key] for key in NOTES if key in node.metadata} if isinstance(node, _Annotated) else {}
    notes = {**known, **notes}
    return _annotate(without_notes(node).model_copy(), notes)


def drop_empty_embeddings(nodes: Iterable[BaseNode]) -> None:
    """Take from nodes the embedding that is none, which :class:`SparseOnly` gave them on their way here.

    A dense index embeds only nodes whose embedding is None: it would take the empty one for a vector.
    """
    for node in nodes:
        if node.embedding is not None and len(node.embedding) == 0:
            node.embedding = None


def _annotate(node: BaseNode, notes: Mapping[str, Any]) -> BaseNode:
    """Lay notes over a node that nobody else has: the same object, of another class and with other lists and dicts."""
    changes: dict[str, Any] = {name: [*getattr(node, name), *notes] for name in _EXCLUSIONS}
    changes["metadata"] = {**node.metadata, **notes}
    vars(node).update(changes)
    node.model_fields_set.update(changes)
    object.__setattr__(node, "__class__", _annotated_type(type(node)))  # far cheaper than to build it once more
    return node


def _pack(node: BaseNode) -> dict[str, Any]:
    """A node's types, nearest first, and its fields as JSON types, without id, metadata and embeddings."""
    apart = {"id_", "metadata", "relationships", "embedding", "text_embedding"}  # no other model's vectors
    extra: dict[str, Any] = {}
    if isinstance(node, LlamaDocument):
        apart.add("text")  # a property over text_resource
    if isinstance(node, IndexNode):
        if isinstance(node.obj, BaseNode):
            target = without_notes(node.obj)
            extra["obj"] = _pack(target) | {"id": target.node_id, "metadata": target.metadata}
        node = node.model_copy(update={"obj": None})  # core refuses to dump an object that is not JSON
    if node.relationships:
        # Not in JSON mode: what is foreign in a relationship's metadata is stored, or refused, as in a node's own.
        extra["relationships"] = {
            relation.value: [_related(one) for one in related] if isinstance(related, list) else _related(related)
            for relation, related in node.relationships.items()
        }
    try:
        dumped = node.model_dump(mode="json", exclude=apart)
        for name in _RESOURCES:
            resource = getattr(node, name, None)
            if isinstance(resource, MediaResource):
                dumped[name].pop("embeddings", None)
                if resource.data is not None:  # base64, and left out of core's own dump
                    dumped[name]["data"] = resource.data.decode("ascii")
    except ValueError as error:  # pydantic's serialization errors are ValueErrors too
        raise InvalidDocumentError(
            f"node {node.node_id!r}: a field of its {type(node).__name__} cannot be written as JSON"
        ) from error
    fields = {name: value for name, value in dumped.items() if name != "class_name"} | extra
    types = [_type_name(cls) for cls in type(node).__mro__ if issubclass(cls, BaseNode) and cls is not BaseNode]
    return {"types": types, "fields": fields}


def _related(info: RelatedNodeInfo) -> dict[str, Any]:
    """A relationship's fields; what a splitter cut from a hit has the hit's notes in there."""
    notes = own_notes(info.metadata)
    return {**info.model_dump(), "metadata": {key: info.metadata[key] for key in info.metadata if key not in notes}}


def _unpack(packed: Mapping[str, Any], own: Mapping[str, Any]) -> BaseNode:
    fields = {**packed["fields"], **own}
    cls = _find_type(packed["types"])
    target = fields.pop("obj", None) if issubclass(cls, IndexNode) else None
    fields["relationships"] = {
        relation: [_with_kind(one) for one in related] if isinstance(related, list) else _with_kind(related)
        for relation, related in fields.get("relationships", {}).items()
    }
    node = cls.from_dict(fields)
    if target is not None and isinstance(node, IndexNode):
        node.obj = _unpack(target, {"id_": target["id"], "metadata": target["metadata"]})
    return node


def _with_kind(related: Mapping[str, Any]) -> dict[str, Any]:
    """A relationship's fields, its node type an ObjectType again where it was one."""
    kind = related.get("node_type")
    return {**related, "node_type": kind if kind is None else _OBJECT_TYPES.get(kind, kind)}


def _type_name(cls: type[BaseNode]) -> str:
    return cls.__name__ if _CORE_TYPES.get(cls.__name__) is cls else f"{cls.__module__}.{cls.__qualname__}"


def _find_type(names: list[str]) -> type[BaseNode]:
    """The nearest of the types that this process knows; nothing is imported on a file's word."""
    for name in names:
        if name in _CORE_TYPES:
            return _CORE_TYPES[name]
        for cls in _loaded_types():
            if _type_name(cls) == name:
                return cls
    raise LookupError(f"no node type is called {' or '.join(names)}")


def _loaded_types() -> Iterator[type[BaseNode]]:
    waiting = BaseNode.__subclasses__()
    while waiting:
        cls = waiting.pop()
        if not issubclass(cls, _Annotated):
            yield cls
            waiting += cls.__subclasses__()


if TYPE_CHECKING:
    _Mixed = BaseNode
else:
    _Mixed = object


class _Annotated(_Mixed):
    """Laid over a node type: the same node in every respect, but for the notes in its metadata."""

    __slots__ = ()

    @property
    def hash(self) -> str:
        """The hash that the node has without its notes."""
        return without_notes(self).hash

    def __reduce__(self) -> tuple[Any, ...]:  # the class is made at run time, so pickle cannot find it by name
        return annotated, (without_notes(self), {key: self.metadata[key] for key in NOTES if key in self.metadata})


_ANNOTATED_TYPES: dict[type[BaseNode], type[BaseNode]] = {}


def _annotated_type(cls: type[BaseNode]) -> type[BaseNode]:
    if cls not in _ANNOTATED_TYPES:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        made = new_class(cls.__name__, (_Annotated, cls), exec_body=lambda body: body.update(names))
        # One a type, whichever thread made it first: nodes of two classes are never equal.
        _ANNOTATED_TYPES.setdefault(cls, cast("type[BaseNode]", made))
    return _ANNOTATED_TYPES[cls]


def without_notes(node: BaseNode) -> BaseNode:
    """The node without the notes that a retrieval gave it; any other node is returned as it is.

    A note is known by the node's class, and by its shape where the node is a plain one: it came out of a docstore, a
    splitter, JSON or another store.
    """
    is_annotated = isinstance(node, _Annotated)
    notes = set(NOTES) if is_annotated else own_notes(node.metadata)
    if not notes:
        return node
    changes: dict[str, Any] = {name: [key for key in getattr(node, name) if key not in notes] for name in _EXCLUSIONS}
    changes["metadata"] = {key: value for key, value in node.metadata.items() if key not in notes}
    plain = node.model_copy(update=changes)
    if is_annotated:
        object.__setattr__(plain, "__class__", type(node).__bases__[1])
    return plain
