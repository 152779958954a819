"""The export of an even model to model.onnx: python -m runtime_bench.onnx_export.

Arguments: the model's folder, the folder to write to, f32 or int8 (dynamic quantization).
It runs in a process of its own.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from jpqd import tasks

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def export(folder: Path, out: Path, precision: str) -> None:
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


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
