"""`jpqd export --ir`: choose the folder, export, and seal it whole or not at all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from export.origin import Origin
from export.stages.ov_ir import OvIr
from jpqd import tasks
from jpqd.core import artifact, lock, seals
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.progress import Progress
from jpqd.run import plan


def spec(origin: Origin, **options: Any) -> OvIr:
    """Return the stage that these options describe in a recipe."""
    stage = origin.folder.name if origin.task else "model"
    try:
        return OvIr(use="ov_ir", needs=(stage,), **options)
    except ValidationError as error:
        detail = error.errors()[0]
        name = str(detail["loc"][0]).replace("_", "-")
        remedy = detail.get("ctx", {}).get("remedy", "")
        message = f"--{name} {detail['msg']} (got {detail['input']!r}). {remedy}"
        raise UserError(message.strip()) from None


def of_pairs(origin: Origin, pairs: bool) -> Origin:
    """Take a folder's model for one of two texts, where a person says so."""
    if not pairs:
        return origin
    if origin.task:
        raise UserError("--pairs: the task of a run says how many texts it has. Leave it out.")
    kind = tasks.of_folder(origin.folder)
    if kind.vectors or kind.rows_are_text or not kind.one_answer:
        raise UserError(f"--pairs: a {kind.title} reads one text at a time. Leave it out.")
    return replace(origin, pairs=True)


def export(
    origin: Origin, spec: OvIr, out: Path | None, force: bool, progress: Progress
) -> tuple[Manifest, Path]:
    """Export into a folder beside its final place, and rename it."""
    final = (out or origin.folder.with_name(origin.folder.name + "_ir")).absolute()
    _refuse_to_replace(final, force)
    with (
        lock.sealing(final, "Choose another folder with --out.") as partial,
        artifact.disk_full_is_clear(partial, "Nothing was exported."),
    ):
        from export import write  # seconds, which a mistake in the options need not wait for

        started = time.monotonic()
        metrics = write.write(spec, origin, partial, progress)
        inputs = {"stage": spec.plain(), "parents": _parent(origin), "versions": plan.versions()}
        manifest = Manifest.of(
            final.name,
            spec.use,
            spec.makes,
            time.monotonic() - started,
            fingerprint=seals.digest(inputs),
            inputs=inputs,
            metrics=metrics,
        )
        artifact.seal(partial, final, manifest)
    return artifact.open_sealed(final).manifest, final


def _parent(origin: Origin) -> dict[str, str]:
    """Return the origin's fingerprint, or the hash of its content where no recipe made it."""
    if origin.manifest:
        return {origin.folder.name: origin.manifest.fingerprint}
    files = artifact.hash_folder(origin.folder)
    return {origin.folder.name: seals.digest({name: f.sha256 for name, f in files.items()})}


def _refuse_to_replace(final: Path, force: bool) -> None:
    if not final.exists():
        return
    manifest = artifact.read(final) if final.is_dir() else None
    if manifest is None or manifest.kind != "ir":
        raise UserError(f"{final} exists and was not exported by jpqd. Choose a folder with --out.")
    if not force:
        raise UserError(f"{final} exists. Replace it with --force, or choose a folder with --out.")
