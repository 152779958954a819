"""A teacher's answers to the rows of train: from its model, computed once, or from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from filelock import FileLock
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd import tasks
from jpqd.core import cached, cells, processes, seals
from jpqd.core.errors import DataError, SourceError, UserError
from jpqd.core.names import PREDICTIONS
from jpqd.data import batching, sources, splits, tables
from jpqd.data.batching import Batch, Collate
from jpqd.methods.distill import known
from jpqd.methods.distill.known import KnownAnswers
from jpqd.methods.distill.options import Options
from jpqd.methods.distill.variants import Variants
from jpqd.model import loading
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.scores import predictions as scores
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind
from jpqd.training import evaluation
from jpqd.training.method import Training

Answers = tuple[np.ndarray, np.ndarray]
"""Answers, and the row of train that each of them belongs to."""
_BATCH = 64
_PART = 200_000
"""The rows whose answers are kept together."""
_LEAST = 1e-7
"""A probability of zero would be an infinite logit."""
_ROUNDING = 0.02
_ADVICE = "Or give what the teacher predicts as a table, with `predictions`."


class Teacher:
    """A trained model that fits the task and the student's tokens; it does not learn."""

    def __init__(
        self, folder: Path, where: str, training: Training, width: int | None = None
    ) -> None:
        """`width` is that of the student's vectors."""
        ctx = training.ctx
        self.folder, self.where, self.bf16 = folder, where, training.bf16
        self.network: PreTrainedModel = loading.load(folder, ctx.task)
        self.network.requires_grad_(False)
        self.tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
        _check_tokens(self.tokenizer, training.tokenizer, ctx.task, where)
        self.order = _label_order(self.network, training.kind, where, width)

    @property
    def width(self) -> int:
        """Return the numbers of one of its answers, where these are no words."""
        return 0 if isinstance(self.order, slice) else len(self.order)

    def follow_words(self, count: int) -> None:
        """Answer for so many tokens: tables of words are filled up to different lengths."""
        theirs = self.network.config.vocab_size
        if theirs < count:
            raise SourceError(
                f"{self.where}: it knows {theirs} tokens, and the student {count}. Take a teacher "
                "of the same kind."
            )
        self.order = slice(count)

    @torch.no_grad()
    def answer(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits of a batch, in the task's order of labels."""
        names = self.tokenizer.model_input_names
        with torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=self.bf16):
            out = self.network(**{name: batch[name] for name in names if name in batch})
        logits: Tensor = out.logits.float()
        return logits[..., self.order]

    def answers_to_train(self, training: Training) -> KnownAnswers:
        """Answer every row of train once, for all runs, in the task's order of labels."""
        found = self._answers(training, batching.collator(self.tokenizer, training.kind), [])
        return self._known(training, [found], 0)

    def answers_to_variants(self, training: Training, variants: Variants) -> KnownAnswers:
        """Answer the changed copies of every row of train once, for all runs."""
        plain = batching.collator(self.tokenizer, training.kind)

        def changed(variant: int) -> Answers:
            def collate(rows: list[dict[str, Any]]) -> Batch:
                batch = plain(rows)
                return variants.change(batch, torch.full((len(rows),), variant))

            precision = "bf16" if self.bf16 else "f32"
            return self._answers(training, collate, [variants.identity(variant), precision])

        copies = [changed(number) for number in range(variants.count)]
        return self._known(training, copies, variants.rows)

    def identity(self, training: Training) -> list[Any]:
        """Return all that the answers to train depend on."""
        tokens = splits.fingerprint(training.ctx.task, training.tokenizer)
        found = [_identity(self.folder, training.kind), tokens]
        found += [training.data.texts] if training.data.texts else []
        return [*found, "bf16"] if self.bf16 else found

    def _answers(self, training: Training, collate: Collate, more: list[Any]) -> Answers:
        """Answer in parts, each of which is kept when it is whole: a kill costs one of them."""
        split, start = training.data.splits["train"], 0
        every = known.parts(split, _PART, whole=self._place(training, more))
        logits, rows = [], []
        for part, number in every:
            found = self._part(training, part, collate, more, number)
            logits.append(found.logits)
            rows.append(found.rows + start)
            start += len(part)
        return known.joined(logits), np.concatenate(rows)

    def _place(self, training: Training, more: list[Any]) -> Path:
        identity = [*self.identity(training), *more]
        return training.ctx.cache / f"logits-{seals.digest(identity)[:16]}"

    def _part(
        self,
        training: Training,
        split: Dataset,
        collate: Collate,
        more: list[Any],
        number: list[Any],
    ) -> Predictions:
        progress, place = training.ctx.progress, self._place(training, [*more, *number])
        if processes.agree(not cached.is_whole(place, progress)):
            what = "every row of train" if not more else "a changed copy of every row of train"
            progress.say(f"    {self.where} predicts {what} once{known.which(number)}")
            device = processes.device().type
            with torch.autocast(device, torch.bfloat16, enabled=self.bf16):  # as the student learns
                found = evaluation.predict(
                    self.network, split, training.kind, collate, _BATCH, progress
                )
            if processes.is_main():
                facts = training.kind.facts()
                with FileLock(place.with_suffix(".lock")):
                    cached.put(place, lambda out: scores.save(out / PREDICTIONS, found, facts))
            del found  # gigabytes, which are read from the file now
            processes.barrier()
        return scores.load(place / PREDICTIONS)[0]

    def _known(self, training: Training, copies: list[Answers], apart: int) -> KnownAnswers:
        """Put the answers to all copies of train together; their rows lie `apart`."""
        numbers = splits.column(training.data.splits["train"], "row")
        rows = [numbers[rows] + copy * apart for copy, (_, rows) in enumerate(copies)]
        every = [logits for logits, _ in copies]
        copies.clear()
        logits = known.joined(every)
        if self.order not in (slice(None), list(range(logits.shape[1]))):
            logits = logits[:, self.order]
        return KnownAnswers(logits, np.concatenate(rows))


def _identity(folder: Path, kind: Kind) -> dict[str, Any]:
    return sources.model_identity(str(folder), pooled=kind.vectors)


def load(method: Options, training: Training, width: int | None = None) -> Teacher:
    name = str(method.teacher)
    folder = training.ctx.inputs[name] if method.inputs() else sources.model_folder(name)
    return Teacher(folder, f"{training.stage}: distill: teacher {name!r}", training, width)


def _check_tokens(
    ours: PreTrainedTokenizerBase, students: PreTrainedTokenizerBase, task: Task, where: str
) -> None:
    """The teacher reads the student's token ids."""
    if ours.get_vocab() != students.get_vocab():
        raise SourceError(
            f"{where}: its tokenizer ({len(ours)} tokens) is not the student's ({len(students)}), "
            f"so the same token ids mean something else. Take a teacher of the same kind. {_ADVICE}"
        )
    tells = {"token_type_ids" in one.model_input_names for one in (ours, students)}
    if len(task.text) == 2 and len(tells) == 2:
        raise SourceError(
            f"{where}: only one of it and the student reads token_type_ids, which say where the "
            f"second text begins. Take a teacher of the same kind. {_ADVICE}"
        )
    if task.max_length > ours.model_max_length:
        raise SourceError(
            f"{where}: task.max_length is {task.max_length}, and its tokenizer says at most "
            f"{ours.model_max_length}. Set task.max_length to that or less. {_ADVICE}"
        )


def _width(network: PreTrainedModel, width: int | None, where: str) -> int:
    """Return the numbers of a teacher's vectors, which the student's must have too."""
    theirs: int = network.config.hidden_size
    if width is not None and width != theirs:
        raise SourceError(
            f"{where}: its vectors have {theirs} numbers, and the student's {width}. Take a "
            "teacher whose vectors have as many."
        )
    return theirs


def _label_order(
    network: PreTrainedModel, kind: Kind, where: str, width: int | None = None
) -> list[int] | slice:
    """Find where each of the task's labels stands in the teacher's logits."""
    config = network.config
    if kind.rows_are_text and type(network).__name__.endswith((kind.head, *kind.older_heads)):
        return slice(None)  # the tokens, which are the student's
    if kind.vectors:
        return list(range(_width(network, width, where)))
    if kind.is_number:
        if config.num_labels != 1:
            raise SourceError(
                f"{where}: it tells {config.num_labels} classes apart, and the task is a "
                f"regression. Take a teacher that was trained for this task. {_ADVICE}"
            )
        return [0]
    theirs = dict(config.id2label or {})
    names = [tasks.plain(name) for _, name in sorted(theirs.items())]
    wanted = [tasks.plain(name) for name in kind.names]
    if not type(network).__name__.endswith(kind.head):
        raise SourceError(f"{where}: it is no {kind.title}, as the task needs one. {_ADVICE}")
    if sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise SourceError(
            f"{where}: its classes are {cells.some(theirs.values())}, and the task's are "
            f"{cells.some(kind.names)}. Write the task's names into id2label of the config.json in "
            f"a copy of the teacher, if they mean the same. {_ADVICE}"
        )
    return [names.index(name) for name in wanted]


def predictions(method: Options, training: Training) -> KnownAnswers:
    """Read logits from a table, by row of the data."""
    ctx, data, kind = training.ctx, training.data, training.kind
    where = f"{ctx.stage}: distill: predictions {method.predictions!r}"
    if not kind.one_answer or kind.follows:
        raise UserError(
            f"{where}: a table has one answer a row, and a {kind.title} gives another kind of it. "
            "Give a teacher that can be asked."
        )
    path = sources.local_file(str(method.predictions))
    table = tables.read(path, ctx.cache / "tables")
    columns = kind.names or (ctx.task.label,)
    for name in columns:
        if name not in table.column_names:
            advice = plugins.unknown(name, table.column_names)
            raise DataError(f"{where}: no column for the label {name!r}; {advice}.")
    if len(table) != data.of_train:
        raise DataError(
            f"{where}: {len(table)} rows, but train has {data.of_train}. "
            "It needs a row for every row of train, in the same order."
        )
    values = np.column_stack([_numbers(table[name]) for name in columns])
    rows = splits.column(data.splits["train"], "row")
    _check_numbers(values[rows], rows, columns, where)
    if not kind.is_number and _are_shares(values[rows]):
        values = np.log(values.clip(_LEAST, 1))
    return KnownAnswers(values[rows].astype(np.float32), rows)


def _numbers(column: Sequence[object]) -> np.ndarray:
    found = [cells.as_float(cell) for cell in column]
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
