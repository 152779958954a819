"""`jpqd init`: a recipe drafted from a model and a data file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jpqd.core import terminal
from jpqd.core.console import Debug, echo, errors
from jpqd.core.errors import UserError

if TYPE_CHECKING:
    from jpqd.data.draft import Draft

_RECIPE = """\
# Drafted by `jpqd init` from {data} ({rows:,} rows looked at). Read it, correct it, then:
#
#     jpqd plan {out}
#     jpqd run {out}
model: {model}
task:
  name: {name}
  dataset: {dataset}
  use: {kind}
  text: {text}
{label}  max_length: {max_length}  # 99 of 100 texts fit, counted in {measured_in}
stages:
"""
_STAGES = """\
  teacher: {use: train, epochs: 3, learning_rate: 3.0e-5}
  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize}]}
  jpqd:
    use: train
    needs: [teacher]
    epochs: 4
    learning_rate: 1.0e-4
    dropout: 0.0
    methods:
      - {use: prune, keep: 0.4}  # the share of the encoder's weights that stays
      - {use: quantize}
      - {use: distill, teacher: teacher}
  teacher_ir: {use: ov_ir, needs: [teacher]}
  ptq_ir: {use: ov_ir, needs: [ptq]}
  jpqd_ir: {use: ov_ir, needs: [jpqd]}
  bench: {use: bench, needs: [teacher, teacher_ir, ptq_ir, jpqd_ir]}
"""
_OF_VECTORS = """\
  whole: {use: train, epochs: 0}  # the model as it is, which the others learn from
  ptq: {use: train, needs: [whole], epochs: 0, methods: [{use: quantize, smooth_quant: 0.8}]}
  jpqd:
    use: train
    needs: [whole]
    epochs: 2
    batch_size: 64
    learning_rate: 3.0e-4
    average: 0.999
    dropout: 0.0
    methods:
      - {use: prune, keep: 0.5, schedule: one_shot, start: 0.05}  # what stays of the encoder
      - {use: quantize}
      - {use: distill, teacher: whole, weight: 1.0}
  whole_ir: {use: ov_ir, needs: [whole]}
  ptq_ir: {use: ov_ir, needs: [ptq]}
  jpqd_ir: {use: ov_ir, needs: [jpqd]}
  bench: {use: bench, needs: [whole, whole_ir, ptq_ir, jpqd_ir]}
"""


def init(
    model: Annotated[str, typer.Option(help="A model's folder, or its name on the hub.")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="The rows to train on.")],
    validation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows to report on; else some are cut from train."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe; by default NAME.yaml.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The task's name; by default the data file's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe.")] = False,
    debug: Debug = False,
) -> None:
    """Draft a recipe from a model and a data file: columns, labels, lengths, and stages."""
    with errors(debug, as_json=False):
        from jpqd.core import files
        from jpqd.data import draft
        from jpqd.recipe import recipes

        named = name or _name(data)
        place = out or Path(f"{named}.yaml")
        if place.is_dir():
            raise UserError(f"{place} is a folder. Name a file: --out {place / named}.yaml.")
        if place.exists() and not force:
            raise UserError(f"{place} exists. Replace it with --force, or name another: --out.")
        found = draft.draft(model, data, validation)
        files.make_folder(place.parent, "Name another file with --out.")
        files.write_text(place, _written(model, data, validation, place, named, found))
        recipes.load(place)  # names what was given and cannot be in a recipe
        by = f" by {found.label}" if found.label else ""
        echo(f"{place}: {found.kind} of {' and '.join(found.text)}{by}")
        for doubt in found.doubts:
            echo(f"warning: {doubt}", err=True)


def _name(data: Path) -> str:
    usual = data.stem.lower() in ("train", "training", "data")
    stem = data.absolute().parent.name if usual else data.stem
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in stem)
    return plain.strip("_-")[:100] or "task"


def _written(
    model: str, data: Path, validation: Path | None, place: Path, name: str, found: "Draft"
) -> str:
    dataset = {"train": str(data)} | ({"validation": str(validation)} if validation else {})
    head = _RECIPE.format(
        data=_in_comment(data.name), rows=found.rows, out=_in_comment(str(place)),
        model=_yaml(model), name=_yaml(name), dataset=_yaml(dataset), kind=found.kind,
        text=_yaml(found.text), label=_label(found),
        max_length=found.max_length, measured_in=found.measured_in,
    )  # fmt: skip
    return head + (_OF_VECTORS if found.kind == "embedding" else _STAGES)


def _label(found: "Draft") -> str:
    """Return the line that names the labels, with how many rows have each; none without them."""
    if not found.label:
        return ""
    told = ", ".join(f"{label} {count:,}" for label, count in found.labels.most_common(12))
    comment = f"  # {_in_comment(told)}" if told else ""
    return f"  label: {_yaml(found.label)}{comment}\n"


def _in_comment(text: str) -> str:
    """Keep a comment in its line, whatever stands in the data."""
    return " ".join(terminal.plain(text).split())


def _yaml(value: object) -> str:
    return terminal.json_line(value)
