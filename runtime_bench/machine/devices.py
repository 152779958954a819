"""OpenVINO's devices: whether one is there, and what to install where it is not."""

from collections.abc import Sequence

from jpqd.core.errors import UserError

_VIRTUAL = ("AUTO", "MULTI", "HETERO", "BATCH")
_DRIVERS = {
    "GPU": "Install the Intel GPU driver (Debian and Ubuntu: intel-opencl-icd, level-zero), and "
    "let this user read /dev/dri (groups render and video).",
    "NPU": "Install the Intel NPU driver (intel-driver-compiler-npu, level-zero-npu), and let this "
    "user read /dev/accel.",
}


def available() -> list[str]:
    from openvino import Core

    return list(Core().available_devices)


def check(device: str, there: Sequence[str]) -> None:
    """Refuse a missing device; `GPU` stands for the first of several, `HETERO:GPU,CPU` for both."""
    first, _, rest = device.partition(":")
    wanted = rest.split(",") if first in _VIRTUAL else [device]
    known = {*there, *(name.partition(".")[0] for name in there)}
    for name in filter(None, wanted):
        if name not in known:
            raise UserError(
                f"--device {device}: OpenVINO finds no {name} here, but "
                f"{', '.join(there) or 'nothing'}. {_remedy(name, there)}"
            )


def _remedy(name: str, there: Sequence[str]) -> str:
    """Suggest a driver where no device of this kind is there."""
    kind = name.partition(".")[0]
    absent = not any(device.partition(".")[0] == kind for device in there)
    return _DRIVERS[kind] if absent and kind in _DRIVERS else "Choose one of these devices."
