"""A trained model and a file of texts: the task of a recipe for them, for people without one."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd import tasks
from jpqd.core import artifact, files, lock
from jpqd.core.errors import UserError
from jpqd.core.names import MANIFEST, MODULES, OWN_ANSWER
from jpqd.core.progress import Progress
from jpqd.recipe.schema import NAME_PATTERN
from jpqd.recipe.task import BUILTIN, Task, looks_local
from jpqd.run import finder
from jpqd.tasks import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from jpqd.data.given import Given

MODEL = "model"
"""The stage with the model as it is."""
_HEAD = "ForSequenceClassification"
_REPORTED, _CHOSEN, _TRAIN = 1000, 1000, 8000
"""The rows of each split of a large file. A small one gives a tenth to each of the first two."""


@dataclass(frozen=True)
class Wanted:
    """A model, a file with texts and its columns, and the run's name."""

    command: str
    model: str
    data: Path
    text: tuple[str, ...]
    runs: Path
    name: str
    cuts: bool = False
    """True where the model will be pruned."""
    dense: bool = False
    """True where it is set against the model before any cut."""

    def __post_init__(self) -> None:
        if not re.match(NAME_PATTERN, self.name):
            raise UserError(
                f"--name {self.name}: a run's name is made of letters, digits, dots, bars and "
                "underscores."
            )

    @property
    def run(self) -> Path:
        return self.runs / self.name

    @property
    def cache(self) -> Path:
        return self.runs / ".cache"


@dataclass(frozen=True)
class Described:
    task: dict[str, Any]
    """The keys of the recipe's task."""
    rows: int
    said: str
    """A sentence about the data."""

    @property
    def is_own(self) -> bool:
        """Return whether the labels are the model's own answers."""
        return self.task.get("label") == OWN_ANSWER


def stem(model: str) -> str:
    """Name a run by its model."""
    name = Path(model).absolute().name if looks_local(model) else model.split("@")[0].split("/")[-1]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name)
    return plain.strip("_.-")[:60] or "model"


def describe(wanted: Wanted, progress: Progress) -> Described:
    """Read the file; write the model's own answers into the run's folder where labels lack."""
    folder = _folder(wanted.model)
    kind = _kind(wanted, folder)
    from jpqd.data import draft, given  # seconds, which a mistake need not wait for
    from jpqd.training import answers

    _refuse_another_run(wanted)
    files.make_folder(wanted.cache, "Choose a folder with --runs.")
    found = given.read(wanted.data, wanted.text, kind, wanted.cache, progress)
    if kind.vectors:
        found = found.one_by_one()
    else:
        _refuse_other_texts(folder, found)
    model = answers.load(wanted.model, folder, kind, cuts=wanted.cuts)
    if wanted.dense:
        _refuse_cut(wanted.model, model.network)
    texts = found.drawn()
    length, _ = draft.longest(str(folder), texts.to_list(), found.text)
    wanted.run.mkdir(parents=True, exist_ok=True)
    table, rows = wanted.data, len(found.table)
    if found.label is None:
        rows = len(texts)
        with lock.hold(wanted.run):
            table = answers.write(model, texts, length, wanted.cache, wanted.run, progress)
    task = _task(found, kind, table, rows) | {"max_length": length}
    return Described(task, rows, _said(found, kind, rows))


def _refuse_other_texts(folder: Path, found: Given) -> None:
    """Refuse rows with another number of texts than the stage was trained on."""
    run = finder.around(folder)
    wanted = finder.task_of(run).text if run else found.text
    if len(wanted) != len(found.text):
        raise UserError(
            f"{found.path}: {' and '.join(found.text)} would be read, and this model was trained "
            f"on {' and '.join(wanted)}. Name as many columns, --text {','.join(wanted)}; in a "
            ".txt two texts have a tab between."
        )


def _refuse_cut(model: str, network: PreTrainedModel) -> None:
    from jpqd.model import size

    share = size.facts(network).encoder_share
    if share is not None and share < 1:
        raise UserError(
            f"model {model!r}: it is pruned already, to {share:.0%} of its encoder, and a speedup "
            "is against the model before any cut. Give p50_ms or size_mb."
        )


def _refuse_another_run(wanted: Wanted) -> None:
    """Refuse to make a run of this model out of one that is of something else."""
    earlier = finder.read_recipe(wanted.run)
    if not earlier:
        return
    model = earlier.get("model")
    if _place(model) != _place(wanted.model) or MODEL not in earlier["stages"]:
        of = f"of {model}" if isinstance(model, str) else "of a recipe"
        raise UserError(
            f"{wanted.run} is a run {of} already. Give this one another name: --name NAME."
        )


def _place(model: object) -> object:
    """Return the same for two ways to write a folder."""
    if isinstance(model, str) and looks_local(model):
        return Path(model).expanduser().resolve()
    return model


def _folder(model: str) -> Path:
    """Return the model's folder, downloaded if need be; check it where it was sealed."""
    from jpqd.data import sources

    if not looks_local(model):
        sources.check_hub(model, Task(name="texts", dataset=BUILTIN))
    folder = sources.model_folder(model)
    if (folder / MANIFEST).is_file():
        artifact.open_sealed(folder)
    sources.require_tokenizer(folder)
    return folder


def _kind(wanted: Wanted, folder: Path) -> Kind:
    if wanted.cuts and tasks.pools(folder):
        return tasks.of_folder(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = next(iter(config.get("architectures") or ()), "no architecture")
    if not architecture.endswith(_HEAD):
        raise UserError(
            f"model {wanted.model!r}: it is a {architecture}, and {wanted.command} takes a trained "
            f"text classifier or regression (...{_HEAD}){_or_vectors(wanted)}. jpqd init drafts a "
            "recipe that trains one."
        )
    return tasks.of_config(config)


def _or_vectors(wanted: Wanted) -> str:
    return f", or an embedding model (with a {MODULES})" if wanted.cuts else ""


def _task(found: Given, kind: Kind, table: Path, rows: int) -> dict[str, Any]:
    """Return the keys of the recipe's task that depend on the data."""
    own, is_class = found.label is None, not kind.is_number and not kind.vectors
    return {
        "dataset": {"train": str(table)},
        "use": "agreement" if own and is_class else kind.use,
        "text": found.text,
        **({} if kind.vectors else {"label": found.label or OWN_ANSWER}),
        **({"labels": kind.names} if is_class else {}),
        "holdout": min(0.1, _REPORTED / rows),
        "select_on": min(0.1, _CHOSEN / rows),
        **({"train_rows": _TRAIN} if rows > _TRAIN else {}),
        **_unusable(found),
    }


def _unusable(found: Given) -> dict[str, float]:
    """Allow as many rows without a label as there are, where that is more than usual."""
    share = 0.0 if found.label is None else found.lost / (found.lost + len(found.table))
    allowed = min(1.0, math.ceil(1000 * share + 1) / 1000)
    return {"max_unusable": allowed} if share > Task.model_fields["max_unusable"].default else {}


def _said(found: Given, kind: Kind, rows: int) -> str:
    columns = " and ".join(found.text)
    if found.label is not None:
        lost = f"; {found.lost:,} more lack one of them" if found.lost else ""
        return f"{rows:,} rows: {columns}, with labels in {found.label}{lost}"
    if kind.vectors:
        return (
            f"{rows:,} texts of {columns}. What is reported is the cosine to the model's own "
            "vectors, and the recall of the ten texts that it finds nearest"
        )
    given = "" if kind.is_number else f" ({len(kind.names)} classes)"
    return (
        f"{rows:,} rows: {columns}, without labels that the model knows{given}. Its own answers "
        "stand for them, and what is reported is agreement with the model itself"
    )
