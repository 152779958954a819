"""Which arms a run or some folders have. An arm is a stage, and how it is run: `teacher:bf16`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jpqd.core import artifact
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.recipe import plugins
from runtime_bench.backend import Backend
from runtime_bench.backends.eager import Eager
from runtime_bench.backends.onnx_runtime import OnnxRuntime
from runtime_bench.backends.openvino_ir import XML, OpenvinoIr
from runtime_bench.backends.openvino_static import OpenvinoStatic
from runtime_bench.machine import host

_COPIED = 100_000_000
"""Bytes of weights up to which static copies are measured unasked."""


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    name: str
    stage: str
    backend: Backend
    usual: bool = True
    """Whether it is measured when nobody chooses."""
    manifest: Manifest | None = None
    """Of the stage, when its figures are of a model that runs like this."""


@dataclass(frozen=True)
class Where:
    """What all arms of a benchmark share."""

    device: str
    threads: int
    mixed: bool
    """Whether lengths differ."""


def of_folders(folders: Mapping[str, Path], baseline: str, where: Where) -> list[Arm]:
    """Every way to run these; the baseline's own come first."""
    ordered = [baseline, *(name for name in folders if name != baseline)]
    return [arm for name in ordered for arm in _ways(name, folders[name], baseline, where)]


def _ways(name: str, folder: Path, baseline: str, where: Where) -> Iterator[Arm]:
    folder = folder.resolve()
    manifest = artifact.read(folder)
    if is_ir(folder):
        dense = name == baseline or _made_of(manifest, baseline)
        yield from _ir(name, folder, manifest, dense, where)
    elif (folder / "config.json").is_file():
        yield from _torch(name, folder, manifest, where.threads)
    else:
        raise UserError(
            f"{folder}: neither an IR ({XML}) nor a model of transformers (config.json). "
            "Name a run, a stage's folder, or a folder with one of these."
        )


def is_ir(folder: Path) -> bool:
    """Also one whose file is lost, so that what is missing can be named."""
    manifest = artifact.read(folder)
    made = manifest is not None and manifest.kind == "ir"
    return made or any((folder / XML).with_suffix(end).is_file() for end in (".xml", ".bin"))


def _made_of(manifest: Manifest | None, stage: str) -> bool:
    return manifest is not None and stage in manifest.made_of


def _ir(
    name: str, folder: Path, manifest: Manifest | None, dense: bool, where: Where
) -> Iterator[Arm]:
    """In f32 as well where it is the baseline's: bf16 is what the device would make of it.

    As static copies where lengths differ, since a dynamic model pays for every change; a large one
    only when asked, as each copy holds its own weights and the change is little of its time.
    """
    path, threads, device = str(folder), where.threads, where.device
    default = OpenvinoIr(path=path, threads=threads, device=device)
    f32 = default.model_copy(update={"precision": "f32"})
    yield Arm(f"{name}:f32", name, f32, usual=dense)
    yield Arm(name, name, default, manifest=manifest)
    static = OpenvinoStatic(path=path, threads=threads, device=device)
    small = _weights_bytes(folder) < _COPIED
    yield Arm(f"{name}:static", name, static, usual=where.mixed and small, manifest=manifest)


def _weights_bytes(folder: Path) -> int:
    weights = (folder / XML).with_suffix(".bin")
    return weights.stat().st_size if weights.is_file() else 0


def _torch(name: str, folder: Path, manifest: Manifest | None, threads: int) -> Iterator[Arm]:
    """A pruned or quantized model is for an IR: PyTorch would only simulate its arithmetic."""
    f32 = Eager(path=str(folder), threads=threads)
    yield Arm(f"{name}:f32", name, f32, manifest=manifest)
    if (folder / "structure.json").is_file():
        return
    bf16 = f32.model_copy(update={"precision": "bf16"})
    compiled = f32.model_copy(update={"compiled": True})
    yield Arm(f"{name}:bf16", name, bf16, usual=host.computes_bf16())
    yield Arm(f"{name}:compile", name, compiled, usual=False)
    onnx = OnnxRuntime(path=str(folder), threads=threads)
    int8 = onnx.model_copy(update={"precision": "int8"})
    yield Arm(f"{name}:onnx", name, onnx, usual=False)
    yield Arm(f"{name}:onnx_int8", name, int8, usual=False)


def check_room(arms: Sequence[Arm], longest: int) -> None:
    """OpenVINO reads past the table of positions without a word."""
    for arm in arms:
        try:
            config = json.loads((Path(arm.backend.path) / "config.json").read_text())
            room = int(config["max_position_embeddings"])
        except (OSError, ValueError, KeyError):
            continue
        if longest > room:
            raise UserError(
                f"{arm.backend.path}: the model takes {room} tokens, and the requests have "
                f"{longest}. Give a smaller --length, or --policy exact."
            )


def choose(arms: Sequence[Arm], wanted: Sequence[str], baseline: str) -> list[Arm]:
    """Those that were named, in the order in which they are there, and always the baseline."""
    names = {arm.name for arm in arms}
    for name in wanted:
        if name not in {*names, "all", "default"}:
            raise UserError(f"--arms {name}: there is no such arm; {plugins.unknown(name, names)}.")
    base = first_of(arms, baseline)
    return [
        arm
        for arm in arms
        if arm is base
        or arm.name in wanted
        or "all" in wanted
        or ("default" in wanted and arm.usual)
    ]


def first_of(arms: Sequence[Arm], baseline: str) -> Arm:
    """The baseline is a stage, in f32, or an arm."""
    for arm in arms:
        if baseline in (arm.name, arm.stage):
            return arm
    stages = {arm.stage for arm in arms}
    raise UserError(
        f"--baseline {baseline}: not among the arms; {plugins.unknown(baseline, stages)}."
    )
