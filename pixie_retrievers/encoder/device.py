"""Which device runs the model, and in which precision: pure functions of what the machine reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pixie_retrievers.errors import DeviceUnavailableError, InvalidParameterError

__all__ = ["PRECISIONS", "Machine", "choose_device", "choose_precision", "this_machine"]

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_DEVICE_NAME = re.compile(r"(cpu|mps|cuda)(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class Machine:
    """The accelerators that torch sees.

    Attributes:
        n_cuda_devices: How many CUDA devices there are.
        has_mps: An Apple GPU can be used.
        cuda_has_bfloat16: The CUDA devices compute in bfloat16 natively.
    """

    n_cuda_devices: int = 0
    has_mps: bool = False
    cuda_has_bfloat16: bool = False

    @property
    def devices(self) -> list[str]:
        """Every device by name, the fastest kind first."""
        return [*(f"cuda:{n}" for n in range(self.n_cuda_devices)), *(["mps"] if self.has_mps else []), "cpu"]


def this_machine() -> Machine:
    """What torch reports about the machine it runs on."""
    import torch

    has_cuda = torch.cuda.is_available()
    return Machine(
        n_cuda_devices=torch.cuda.device_count() if has_cuda else 0,
        has_mps=torch.backends.mps.is_available(),
        # Older devices emulate bfloat16, slower than float32.
        cuda_has_bfloat16=has_cuda and torch.cuda.get_device_capability() >= (8, 0),
    )


def choose_device(requested: Any, machine: Machine) -> str:
    """The name of the device to use.

    Args:
        requested: A name ("cpu", "mps", "cuda", "cuda:1"), a ``torch.device``, or None or "auto" for the fastest.
        machine: What there is.

    Raises:
        DeviceUnavailableError: The device is not on this machine.
        InvalidParameterError: No such kind of device is known.
    """
    if requested is None or requested == "auto":
        return "cuda" if machine.n_cuda_devices else "mps" if machine.has_mps else "cpu"
    name = str(requested)
    match = _DEVICE_NAME.fullmatch(name)
    if match is None:
        raise InvalidParameterError(f"device is {name!r}; it must be 'auto', 'cpu', 'mps', 'cuda' or 'cuda:<number>'")
    kind, number = match[1], int(match[2] or 0)
    n_devices = {"cpu": 1, "mps": int(machine.has_mps), "cuda": machine.n_cuda_devices}[kind]
    if number >= n_devices:
        raise DeviceUnavailableError(
            f"device {name!r} is not on this machine; there is {', '.join(machine.devices)}:"
            " pass one of these, or device='auto'"
        )
    return name


def choose_precision(requested: str, device: str, machine: Machine) -> str:
    """The name of the floating-point type that the model computes in, whatever its weights are stored in.

    Args:
        requested: One of :data:`PRECISIONS`. "auto" is bfloat16 on CUDA devices that have it, otherwise float32.
        device: What :func:`choose_device` returned.
        machine: What there is.

    Raises:
        InvalidParameterError: The precision is unknown.
    """
    if requested not in PRECISIONS:
        raise InvalidParameterError(f"precision is {requested!r}; it must be one of {', '.join(PRECISIONS)}")
    if requested != "auto":
        return requested
    return "bfloat16" if device.startswith("cuda") and machine.cuda_has_bfloat16 else "float32"
