"""Which device and precision are chosen, from what a machine reports."""

from __future__ import annotations

import pytest
import torch

import pixie_retrievers.encoder.device as device_module
from pixie_retrievers.encoder.device import Machine, choose_device, choose_precision, this_machine
from pixie_retrievers.errors import DeviceUnavailableError, InvalidParameterError

PLAIN = Machine()
APPLE = Machine(has_mps=True)
TWO_GPUS = Machine(n_cuda_devices=2, cuda_has_bfloat16=True)
OLD_GPU = Machine(n_cuda_devices=1)
EVERYTHING = Machine(n_cuda_devices=1, has_mps=True)


@pytest.mark.parametrize("requested", [None, "auto"])
@pytest.mark.parametrize(
    ("machine", "expected"), [(PLAIN, "cpu"), (APPLE, "mps"), (TWO_GPUS, "cuda"), (EVERYTHING, "cuda")]
)
def test_the_fastest_kind_of_device_is_chosen_when_none_is_named(requested, machine, expected):
    assert choose_device(requested, machine) == expected


@pytest.mark.parametrize("requested", ["cpu", "cuda", "cuda:0", "cuda:1", torch.device("cuda", 1)])
def test_a_device_that_is_there_is_taken_as_named(requested):
    assert choose_device(requested, TWO_GPUS) == str(requested)


@pytest.mark.parametrize(
    ("requested", "machine", "there"),
    [
        ("cuda:3", TWO_GPUS, "cuda:0, cuda:1, cpu"),
        ("cuda", PLAIN, "there is cpu:"),
        ("mps", TWO_GPUS, "cuda:0, cuda:1, cpu"),
        ("cuda:0", APPLE, "mps, cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(requested, machine, there):
    with pytest.raises(DeviceUnavailableError, match=there) as caught:
        choose_device(requested, machine)
    assert repr(requested) in str(caught.value)


@pytest.mark.parametrize("requested", ["gpu", "cuda:", "cuda:-1", "cuda:x", "", "CPU "])
def test_a_name_that_is_not_a_device_is_a_wrong_parameter(requested):
    with pytest.raises(InvalidParameterError, match="device"):
        choose_device(requested, TWO_GPUS)


LARGE = 150_000_000
SMALL = 5_000_000
NEW_CPU = Machine(cpu_has_bfloat16=True, cpu_has_int8=True)


@pytest.mark.parametrize(
    ("device", "machine", "n_parameters", "expected"),
    [
        ("cpu", PLAIN, LARGE, "float32"),
        ("cpu", TWO_GPUS, LARGE, "float32"),
        ("cpu", NEW_CPU, LARGE, "bfloat16"),
        ("cpu", NEW_CPU, SMALL, "float32"),
        ("mps", APPLE, LARGE, "float32"),
        ("cuda", TWO_GPUS, SMALL, "bfloat16"),
        ("cuda:1", TWO_GPUS, LARGE, "bfloat16"),
        ("cuda", OLD_GPU, LARGE, "float32"),
    ],
)
def test_automatic_precision_is_bfloat16_where_it_is_native_and_wins(device, machine, n_parameters, expected):
    assert choose_precision("auto", device, machine, n_parameters=n_parameters) == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_taken(precision):
    assert choose_precision(precision, "cpu", PLAIN, n_parameters=SMALL) == precision


def test_int8_is_taken_where_the_processor_can_and_refused_elsewhere():
    assert choose_precision("int8", "cpu", NEW_CPU, n_parameters=SMALL) == "int8"
    with pytest.raises(DeviceUnavailableError, match="VNNI"):
        choose_precision("int8", "cpu", PLAIN, n_parameters=SMALL)
    with pytest.raises(InvalidParameterError, match="device='cpu'"):
        choose_precision("int8", "cuda", TWO_GPUS, n_parameters=SMALL)


@pytest.mark.parametrize("precision", ["int4", "fp16", "", "FLOAT32"])
def test_an_unknown_precision_is_refused_with_the_known_ones(precision):
    with pytest.raises(InvalidParameterError, match="auto, float32, bfloat16, float16, int8"):
        choose_precision(precision, "cpu", PLAIN, n_parameters=SMALL)


def test_free_memory_is_what_the_system_and_a_container_leave(tmp_path):
    assert device_module._meminfo_available(tmp_path / "none") is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert device_module._meminfo_available(tmp_path / "meminfo") == 2048 * 1024
    for limit, current, expected in (("max", "5", None), ("900", "200", 700), ("100", "200", 0)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(current + "\n")
        assert device_module._cgroup_available(tmp_path) == expected
    free = device_module.free_memory("cpu")
    assert free is None or free > 0


def test_this_machine_always_has_a_cpu():
    assert this_machine().devices[-1] == "cpu"
