"""The export of an even model to model.onnx: python -m runtime_bench.rivals.onnx.

Arguments: the model's folder, the folder to write to, and f32, int8 (activations quantized while
it runs) or static (quantized before, with the file of rows that calibrate).
"""

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpqd import tasks

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def export(folder: Path, out: Path, precision: str, calibration: str | None = None) -> None:
    import torch

    kind = tasks.of_folder(folder)
    model = kind.auto_class().from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model.train(False)
    ids = torch.ones(2, 8, dtype=torch.long)
    inputs = {name: ids for name in NAMES if name in _taken(model)}
    warnings.simplefilter("ignore")
    with torch.no_grad(), _patches(model, kind.exporter).patch_model_for_export(model):
        torch.onnx.export(
            model,
            (),
            str(out / "model.onnx"),
            kwargs=inputs,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in inputs},
            dynamo=False,
            opset_version=17,
        )
    if precision == "int8":
        _quantize(out / "model.onnx")
    if calibration is not None:
        _calibrate(out / "model.onnx", json.loads(Path(calibration).read_text()), list(inputs))


def _patches(model: Any, task: str) -> Any:
    """Return optimum's patches: transformers builds its masks in a way that cannot be traced."""
    import optimum.exporters.openvino  # noqa: F401 (registers its exporters)
    from optimum.exporters.tasks import TasksManager

    made = TasksManager.get_exporter_config_constructor(
        model=model, exporter="openvino", task=task, library_name="transformers"
    )
    return made(model.config)


def _taken(model: Any) -> list[str]:
    import inspect

    return list(inspect.signature(model.forward).parameters)


def _quantize(path: Path) -> None:
    """Quantize weights to 8 bits by channel, as ONNX Runtime's guide for transformers says."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    dense = path.rename(path.with_name("dense.onnx"))
    quantize_dynamic(dense, path, weight_type=QuantType.QInt8, per_channel=True)


def _calibrate(path: Path, rows: dict[str, list[list[int]]], names: list[str]) -> None:
    """Quantize products and the table of words with fixed ranges, as pairs of Q and DQ.

    Only these: with every operation, as is the default, normalizations would be in 8 bits too.
    """
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = self._read()

        def _read(self) -> Iterator[dict[str, Any]]:
            for number in range(len(rows["input_ids"])):
                yield {name: np.array([rows[name][number]], np.int64) for name in names}

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    dense = path.with_name("dense.onnx")
    quant_pre_process(path, dense, skip_symbolic_shape=True)
    path.unlink()
    quantize_static(
        dense, path, Reader(), per_channel=True, weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8, op_types_to_quantize=["MatMul", "Gemm", "Gather"],
    )  # fmt: skip


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
