"""The comparison of the written files with the PyTorch model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from export import check, names, parity, rows
from export.exporting import Export
from export.options import Options
from export.parity import Parity, Reference
from export.rows import Rows
from jpqd.core.errors import RunError
from jpqd.core.names import PREDICTIONS
from jpqd.model import pooling
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions


def checked(export: Export) -> dict[str, Any]:
    """Compare the written files, read back from disk, with the PyTorch model."""
    if not export.spec.check:
        export.progress.warn("the IR was not compared with the PyTorch model")
        return {"check": None}
    every = _rows(export)
    compared = every.sample()
    asked = _asked(export.spec, export.quantized)
    reference = Reference(export.network, compared, export.shape)
    facts: dict[str, Any] = {}
    paths = [p for p in sorted(export.place.glob("*.xml")) if p.name != names.TOKENIZER]
    for path in paths:
        compiled = check.compiled(path)
        products = _products(export, path)
        found, answers = _compared(export, path, compiled, reference, asked)
        facts[path.name] = {**found.facts(), "matmuls": products}
    some = answers
    if compared is not every:
        export.progress.say(f"    {path.name}: answers all {len(every.tokens)} rows")
        answers = check.answers(_ask(export, path, compiled, every), every, export.shape)
    _keep(export, every, answers)
    if every.kind.follows:  # a row's figures depend on the others, so both answer the same ones
        return {"check": facts, **check.scores(compared, some, reference.answers)}
    return {"check": facts, **check.scores(every, answers, reference.answers)}


def _asked(spec: Options, quantized: bool) -> float:
    """Return the share of rows that need the same prediction."""
    if spec.embedding == "int4":
        return parity.IN_4_BITS
    rounded = quantized or spec.precision == "f16" or spec.embedding
    return parity.ROUNDED if rounded else parity.EXACT


def _keep(export: Export, rows: Rows, answers: Predictions) -> None:
    """Keep answers to the same rows as the model's, which `jpqd compare` sets side by side."""
    task = export.origin.task
    whole = task and export.shape.cut(task.max_length) == task.max_length
    if rows.labelled and (whole or rows.kind.one_answer):
        predictions.save(export.out / PREDICTIONS, answers, rows.kind.facts())


def _ask(export: Export, path: Path, compiled: ov.CompiledModel, rows: Rows) -> check.Ask:
    if path.name == names.FUSED:
        return check.on_texts(compiled, rows)
    return check.on_tokens(compiled, rows, export.shape, pooling.of(export.network))


def _compared(
    export: Export, path: Path, compiled: ov.CompiledModel, reference: Reference, asked: float
) -> tuple[Parity, Predictions]:
    """Judge an IR, and return its answers to the split; a short one is not judged alone."""
    rows, found = reference.rows, _judged(export, path, compiled, reference, asked)
    answers = found.actual
    if not found.holds and asked < parity.EXACT and (more := _more(export, rows)):
        export.progress.say(f"    {path.name}: {found.summary()}; too few to tell: adds train's")
        wider = Reference(export.network, more, export.shape)
        rows, found = more, _judged(export, path, compiled, wider, asked)
    found.require(rows, path.name)
    export.progress.say(f"    {path.name}: {found.summary()}")
    return found, answers


def _products(export: Export, path: Path) -> dict[str, int]:
    products = check.matmuls(path)
    if export.quantized and not any("8" in precision for precision in products):
        raise RunError(f"{path.name}: the stage is INT8, but its IR multiplies in {products}.")
    return products


def _judged(
    export: Export, path: Path, compiled: ov.CompiledModel, reference: Reference, asked: float
) -> Parity:
    compared = reference.rows
    answers = check.answers(_ask(export, path, compiled, compared), compared, export.shape)
    return parity.judged(reference, answers, asked, rounds=export.quantized)


def _more(export: Export, compared: Rows) -> Rows | None:
    """Add rows of train to a short split, in which two rows that differ are too many."""
    origin, missing = export.origin, rows.SMALL - len(compared.tokens)
    if origin.task is None or missing <= 0 or compared.kind.vectors:
        return None
    train = rows.of_task(
        origin, origin.task, export.tokenizer, export.shape, export.progress, "train", missing
    )
    return compared.joined(train)


def _rows(export: Export) -> Rows:
    origin, tokenizer = export.origin, export.tokenizer
    if (task := origin.task) is not None:
        if export.spec.fuse_tokenizer:  # it cuts where the IR ends, and not where training did
            task = task.model_copy(update={"max_length": export.shape.cut(export.longest)})
        return rows.of_task(origin, task, tokenizer, export.shape, export.progress)
    export.progress.say("    the model has no recipe: compared on random words, without accuracy")
    return rows.at_random(tokenizer, export.kind, export.longest, export.shape, export.texts)
