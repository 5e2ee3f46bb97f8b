"""Korean nodes, and the index they are in."""

from __future__ import annotations

import pytest
from llama_index.core.schema import TextNode

TEXTS = {
    "orbit": ("인공위성은 지구 궤도를 돌며 사진을 찍는다.", {"field": "우주", "year": 2020, "tags": ["위성", "지구"]}),
    "rocket": ("로켓은 위성을 우주로 쏘아 올린다.", {"field": "우주", "year": 2023, "tags": ["발사"]}),
    "rice": ("벼는 물을 채운 논에서 자란다.", {"field": "농업", "year": 2020, "tags": []}),
    "bread": ("빵은 밀가루 반죽을 구워 만든다.", {"field": "음식", "title": "Sourdough 빵"}),
}


@pytest.fixture
def nodes():
    return [
        TextNode(id_=id, text=text, metadata=metadata, excluded_embed_metadata_keys=list(metadata))
        for id, (text, metadata) in TEXTS.items()
    ]
