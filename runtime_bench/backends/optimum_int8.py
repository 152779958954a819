"""The static INT8 that optimum-intel makes of a dense model, run as any other IR."""

from __future__ import annotations

from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr
from runtime_bench.rivals.made import made


class OptimumInt8(OpenvinoIr):
    """A dense model that optimum-intel quantizes, calibrated on rows of train."""

    calibration: str | None = None
    """The file of those rows."""

    @property
    def title(self) -> str:
        return "optimum-intel"

    def open(self) -> IrSession:
        folder = made("optimum", self.path, self.calibration or "")
        session = IrSession(self.model_copy(update={"path": folder.name}))
        session.folder = folder
        return session
