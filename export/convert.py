"""The conversion of a PyTorch model to OpenVINO IR, all in this file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as opset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from export.graph import buckets, constants, embedding, products
from export.names import TEXTS
from export.shapes import Shape
from jpqd import __version__
from jpqd.core.errors import RunError, UserError
from jpqd.model import apart, families, quantizers
from jpqd.tasks import Kind


def convert(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: Kind, shape: Shape
) -> ov.Model:
    """Convert a model. Its quantizers become FakeQuantize operations, which plugins run in INT8."""
    config = _export_config(network, kind)
    example = _example(tokenizer, list(config.inputs))
    quantizers.settle(network, example)
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        apart.together(network),
        config.patch_model_for_export(network),
    ):
        warnings.simplefilter("ignore")
        model = ov.convert_model(_traced(network, example), example_input=example)
    for port in model.inputs:  # a tensor that passes through unchanged has two names: MPNet's mask
        port.set_names(port.names & example.keys())
    rows = -1 if shape.batch is None else shape.batch
    tokens = ov.Dimension(1, shape.most or -1) if shape.length is None else shape.length
    model.reshape({port: ov.PartialShape([rows, tokens]) for port in model.inputs})
    return model


def _traced(network: PreTrainedModel, example: dict[str, torch.Tensor]) -> Any:
    """Trace a model once: torch would do it twice, and compare what the export's check compares."""
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    return TorchScriptPythonDecoder(
        network, example_input=example, trace_kwargs={"check_trace": False}
    )


def prepare(
    model: ov.Model, shape: Shape, embedding_bits: embedding.Bits | None, padding: int
) -> ov.Model:
    """Rewrite a model for its use: a table in few bits, joined products, a body for each length."""
    embedding.compress(model, embedding_bits)
    products.join(model)
    constants.share(model)
    if shape.lengths:
        model = buckets.bucketed(model, shape.lengths, padding)
    model.set_rt_info(__version__, ["jpqd", "version"])
    return model


def _export_config(network: PreTrainedModel, kind: Kind) -> Any:
    from optimum.exporters.tasks import TasksManager

    import export.families  # noqa: F401 - registers upstream's exporters and ours

    try:
        constructor = TasksManager.get_exporter_config_constructor(
            model=network,
            exporter="openvino",
            task=kind.exporter,
            library_name="transformers",
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"models of the family {families.name(network)!r} cannot be exported as a "
            f"{kind.title}: {error}"
        ) from error
    return constructor(network.config)


def _example(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> dict[str, torch.Tensor]:
    tokens = tokenizer(["an example", "one of another length"], return_tensors="pt", padding=True)
    zeros = torch.zeros_like(tokens["input_ids"])
    return {name: tokens.get(name, zeros) for name in names}


def save(model: ov.Model, path: Path, *, f16: bool = False) -> None:
    """Save a model; weights behind a FakeQuantize are stored as INT8."""
    ov.save_model(model, path, compress_to_fp16=f16)
    path.write_text(_slim(path.read_text(encoding="utf-8")), encoding="utf-8")


def _slim(xml: str) -> str:
    """Leave out half of a nested graph's file: indentation, and the types and sizes of inputs.

    These stand at the outputs that the inputs read, and the runtime works them out again anyway.
    """
    plain = re.sub(r"\n\s+", "\n", xml)
    return re.sub(r"<input>.*?</input>", _ports_alone, plain, flags=re.DOTALL)


def _ports_alone(inputs: re.Match[str]) -> str:
    ports = re.findall(r'<port id="(\d+)"', inputs[0])
    lines = [f'<port id="{port}" />' for port in ports]
    return "\n".join(["<input>", *lines, "</input>"])


def read(path: Path) -> ov.Model:
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1]
        raise RunError(f"{path} cannot be read back: {first}") from error


def tokenizer_ir(
    tokenizer: PreTrainedTokenizerBase, texts: int, shape: Shape, longest: int
) -> ov.Model:
    """Convert a tokenizer: it truncates at the model's longest text, and pads to the longest of
    a request, or to the fixed length.
    """
    from openvino_tokenizers import convert_tokenizer

    model = convert_tokenizer(
        tokenizer,
        number_of_inputs=texts,
        truncation=True,
        max_length=shape.length or shape.most or longest,
        use_max_padding=shape.length is not None,
    )
    for port, name in zip(model.inputs, TEXTS, strict=False):
        port.set_names({name})
    return model


def fuse(tokens: ov.Model, network: ov.Model) -> ov.Model:
    """Join tokenizer and model. `connect_models` loses the tokenizer's sinks, so add them again."""
    from openvino_tokenizers import connect_models

    sinks = tokens.get_sinks()
    given = [port.get_any_name() for port in tokens.outputs]
    network = _with_zeros_for_others(network, given)
    wanted = {port.get_any_name() for port in network.inputs}
    fused = connect_models(tokens, network, name_map=[(n, n) for n in given if n in wanted])
    fused.add_sinks(sinks)
    return fused


def _with_zeros_for_others(network: ov.Model, given: list[str]) -> ov.Model:
    """Feed zeros to inputs that this tokenizer does not fill, such as token types."""
    kept = [port.get_node() for port in network.inputs if port.get_any_name() in given]
    for port in network.inputs:
        if port.get_any_name() not in given:
            zeros = opset.multiply(kept[0], np.int64(0))
            for target in port.get_target_inputs():
                target.replace_source_output(zeros.output(0))
    return ov.Model(network.outputs, kept, network.get_name())
