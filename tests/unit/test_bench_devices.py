"""A device that is not there is named with those that are, and with what would bring it."""

import pytest

from jpqd.core.errors import UserError
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.machine import devices
from runtime_bench.options import Settings

LAPTOP = ["CPU", "GPU.0", "GPU.1", "NPU"]


@pytest.mark.parametrize(
    "device", ["CPU", "GPU", "GPU.0", "GPU.1", "NPU", "AUTO", "AUTO:GPU,CPU", "HETERO:GPU.1,CPU"]
)
def test_whatever_openvino_lists_will_do(device: str) -> None:
    devices.check(device, LAPTOP)


@pytest.mark.parametrize("device", ["GPU", "GPU.0", "HETERO:GPU,CPU"])
def test_without_a_gpu_the_driver_is_named(device: str) -> None:
    with pytest.raises(UserError) as error:
        devices.check(device, ["CPU"])
    assert f"--device {device}: OpenVINO finds no GPU" in str(error.value)
    assert "here, but CPU" in str(error.value)
    assert "intel-opencl-icd" in str(error.value)


def test_a_driver_is_no_help_for_a_third_gpu_or_a_slip_of_the_pen() -> None:
    for device in ("GPU.2", "CPO"):
        with pytest.raises(UserError, match=r"CPU, GPU.0, GPU.1, NPU. Choose one of these"):
            devices.check(device, LAPTOP)


def test_threads_are_set_on_the_processor_alone() -> None:
    def made(device: str) -> dict[str, object]:
        arm = OpenvinoIr(path="ir", threads=2, device=device, precision="f32")
        return arm.properties("LATENCY")

    assert made("CPU")["INFERENCE_NUM_THREADS"] == 2
    assert made("CPU")["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == 0
    assert made("GPU") == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def test_accuracy_is_measured_on_a_device_that_the_stages_did_not_use() -> None:
    assert Settings(device="GPU").measures_accuracy()
    assert not Settings().measures_accuracy()
