"""Attacks on each stage, and how each stage answers the texts that fooled the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from export import answering, check
from export.answering import Model
from export.robustness.conditions import Condition
from jpqd.analysis import attack
from jpqd.analysis.attack import Attacked, Substitutes
from jpqd.core.errors import UserError
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import Task
from jpqd.scores import paired
from jpqd.scores.metrics import wilson

Row = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """The rows that are attacked: the last text of each."""

    task: Task
    condition: Condition
    rows: list[Row]

    def label(self, row: Row) -> int:
        number: int = self.condition.kind.label(self.task, row)
        return number


def target(condition: Condition, ctx: Context, count: int) -> Target:
    """Draw rows; they are the same for every stage."""
    size = len(condition.table)
    drawn = np.random.default_rng(ctx.seed).permutation(size)[:count]
    chosen = condition.table.select(np.sort(drawn).tolist())
    return Target(ctx.task, condition, list(chosen))


def known(name: str, ctx: Context) -> Substitutes:
    """Return the neighbours among the word embeddings of a stage's model."""
    folder = ctx.inputs[name]
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"{ctx.stage}: attack takes words from the embeddings of the first of needs, and "
            f"{name} is an IR. Put a trained stage first."
        )
    tokenizer, network = loading.tokenizer_from(folder), loading.load(folder)
    embeddings: Any = network.get_input_embeddings()
    table = embeddings.weight.detach().float().numpy()
    pieces = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), len(table)))))
    begins = attack.whole_words(pieces)
    return attack.substitutes(list(begins), table[list(begins.values())])


def on_stage(model: Model, target: Target, known: Substitutes) -> list[Attacked]:
    """Attack every row by itself."""
    return [_attacked(model, target, row, known) for row in target.rows]


def _attacked(model: Model, target: Target, row: Row, known: Substitutes) -> Attacked:
    column = target.task.text[-1]
    right = target.label(row)

    def ask(texts: Sequence[str]) -> np.ndarray:
        logits = answers(model, target, [row | {column: text} for text in texts])
        chances = special.softmax(logits, axis=1)
        lead: np.ndarray = chances[:, right] - np.delete(chances, right, axis=1).max(1)
        return lead

    return attack.attack(str(row[column]), ask, known)


def answers(model: Model, target: Target, rows: Sequence[Row]) -> np.ndarray:
    """Return the logits of rows in their order."""
    task, kind = model.fitted(target.task), target.condition.kind
    columns = {name: [row[name] for row in rows] for name in (*task.text, task.label)}
    given = answering.encoded(task, columns, kind, model.tokenizer)
    return check.answers(model.ask(given), given, model.shape).logits


def carried(model: Model, target: Target, texts: Sequence[Attacked]) -> np.ndarray:
    """Say which rows a model answers right with the texts of an attack on another one."""
    column = target.task.text[-1]
    rows = [row | {column: one.text} for row, one in zip(target.rows, texts, strict=True)]
    labels = np.array([target.label(row) for row in rows])
    found: np.ndarray = answers(model, target, rows).argmax(1) == labels
    return found


def figures(
    target: Target, mine: np.ndarray, base: np.ndarray | None, texts: Sequence[Attacked]
) -> dict[str, Any]:
    """Return the share that is right after an attack, beside the baseline's."""
    count, name = len(mine), target.condition.kind.metrics[0]
    found: dict[str, Any] = {
        "n": count,
        name: float(mine.mean()),
        f"{name}_95": list(wilson(float(mine.sum()), count)),
        "queries": float(np.mean([one.queries for one in texts])),
        "changed": float(np.mean([one.changed for one in texts])),
    }
    if base is not None:
        middle, low, high = paired.accuracy_difference(mine[None], base[None])
        found |= {"difference": middle, "difference_95": [low, high]}
    return found
