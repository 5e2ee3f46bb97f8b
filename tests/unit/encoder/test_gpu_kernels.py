"""The GPU's kernels, run by Triton's interpreter: on any machine that has Triton, slowly, and number by number.

The interpreter knows no bfloat16 products; tests/unit/encoder/test_gpu.py has those, where there is a GPU.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from processes import script

pytestmark = [
    pytest.mark.new_process,
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA"),
]

KERNELS = """
import json
import numpy as np
import torch
from pixie_retrievers.encoder.attention import Rotation, TextByText
from pixie_retrievers.encoder.gpu_kernels import attend, gated, normalised, text_maxima
from pixie_retrievers.encoder.packing import TILE, WIDE_TILE, Packing

torch.manual_seed(0)
lengths, half = [3, 1, 200, 57, 129], torch.float16
packing = Packing.of([np.arange(1, n + 1, dtype=np.int32) for n in lengths], torch.device("cpu"))
n_tokens = packing.ends[-1]
errors = {}

hidden, weight = torch.randn(n_tokens, 96).to(half), (torch.randn(700, 96) / 10).to(half)
for name, bias in (("maxima", torch.randn(700).to(half)), ("maxima without bias", None)):
    logits = hidden.float() @ weight.float().T + (0 if bias is None else bias.float())
    expected = torch.stack([logits[packing.owners == text].amax(dim=0).relu() for text in range(len(lengths))])
    errors[name] = float((text_maxima(hidden, weight, bias, packing.owners, len(lengths)) - expected).abs().max())

projected = torch.randn(n_tokens, 3, 3, 32).to(half)
angles = torch.randn(200, 16)
rotation = Rotation(torch.cat((angles.cos(), angles.cos()), -1), torch.cat((-angles.sin(), angles.sin()), -1))
by_text = TextByText()
for reach in (None, 64, 20):
    tiles, rows = (packing.wide_tiles, WIDE_TILE) if reach is None else (packing.tiles, TILE)
    found = attend(projected, rotation.cos, rotation.signed_sin, tiles, rows, reach)
    expected = by_text(projected.float(), by_text.rotation(rotation, packing), packing, reach)
    errors[f"attention within {reach}"] = float((found.float() - expected).abs().max())

values = torch.randn(7, 2 * 1100).to(half)
expected = torch.nn.functional.gelu(values[:, :1100]) * values[:, 1100:]
errors["gated"] = float((gated(values, None) - expected).abs().max())
for name, bias in (("normalised", None), ("normalised with bias", torch.randn(96).to(half))):
    scale = torch.randn(96).to(half)
    added = None if bias is None else bias.float()
    expected = torch.nn.functional.layer_norm(hidden.float(), (96,), scale.float(), added)
    errors[name] = float((normalised(hidden, scale, bias, 1e-5).float() - expected).abs().max())
print(json.dumps(errors))
"""

LARGEST = {"maxima": 1e-5, "attention": 2e-3, "gated": 1e-2, "normalised": 1e-2}  # half a step of float16 at such sizes


def test_they_give_what_torch_gives():
    errors = script(KERNELS, TRITON_INTERPRET="1")
    assert len(errors) == 8
    for name, error in errors.items():
        assert error <= LARGEST[name.split()[0]], name
