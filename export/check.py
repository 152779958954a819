"""The PyTorch model and its IR, row by row: the same predictions, or no export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from transformers import PreTrainedModel

from export.rows import Rows
from export.shapes import Shape
from jpqd.core.errors import RunError
from jpqd.scores import metrics

F32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
"""The hint alone would leave dynamic quantization on."""
EXACT, ROUNDED = 1.0, 0.995
"""The share of rows that must get the same prediction: of f32, and where values are rounded."""
_NEAR = {EXACT: 1e-3, ROUNDED: 0.05}
"""Two regressions are the same within this share of the predictions' standard deviation."""
_MATMULS = ("FullyConnected", "MatMul", "Gemm")
_WORST = 3

Predict = Callable[[np.ndarray], np.ndarray]
"""Logits of the rows with these numbers."""


@dataclass(frozen=True)
class Parity:
    """Predictions of both, in the order of the rows."""

    expected: np.ndarray
    found: np.ndarray
    asked: float

    @property
    def same(self) -> np.ndarray:
        if self.expected.shape[1] > 1:
            equal: np.ndarray = self.expected.argmax(axis=1) == self.found.argmax(axis=1)
            return equal
        near = _NEAR[self.asked] * max(float(self.expected.std()), 1e-3)
        close: np.ndarray = np.abs(self.expected - self.found)[:, 0] <= near
        return close

    def facts(self) -> dict[str, Any]:
        gap = np.abs(self.expected - self.found)
        return {
            "rows": len(self.same),
            "same": float(self.same.mean()),
            "same_asked": self.asked,
            "largest_difference": float(gap.max()),
            "mean_difference": float(gap.mean()),
        }

    def told(self) -> str:
        facts = self.facts()
        return (
            f"{int(self.same.sum())} of {facts['rows']} rows get the same prediction; logits "
            f"differ by {facts['mean_difference']:.1e} on average, "
            f"by {facts['largest_difference']:.1e} at the most"
        )

    def refuse_other(self, rows: Rows, what: str) -> None:
        finite = bool(np.isfinite(self.found).all())
        if finite and self.same.mean() >= self.asked:
            return
        gap = np.where(self.same, -1.0, np.abs(self.expected - self.found).max(axis=1))
        worst = [row for row in np.argsort(-gap)[:_WORST] if not self.same[row]]
        raise RunError(
            f"{what} is not the same model: {self.told()} ({self.asked:.1%} asked for).\n"
            + "\n".join(self._row(rows, int(row)) for row in worst)
            + "\nNothing was written. To export it all the same, switch the check off: --no-check, "
            "or `check: false` in a recipe."
        )

    def _row(self, rows: Rows, row: int) -> str:
        text = " / ".join(column[row] for column in rows.texts)
        expected, found = (
            [round(float(value), 4) for value in logits[row]]
            for logits in (self.expected, self.found)
        )
        return (
            f"    row {rows.numbers[row]} of {rows.split} ({text[:60]!r}): "
            f"PyTorch {expected}, IR {found}"
        )


def predictions(predict: Predict, rows: Rows, shape: Shape) -> np.ndarray:
    """Of every row, whatever was in the request beside it."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for numbers, request in rows.requests(shape):
        found.append((numbers, predict(request)[: len(numbers)]))
    order = np.argsort(np.concatenate([numbers for numbers, _ in found]))
    logits: np.ndarray = np.concatenate([logits for _, logits in found])[order]
    return logits


def pytorch(network: PreTrainedModel, rows: Rows, shape: Shape) -> Predict:
    @torch.no_grad()
    def predict(request: np.ndarray) -> np.ndarray:
        batch = rows.padded(request, shape)
        inputs = {name: torch.from_numpy(values) for name, values in batch.items()}
        logits: np.ndarray = network(**inputs).logits.float().numpy()
        return logits

    return predict


def on_tokens(model: ov.CompiledModel, rows: Rows, shape: Shape) -> Predict:
    names = [port.get_any_name() for port in model.inputs]

    def predict(request: np.ndarray) -> np.ndarray:
        batch = rows.padded(request, shape)
        zeros = np.zeros_like(batch["input_ids"])
        logits: np.ndarray = model({name: batch.get(name, zeros) for name in names})["logits"]
        return logits.copy()

    return predict


def on_texts(model: ov.CompiledModel, rows: Rows) -> Predict:
    def predict(request: np.ndarray) -> np.ndarray:
        texts = [[column[int(row)] for row in request] for column in rows.texts]
        logits: np.ndarray = model(dict(enumerate(texts)))["logits"]
        return logits.copy()

    return predict


def scores(rows: Rows, parity: Parity) -> dict[str, Any]:
    """What the IR reaches under the split's name, and PyTorch beside it, where there are labels."""
    if rows.labels is None or rows.truth is None:
        return {}
    found = metrics.score(rows.labels, parity.found, rows.truth)
    expected = metrics.score(rows.labels, parity.expected, rows.truth)
    return {rows.split: {**found, "of": rows.of, "pytorch": expected}}


def compiled(path: Path) -> ov.CompiledModel:
    """For the CPU, in f32 where it is not quantized."""
    try:
        return ov.Core().compile_model(path, "CPU", F32)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"{path} does not run on the CPU: {reason}") from error


def matmuls(model: ov.CompiledModel) -> dict[str, int]:
    """Matrix products of the compiled model by the precision in which they run."""
    found: Counter[str] = Counter()
    for operation in model.get_runtime_model().get_ops():
        facts = operation.get_rt_info()
        if str(facts["layerType"].value).startswith(_MATMULS):
            found[str(facts["runtimePrecision"].value)] += 1
    return dict(found)
