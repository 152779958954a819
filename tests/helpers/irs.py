"""IRs of small models, made by hand: the benchmark knows the export by its files alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import openvino as ov
import torch
from optimum.exporters.tasks import TasksManager
from transformers import PreTrainedModel

from jpqd.core import artifact, files
from jpqd.model import loading


def convert(network: PreTrainedModel, folder: Path) -> Path:
    """`openvino_model.xml`, its weights and the config, with dynamic shapes."""
    import optimum.exporters.openvino  # noqa: F401 (registers its exporters)

    ids = torch.ones(2, 8, dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": ids, "token_type_ids": torch.zeros_like(ids)}
    made = TasksManager.get_exporter_config_constructor(
        model=network, exporter="openvino", task="text-classification", library_name="transformers"
    )(network.config)
    warnings.simplefilter("ignore")
    with torch.no_grad(), made.patch_model_for_export(network):
        graph = ov.convert_model(network, example_input=inputs)
    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(graph, folder / "openvino_model.xml", compress_to_fp16=False)
    network.config.save_pretrained(folder)
    return folder


def of_stage(stage: Path, name: str) -> Path:
    """Sealed beside the stage, as `use: ov_ir` leaves it."""
    partial = stage.with_name(name + files.PARTIAL)
    convert(loading.load(stage), partial)
    manifest = artifact.read(stage)
    assert manifest is not None
    update = {
        "stage": name,
        "use": "ov_ir",
        "kind": "ir",
        "inputs": {"stage": {"use": "ov_ir", "needs": [stage.name]}},
    }
    artifact.seal(partial, stage.with_name(name), manifest.model_copy(update=update))
    return stage.with_name(name)


def with_input(name: str, folder: Path) -> Path:
    """An IR that reads something else than tokens."""
    given = ov.opset13.parameter([1, 4], ov.Type.f32, name=name)
    given.output(0).set_names({name})
    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(ov.Model([ov.opset13.relu(given)], [given]), folder / "openvino_model.xml")
    return folder
