"""What `jpqd export --ir` does around an export: where it goes, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from export.origin import Origin
from export.stages.ov_ir import OvIr
from jpqd import artifact, host, plan
from jpqd.artifact import Manifest
from jpqd.errors import BusyError, RunError, UserError
from jpqd.progress import Progress


def spec(origin: Origin, **options: Any) -> OvIr:
    """The stage that these options would be in a recipe."""
    stage = origin.folder.name if origin.task else "model"
    try:
        return OvIr(use="ov_ir", needs=(stage,), **options)
    except ValidationError as error:
        detail = error.errors()[0]
        name = str(detail["loc"][0]).replace("_", "-")
        remedy = detail.get("ctx", {}).get("remedy", "")
        message = f"--{name} {detail['msg']} (got {detail['input']!r}). {remedy}"
        raise UserError(message.strip()) from None


def export(
    origin: Origin, asked: OvIr, out: Path | None, force: bool, progress: Progress
) -> tuple[Manifest, Path]:
    """Made beside its place and renamed into it."""
    final = (out or origin.folder.with_name(origin.folder.name + "_ir")).resolve()
    _refuse_to_replace(final, force)
    with _beside(final) as partial, artifact.disk_full_is_clear(partial, "Nothing was exported."):
        from export import ir  # seconds, which a mistake in the options need not wait for

        started = time.monotonic()
        metrics = ir.write(asked, origin, partial, progress)
        inputs = {"stage": asked.plain(), "parents": _parent(origin), "versions": plan.versions()}
        manifest = Manifest(
            stage=final.name,
            use=asked.use,
            fingerprint=artifact.digest(inputs),
            inputs=inputs,
            metrics=metrics,
            seconds=round(time.monotonic() - started, 2),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=host.environment(),
        )
        artifact.seal(partial, final, manifest)
    sealed = artifact.read(final)
    assert sealed is not None
    return sealed, final


@contextmanager
def _beside(final: Path) -> Iterator[Path]:
    """An empty folder, held by this process alone. Whatever is left in it at the end goes."""
    partial = final.with_name(final.name + artifact.PARTIAL)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        held = os.open(partial, os.O_RDONLY)
    except OSError as error:
        place = error.filename or partial
        raise RunError(f"cannot write {place}: {error.strerror}. Choose with --out.") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise BusyError(f"another process is exporting to {final}. Wait, or stop it.") from None
    try:
        for leftover in partial.iterdir():  # of a process that was killed
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield partial
    finally:
        os.close(held)
        shutil.rmtree(partial, ignore_errors=True)


def _parent(origin: Origin) -> dict[str, str]:
    """By its fingerprint, or by its content where no recipe made it."""
    if origin.manifest:
        return {origin.folder.name: origin.manifest.fingerprint}
    files = artifact.hash_folder(origin.folder)
    return {origin.folder.name: artifact.digest({name: f.sha256 for name, f in files.items()})}


def _refuse_to_replace(final: Path, force: bool) -> None:
    if not final.exists():
        return
    found = artifact.read(final) if final.is_dir() else None
    if found is None or found.use != "ov_ir":
        raise UserError(f"{final} exists and is no export of jpqd. Choose a place with --out.")
    if not force:
        raise UserError(f"{final} exists. Replace it with --force, or choose a place with --out.")
