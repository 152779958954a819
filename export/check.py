"""Questions to a PyTorch model and to its IR, row by row, and what they answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from transformers import PreTrainedModel

from export import convert
from export.graph import buckets
from export.rows import Rows
from export.shapes import Shape
from jpqd.core.errors import RunError
from jpqd.model.pooling import Pooling
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions

F32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
"""The hint alone would leave dynamic quantization on."""
_MATMULS = ("FullyConnected", "MatMul", "Gemm")

Requests = Iterable[tuple[np.ndarray, np.ndarray]]
Ask = Callable[[np.ndarray], np.ndarray]
"""A function from row numbers to the logits of these rows."""


def answers(ask: Ask, rows: Rows, shape: Shape, requests: Requests | None = None) -> Predictions:
    """Answer every row, whatever other rows are in its request; by default these are mixed."""
    logits: dict[int, np.ndarray] = {}
    labels: dict[int, np.ndarray] = {}
    for numbers, request in requests or rows.requests(shape):
        for number, answer in zip(numbers.tolist(), ask(request), strict=False):
            truth = rows.kind.pad([rows.labels[number]], answer.shape[0])
            logits[number] = rows.kind.answers(answer[None], truth)
            labels[number] = rows.kind.targets(truth)
    order = range(len(rows.tokens))
    return predictions.joined([logits[row] for row in order], [labels[row] for row in order])


def pytorch(network: PreTrainedModel, rows: Rows, shape: Shape) -> Ask:
    @torch.no_grad()
    def predict(request: np.ndarray) -> np.ndarray:
        batch = rows.padded(request, shape)
        inputs = {name: torch.from_numpy(values) for name, values in batch.items()}
        logits: np.ndarray = network(**inputs).logits.float().numpy()
        return logits

    return predict


def on_tokens(
    model: ov.CompiledModel, rows: Rows, shape: Shape, pooling: Pooling | None = None
) -> Ask:
    names = [port.get_any_name() for port in model.inputs]

    def predict(request: np.ndarray) -> np.ndarray:
        batch = rows.padded(request, shape)
        zeros = np.zeros_like(batch["input_ids"])
        found = model({name: batch.get(name, zeros) for name in names})[rows.kind.output]
        answers: np.ndarray = pooling.vectors(found, batch["attention_mask"]) if pooling else found
        return answers.copy()

    return predict


def on_texts(model: ov.CompiledModel, rows: Rows) -> Ask:
    def predict(request: np.ndarray) -> np.ndarray:
        texts = [[column[int(row)] for row in request] for column in rows.texts]
        logits: np.ndarray = model(dict(enumerate(texts)))["logits"]
        return logits.copy()

    return predict


def scores(rows: Rows, actual: Predictions, expected: Predictions) -> dict[str, Any]:
    """Return the figures of the IR, and of PyTorch on the rows that were compared, by split."""
    if not rows.labelled:
        return {}
    return {rows.split: {**rows.kind.score(actual), "pytorch": rows.kind.score(expected)}}


def compiled(path: Path) -> ov.CompiledModel:
    """Compile an IR for the CPU, in f32 where it is not quantized, with PyTorch's threads."""
    try:
        how = {**F32, "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
        return ov.Core().compile_model(path, "CPU", how)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"{path} does not run on the CPU: {reason}") from error


def matmuls(path: Path, how: Mapping[str, str] = F32) -> dict[str, int]:
    """Count the matrix products of an IR by the precision in which they run on the CPU."""
    model = ov.Core().compile_model(buckets.any_shape(convert.read(path)), "CPU", dict(how))
    products: Counter[str] = Counter()
    for operation in model.get_runtime_model().get_ops():
        facts = operation.get_rt_info()
        if str(facts["layerType"].value).startswith(_MATMULS):
            products[str(facts["runtimePrecision"].value)] += 1
    return dict(products)
