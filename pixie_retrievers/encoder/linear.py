"""Linear layers on the CPU, with weights in the order in which oneDNN multiplies them; in 8-bit integers if asked for.

torch's own layer brings its weights into that order at every call: for a question of a dozen tokens as much work as the
product itself.

For int8, weights are rounded once, an output channel at a time; activations as they come, a token at a time, so that a
text's vector does not depend on the texts beside it, as it would with one scale a batch. torch's own dynamic
quantisation does that, and is on its way out of torch; oneDNN's product of integers, which stays, is used directly.

Source: symmetric rounding to the largest magnitude, as in LLM.int8() (Dettmers et al. 2022), section 2.1, vector-wise.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import nn

from pixie_retrievers.encoder.forward import forward, prepare
from pixie_retrievers.errors import DeviceUnavailableError

__all__ = ["Int8Linear", "PackedLinear", "linear_of", "multiplies_bytes_exactly", "pack", "quantise"]

_ZERO_POINT = 128  # the processor multiplies unsigned bytes (activations) by signed ones (weights)


def linear_of(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """An ``nn.Linear`` of given numbers.

    Its constructor would draw random ones; on torch's "meta" device it draws none, but imports as much as a model takes
    to load.

    Args:
        weight: Shape (out_features, in_features).
        bias: Shape (out_features,), or None.
    """
    linear = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(linear)
    linear.out_features, linear.in_features = weight.shape
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
    return linear


class PackedLinear(nn.Module):
    """Stands in for an ``nn.Linear`` on the CPU, in the type of its weights.

    Args:
        linear: Weights of shape (out_features, in_features), and a bias or none.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features = linear.out_features
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)  # noqa: SLF001
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._multiply = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001  # what torch.compile calls, too

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(..., in_features) to (..., out_features)."""
        product: torch.Tensor = self._multiply(values, self._packed, self._bias, "none", [], "")
        return product


class Int8Linear(nn.Module):
    """Stands in for an ``nn.Linear`` on the CPU.

    Args:
        linear: float32 weights of shape (out_features, in_features), and a bias or none.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp_(min=1e-12) / 127
        self._packed = torch.ops.onednn.qlinear_prepack((weight / scales[:, None]).round_().to(torch.int8), None)
        self._scales = scales
        self._zero_points = torch.zeros(self.out_features, dtype=torch.int64)
        self._bias = None if linear.bias is None else linear.bias.detach().float()
        self._multiply = torch.ops.onednn.qlinear_pointwise.default

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """float32 (..., in_features) to float32 (..., out_features)."""
        rows = values.reshape(-1, self.in_features)
        # For a short text, each step here costs what a tenth of the product does: hence in place, and few.
        scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127)
        # Adding 128 to a signed byte flips its highest bit; as a sum of floats it would take three times as long.
        quantised = (rows / scales).round_().to(torch.int8).bitwise_xor_(-128).view(torch.uint8)
        # The scale of each token is left to the multiplication below: the operator takes one for all.
        product: torch.Tensor = self._multiply(
            quantised, 1.0, _ZERO_POINT, self._packed, self._scales, self._zero_points,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        product.mul_(scales)
        if self._bias is not None:
            product.add_(self._bias)
        return product.view(*values.shape[:-1], self.out_features)


def multiplies_bytes_exactly() -> bool:
    """Whether products of bytes come out whole.

    Without VNNI, oneDNN adds two of them in 16 bits, which overflow without a word. That the processor has
    it does not prove that it is used: an environment variable (ONEDNN_MAX_CPU_ISA), a virtual machine or a build can
    hide it. So the largest numbers of either sign are multiplied, of which any two overflow.

    Raises:
        RuntimeError, AttributeError, NotImplementedError, TypeError: This build of torch has no such operator.
    """
    linear = linear_of(torch.tensor([[1.0], [-1.0]]).repeat(1, 64), None)
    values = torch.ones(3, 64)
    with torch.inference_mode():
        return torch.allclose(Int8Linear(linear)(values), linear(values))


def quantise(model: nn.Module) -> None:
    """Replace every linear layer of a model by an 8-bit one.

    Args:
        model: A float32 ``SparseEncoder`` on the CPU; it is changed.

    Raises:
        DeviceUnavailableError: Products of bytes overflow here.
        RuntimeError, AttributeError, NotImplementedError, TypeError: This build of torch has no such operator, or the
            model takes its layers apart.
    """
    if not multiplies_bytes_exactly():
        raise DeviceUnavailableError(
            "precision 'int8' needs products of bytes that do not overflow, and here they do, though the processor has"
            " VNNI instructions: unset ONEDNN_MAX_CPU_ISA if it is set, or pass 'float32'"
        )
    _replace(model, Int8Linear)


def pack(model: nn.Module, dtype: torch.dtype) -> None:
    """Pack every linear layer of a model whose numbers take two bytes, where the processor multiplies them as such.

    In float32 it would gain as much, but oneDNN adds up in another order than torch's own product, with about twice the
    rounding error: too near to what float32 promises. On other processors than x86 nobody has measured it.

    Args:
        model: A ``SparseEncoder`` on the CPU; it is changed, unless it takes its layers apart.
        dtype: What its weights are.
    """
    if dtype == torch.float32 or not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return
    short = "bf16" if dtype == torch.bfloat16 else "fp16"
    with suppress(*_REFUSALS):
        if getattr(torch.ops.mkldnn, f"_is_mkldnn_{short}_supported")():
            _replace(model, PackedLinear)


# What a missing operator raises, one that takes other arguments, and a model that reads a layer's weights itself.
_REFUSALS = (RuntimeError, AttributeError, NotImplementedError, TypeError)


def _replace(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace the linear layers and see that the model runs; if it does not, it is as before, and this raises."""
    made: dict[int, nn.Module] = {}  # a layer that two places share stays shared
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent._modules.items()  # noqa: SLF001  # unlike named_children, shared ones too
        if type(child) is nn.Linear
    ]
    try:
        for parent, name, child in places:
            if id(child) not in made:
                made[id(child)] = make(child)
            setattr(parent, name, made[id(child)])
        forward(model, prepare(model, ["a"], "query"), "query")
        forward(model, prepare(model, ["a"], "document"), "document")
    except _REFUSALS:
        for parent, name, child in places:
            setattr(parent, name, child)
        raise
