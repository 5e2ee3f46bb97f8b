"""Which device and precision are chosen, from what a machine reports."""

from __future__ import annotations

import pytest
import torch

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
def test_a_name_that_is_no_device_is_a_wrong_parameter(requested):
    with pytest.raises(InvalidParameterError, match="device"):
        choose_device(requested, TWO_GPUS)


@pytest.mark.parametrize(
    ("device", "machine", "expected"),
    [
        ("cpu", PLAIN, "float32"),
        ("cpu", TWO_GPUS, "float32"),
        ("mps", APPLE, "float32"),
        ("cuda", TWO_GPUS, "bfloat16"),
        ("cuda:1", TWO_GPUS, "bfloat16"),
        ("cuda", OLD_GPU, "float32"),
    ],
)
def test_automatic_precision_is_bfloat16_only_where_a_cuda_device_has_it(device, machine, expected):
    assert choose_precision("auto", device, machine) == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_taken(precision):
    assert choose_precision(precision, "cpu", PLAIN) == precision


@pytest.mark.parametrize("precision", ["int8", "fp16", "", "FLOAT32"])
def test_an_unknown_precision_is_refused_with_the_known_ones(precision):
    with pytest.raises(InvalidParameterError, match="auto, float32, bfloat16, float16"):
        choose_precision(precision, "cpu", PLAIN)


def test_this_machine_always_has_a_cpu():
    assert this_machine().devices[-1] == "cpu"
