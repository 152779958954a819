"""The figures of a decoder's IR on the windows of a split: as it is, and as devices run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export.decoder import ask
from export.decoder.tally import Tally, in_logs
from jpqd.core import artifact
from jpqd.core.errors import UserError
from jpqd.core.names import PREDICTIONS
from jpqd.core.progress import Progress
from jpqd.data import sources, splits
from jpqd.recipe.task import Task
from jpqd.scores import predictions
from jpqd.tasks import Kind
from jpqd.tasks.causal_lm import CausalLm

DEPLOYED = "deployed"
"""The end of a split's name where the device's own settings were used."""


@dataclass(frozen=True)
class Windows:
    """The windows of a split, or random ones where there is no data."""

    split: str
    ids: Sequence[Sequence[int]]
    labels: Sequence[np.ndarray]
    kind: Kind
    facts: dict[str, Any]

    def some(self, count: int) -> Windows:
        """Return a few windows, spread evenly over all."""
        chosen = np.unique(np.linspace(0, len(self.ids) - 1, count).round().astype(int)).tolist()
        ids, labels = [self.ids[row] for row in chosen], [self.labels[row] for row in chosen]
        return Windows(self.split, ids, labels, self.kind, self.facts)


def of_task(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, progress: Progress
) -> Windows:
    data = splits.prepare(task, tokenizer, cache, progress)
    table: Dataset = data.split(task.report_on)
    labels = [np.array(row) for row in table["labels"][:]]
    name = sources.canonical(task.report_on)
    return Windows(name, table["input_ids"][:], labels, data.kind, {"data": data.facts()})


def refuse_other(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse to measure beside what is no IR of a decoder, or reads other tokens."""
    found = artifact.open_sealed(folder).manifest
    if found.metrics.get("task") != CausalLm.use:
        problem = "is no IR of a language model"
    elif _words(folder) != tokenizer.get_vocab():
        problem = "reads other tokens, so its answers cannot be compared"
    else:
        return
    raise UserError(f"beside: {found.stage} {problem}. Name another stage of `use: ov_ir`.")


def _words(folder: Path) -> dict[str, int]:
    found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    words: dict[str, int] = found.get_vocab()
    return words


def at_random(tokenizer: PreTrainedTokenizerBase, kind: Kind) -> Windows:
    """Make windows for a model without a task: an IR and its model read the same nonsense."""
    chance = np.random.default_rng(0)
    usable = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    ids = chance.choice(usable, (_RANDOM, _TOKENS + 1))
    return Windows("random tokens", ids[:, :-1].tolist(), list(ids[:, 1:]), kind, {})


_RANDOM, _TOKENS = 8, 64


def figures(
    folder: Path, windows: Windows, base: Path | None, out: Path, progress: Progress
) -> dict[str, Any]:
    """Measure an IR under both settings, beside the IR that it was made of if there is one."""
    progress.say(f"    reads {sum(map(len, windows.ids)):,} tokens, under two settings")
    asks = {
        windows.split: ask.openvino(folder, ask.ACCURATE),
        f"{windows.split}, {DEPLOYED}": ask.openvino(folder, ask.DEPLOYED),
    }
    asks_base = ask.openvino(base, ask.ACCURATE) if base else None
    tallies = {name: Tally(windows.kind) for name in asks}
    for ids, labels in zip(windows.ids, windows.labels, strict=True):
        before = in_logs(asks_base(ids)) if asks_base else None
        for name, question in asks.items():
            tallies[name].add(question(ids), labels, before)
    found = tallies[windows.split].predictions
    predictions.save(out / PREDICTIONS, found, windows.kind.facts())
    return {name: tally.figures() for name, tally in tallies.items()}
