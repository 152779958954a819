"""The static INT8 that optimum-intel makes of a dense model, run as any other IR."""

from __future__ import annotations

from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr
from runtime_bench.rivals.made import made


class OptimumInt8(OpenvinoIr):
    """A dense model that optimum-intel quantizes, calibrated on rows of train."""

    calibration: str = ""
    """The file of those rows."""

    @property
    def title(self) -> str:
        return "optimum-intel"

    def open(self) -> IrSession:
        return OptimumSession(self)


class OptimumSession(IrSession):
    def __init__(self, backend: OptimumInt8) -> None:
        """Make the IR, which is there as long as the session is."""
        self.folder = made("optimum", backend.path, backend.calibration)
        super().__init__(backend.model_copy(update={"path": self.folder.name}))
