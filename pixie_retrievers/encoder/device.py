"""Which device runs the model, and in which precision: decided purely from what the machine reports."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import DeviceUnavailableError, InvalidParameterError

__all__ = ["PRECISIONS", "Machine", "choose_device", "choose_precision", "free_memory", "this_machine"]

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")

# Below, bfloat16 saves a millisecond a question, and costs results that are alike on every machine (docs/encoder.md).
_SMALL_MODEL_PARAMETERS = 10_000_000

_DEVICE_NAME = re.compile(r"(cpu|mps|cuda)(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class Machine:
    """The accelerators that torch sees.

    Attributes:
        n_cuda_devices: How many CUDA devices there are.
        has_mps: An Apple GPU can be used.
        cuda_has_bfloat16: The CUDA devices compute in bfloat16 natively.
        cpu_has_bfloat16: The processor does (AVX512-BF16 or AMX), and oneDNN may use it.
        cpu_has_int8: The processor can multiply bytes without overflow (VNNI); loading a model proves that it does.
    """

    n_cuda_devices: int = 0
    has_mps: bool = False
    cuda_has_bfloat16: bool = False
    cpu_has_bfloat16: bool = False
    cpu_has_int8: bool = False

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
        cpu_has_bfloat16=(_cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported"))
        and _onednn_has_bfloat16(),
        cpu_has_int8=_cpu_has("_is_vnni_supported"),
    )


def _cpu_has(name: str) -> bool:
    """What torch knows about the processor: it has no public name for it, so a version may lack one."""
    import torch

    return bool(getattr(torch.cpu, name, bool)())


def _onednn_has_bfloat16() -> bool:
    """What ONEDNN_MAX_CPU_ISA leaves of it."""
    import torch

    with suppress(AttributeError, RuntimeError):  # nor has this a public name
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return False


def free_memory(device: str) -> int | None:
    """How many bytes a device has free; None where nothing says so.

    Args:
        device: What :func:`choose_device` returned.
    """
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    found = [_meminfo_available(Path("/proc/meminfo")), _cgroup_available(Path("/sys/fs/cgroup"))]
    known = [n_bytes for n_bytes in found if n_bytes is not None]
    return min(known) if known else None


def _meminfo_available(path: Path) -> int | None:
    with suppress(OSError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _cgroup_available(folder: Path) -> int | None:
    """What a container may still use; None where there is no limit."""
    with suppress(OSError, ValueError):  # "max" is not a number
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        return max(0, limit - int((folder / "memory.current").read_text(encoding="ascii")))
    return None


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


def choose_precision(requested: str, device: str, machine: Machine, *, n_parameters: int) -> str:
    """The name of the type that the model computes in, whatever its weights are stored in.

    Args:
        requested: One of :data:`PRECISIONS`. "auto" is bfloat16 on a CUDA device that has it, and on a processor that
            has it where the model is large enough to gain; otherwise float32. It is never int8, which changes results.
        device: What :func:`choose_device` returned.
        machine: What there is.
        n_parameters: How many numbers the model has.

    Raises:
        InvalidParameterError: The precision is unknown, or "int8" is asked of another device than a CPU.
        DeviceUnavailableError: "int8" is asked of a processor without the instructions for it. That it uses them is
            proved when the model is loaded (:func:`pixie_retrievers.encoder.linear.quantise`).
    """
    if requested not in PRECISIONS:
        raise InvalidParameterError(f"precision is {requested!r}; it must be one of {', '.join(PRECISIONS)}")
    on_cpu = device.startswith("cpu")
    if requested == "int8":
        if not on_cpu:
            raise InvalidParameterError(f"precision 'int8' runs on the CPU only, not on {device!r}: pass device='cpu'")
        if not machine.cpu_has_int8:
            raise DeviceUnavailableError(
                "precision 'int8' needs a processor with VNNI instructions, which this one lacks: pass 'float32'"
            )
    if requested != "auto":
        return requested
    if device.startswith("cuda"):
        return "bfloat16" if machine.cuda_has_bfloat16 else "float32"
    gains = on_cpu and machine.cpu_has_bfloat16 and n_parameters >= _SMALL_MODEL_PARAMETERS
    return "bfloat16" if gains else "float32"
