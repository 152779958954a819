"""What a teacher says of the rows of train: from its model, computed once, or from a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import artifact, processes
from jpqd.core.errors import DataError, SourceError
from jpqd.data import labels, sources, splits, tables
from jpqd.data.labels import Labels
from jpqd.data.splits import Data
from jpqd.methods.distill.options import Options
from jpqd.model import loading
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.training import evaluation
from jpqd.training.method import Training

_BATCH = 64
_LEAST = 1e-7
"""A probability of zero would be an infinite logit."""
_ROUNDING = 0.02
_ADVICE = "Or give what the teacher predicts as a table, with `predictions`."


class Teacher:
    """A trained model that fits the task and the student's tokens; it does not learn."""

    def __init__(self, folder: Path, where: str, training: Training) -> None:
        ctx = training.ctx
        self.folder, self.where, self.bf16 = folder, where, training.bf16
        self.network: PreTrainedModel = loading.load(folder)
        self.network.requires_grad_(False)
        self.tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
        _check_tokens(self.tokenizer, training.tokenizer, ctx.task, where)
        self.order = _label_order(self.network, training.data.labels, where)

    @torch.no_grad()
    def answer(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits of a batch, in the task's order of labels."""
        known = self.tokenizer.model_input_names
        with torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=self.bf16):
            out = self.network(**{name: batch[name] for name in known if name in batch})
        logits: Tensor = out.logits.float()
        return logits[:, self.order]

    def logits_of_train(self, training: Training) -> np.ndarray:
        """In the split's order and the task's order of labels; computed once for all runs."""
        ctx = training.ctx
        tokens = splits.fingerprint(ctx.task, training.tokenizer)
        identity = [sources.model_identity(str(self.folder)), tokens]
        path = ctx.cache / f"logits-{artifact.digest(identity)[:16]}.safetensors"
        if processes.agree(not path.is_file()):
            ctx.progress.say(f"    {self.where} predicts every row of train once")
            collate = evaluation.collator(self.tokenizer)
            logits, _ = evaluation.predict(
                self.network, training.data.splits["train"], collate, _BATCH
            )
            if processes.is_main():
                _write(path, logits)
            processes.barrier()
        known: np.ndarray = load_file(path)["logits"]
        return known[:, self.order]


def load(method: Options, training: Training) -> Teacher:
    name = str(method.teacher)
    folder = training.ctx.inputs[name] if method.inputs() else sources.model_folder(name)
    return Teacher(folder, f"{training.stage}: distill: teacher {name!r}", training)


def by_row(split_logits: np.ndarray, prepared: Data) -> np.ndarray:
    """The same logits at the places where the data itself has these rows."""
    rows = splits.column(prepared.splits["train"], "row")
    table = np.full((rows.max() + 1, split_logits.shape[1]), np.nan, dtype=np.float32)
    table[rows] = split_logits
    return table


def _write(path: Path, logits: np.ndarray) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}{artifact.PARTIAL}")
    save_file({"logits": logits}, partial)
    partial.replace(path)


def _check_tokens(
    ours: PreTrainedTokenizerBase, students: PreTrainedTokenizerBase, task: Task, where: str
) -> None:
    """The teacher reads the student's token ids."""
    same = ours.get_vocab() == students.get_vocab()
    pairs = {"token_type_ids" in one.model_input_names for one in (ours, students)}
    if not same or (len(task.text) == 2 and len(pairs) == 2):
        raise SourceError(
            f"{where}: its tokenizer ({len(ours)} tokens) is not the student's ({len(students)}), "
            f"so the same token ids mean something else. Take a teacher of the same kind. {_ADVICE}"
        )
    if task.max_length > ours.model_max_length:
        raise SourceError(
            f"{where}: task.max_length is {task.max_length}, and its tokenizer says at most "
            f"{ours.model_max_length}. Set task.max_length to that or less. {_ADVICE}"
        )


def _label_order(network: PreTrainedModel, found: Labels, where: str) -> list[int]:
    """Where each of the task's labels stands in the teacher's logits."""
    config = network.config
    if found.kind == "regression":
        if config.num_labels != 1:
            raise SourceError(
                f"{where}: it tells {config.num_labels} classes apart, and the task is a "
                f"regression. Take a teacher that was trained for this task. {_ADVICE}"
            )
        return [0]
    theirs = dict(config.id2label or {})
    names = [_plain(name) for _, name in sorted(theirs.items())]
    wanted = [_plain(name) for name in found.names]
    if sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise SourceError(
            f"{where}: its classes are {_some(theirs.values())}, and the task's are "
            f"{_some(found.names)}. Write the task's names into id2label of the config.json in a "
            f"copy of the teacher, if they mean the same. {_ADVICE}"
        )
    return [names.index(name) for name in wanted]


def _plain(name: str) -> str:
    """What transformers calls a class without a name is its number."""
    return str(name).casefold().removeprefix("label_")


def _some(names: Iterable[str]) -> str:
    return ", ".join(map(repr, islice(names, 5)))


def predictions(method: Options, training: Training) -> np.ndarray:
    """Logits from a table, by row of the data."""
    ctx, prepared = training.ctx, training.data
    where = f"{ctx.stage}: distill: predictions {method.predictions!r}"
    path = sources.local_file(str(method.predictions))
    table = tables.read(path, ctx.cache / "tables")
    columns = prepared.labels.names or (ctx.task.label,)
    for name in columns:
        if name not in table.column_names:
            advice = plugins.unknown(name, table.column_names)
            raise DataError(f"{where}: no column for the label {name!r}; {advice}.")
    if len(table) != prepared.of_train:
        raise DataError(
            f"{where}: {len(table)} rows, but train has {prepared.of_train}. "
            "It needs a row for every row of train, in the same order."
        )
    values = np.column_stack([_numbers(table[name]) for name in columns])
    rows = splits.column(prepared.splits["train"], "row")
    _check_numbers(values[rows], rows, columns, where)
    is_share = prepared.labels.kind == "classification" and _are_shares(values[rows])
    return (np.log(values.clip(_LEAST, 1)) if is_share else values).astype(np.float32)


def _numbers(cells: Sequence[object]) -> np.ndarray:
    found = [labels.as_float(cell) for cell in cells]
    return np.array([np.nan if number is None else number for number in found])


def _check_numbers(
    values: np.ndarray, rows: np.ndarray, columns: Sequence[str], where: str
) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{where}: row {rows[row] + 1}, column {columns[column]!r} holds no number, and train "
            "uses this row. Write the probability or the logit of every class."
        )


def _are_shares(values: np.ndarray) -> bool:
    in_range = values.min() >= 0 and values.max() <= 1
    return bool(in_range and np.allclose(values.sum(1), 1, atol=_ROUNDING))
