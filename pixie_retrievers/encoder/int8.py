"""Linear layers in 8-bit integers on the CPU, quantised as they run.

Weights are rounded once, an output channel at a time; activations as they come, a token at a time, so that a text's
vector does not depend on the texts beside it, as it would with one scale a batch. torch's own dynamic quantisation
does that, and is on its way out of torch; oneDNN's product of integers, which stays, is used directly.

Source: symmetric rounding to the largest magnitude, as in LLM.int8() (Dettmers et al. 2022), section 2.1, vector-wise.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Int8Linear", "quantise"]

_ZERO_POINT = 128  # the processor multiplies unsigned bytes (activations) by signed ones (weights)


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

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """float32 (..., in_features) to float32 (..., out_features)."""
        rows = values.reshape(-1, self.in_features)
        largest = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12)
        # Adding 128 to a signed byte flips its highest bit; as a sum of floats it would take three times as long.
        quantised = (rows * (127 / largest)).round_().to(torch.int8).bitwise_xor_(-128).view(torch.uint8)
        # The scale of each token is left to the multiplication below: the operator takes one for all.
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            quantised, 1.0, _ZERO_POINT, self._packed, self._scales, self._zero_points,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        product.mul_(largest / 127)
        if self._bias is not None:
            product.add_(self._bias)
        return product.view(*values.shape[:-1], self.out_features)


def quantise(model: nn.Module) -> None:
    """Replace every linear layer of a model; a layer that two places share stays shared.

    Args:
        model: A float32 model on the CPU; it is changed.

    Raises:
        RuntimeError, AttributeError, NotImplementedError: This build of torch has no such operator.
    """
    made: dict[int, Int8Linear] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # noqa: SLF001  # unlike named_children, shared ones too
            if type(child) is nn.Linear:
                if id(child) not in made:
                    made[id(child)] = Int8Linear(child)
                setattr(parent, name, made[id(child)])
