"""What only a GPU can show: kernels, graphs and the plain path agree, in the promised memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixie_retrievers import PixieEncoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

TEXTS = ["위성", "정찰 위성은 국방 분야에서 쓰이며 광학 탑재체를 싣는다. " * 3, "바다 " * 700, "서울의 도서관"] * 50


def dense(vectors):
    return vectors.to_scipy().toarray()


@pytest.fixture(scope="module")
def on_cpu():
    return dense(PixieEncoder.bundled(device="cpu").encode_documents(TEXTS))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1), ("float16", 0.02)])
def test_every_precision_gives_what_the_processor_gives(on_cpu, precision, tolerance):
    encoder = PixieEncoder.bundled(device="cuda", precision=precision)
    assert np.abs(dense(encoder.encode_documents(TEXTS)) - on_cpu).max() <= tolerance


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_kernels_give_what_torch_gives(precision):
    encoder = PixieEncoder.bundled(device="cuda", precision=precision)
    passes = encoder._streams["document"].passes
    passes._is_fused = False
    plain = dense(encoder.encode_documents(TEXTS))
    passes._is_fused = None
    assert np.abs(dense(encoder.encode_documents(TEXTS)) - plain).max() <= 0.02
    assert passes._is_fused


@pytest.mark.parametrize("length", [1, 5, 14, 15, 30, 31, 62, 126, 254, 255])
def test_a_question_gets_what_it_gets_among_others(length):
    encoder = PixieEncoder.bundled(device="cuda", precision="bfloat16")
    question = " ".join(["위성"] * length)
    alone = dense(encoder.encode_queries([question]))
    among = dense(encoder.encode_documents([question, "바다", question]))
    assert np.abs(among[[0, 2]] - alone).max() <= 0.02
    assert np.array_equal(
        alone, dense(PixieEncoder.bundled(device="cuda", precision="bfloat16").encode_queries([question]))
    )


def test_long_texts_take_little_memory():
    encoder = PixieEncoder.bundled(device="cuda")
    texts = ["정찰 위성은 국방 분야에서 쓰인다. " * 2_000] * 32
    with pytest.warns(UserWarning, match="only the beginning"):
        encoder.encode_documents(texts[:1])
    torch.cuda.reset_peak_memory_stats()
    with pytest.warns(UserWarning, match="only the beginning"):
        encoder.encode_documents(texts)
    assert torch.cuda.max_memory_allocated() < 3.4e9
