"""The arms of a run or of folders. An arm is a stage and the way it runs: `teacher:bf16`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jpqd import tasks
from jpqd.core import artifact, room
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.names import IR_XML, MANIFEST, STRUCTURE
from jpqd.recipe import plugins
from jpqd.run import finder
from runtime_bench.backend import Backend
from runtime_bench.backends import llama_cpp, openvino_genai
from runtime_bench.backends.eager import Eager
from runtime_bench.backends.eager_writer import EagerWriter
from runtime_bench.backends.llama_cpp import LlamaCpp
from runtime_bench.backends.onnx_runtime import OnnxRuntime
from runtime_bench.backends.openvino_genai import OpenvinoGenai
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.backends.openvino_static import OpenvinoStatic
from runtime_bench.backends.openvino_writer import OpenvinoWriter
from runtime_bench.backends.optimum_int8 import OptimumInt8
from runtime_bench.backends.sentence_transformers import SentenceTransformers
from runtime_bench.machine import host

_COPIED = 100_000_000
"""The most bytes of weights for which static copies are measured by default."""


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    name: str
    stage: str
    backend: Backend
    usual: bool = True
    """True where it is measured by default."""
    manifest: Manifest | None = None
    """The stage's manifest, where its figures may hold for a model that runs this way."""
    calibrates: bool = False
    """True where its model is made with the help of rows of train."""


@dataclass(frozen=True)
class Setup:
    """The settings that all arms of a benchmark share."""

    device: str
    threads: int
    mixed: bool
    """True where lengths differ."""


def of_folders(folders: Mapping[str, Path], baseline: str, where: Setup) -> list[Arm]:
    """Return every way to run these folders, the baseline's first."""
    ordered = [baseline, *(name for name in folders if name != baseline)]
    return [arm for name in ordered for arm in _ways(name, folders[name], baseline, where)]


def _ways(name: str, folder: Path, baseline: str, where: Setup) -> Iterator[Arm]:
    folder = folder.resolve()
    if folder.suffix == llama_cpp.SUFFIX:
        yield Arm(name, name, LlamaCpp(path=str(folder), threads=where.threads))
        return
    manifest = _opened(folder)
    if manifest and is_served(manifest):
        raise UserError(
            f"{folder}: it is laid out for a model server. Export it as layout: folder."
        )
    if writes(folder):
        yield from _writers(name, folder, manifest, where)
    elif _is_ir(folder, manifest):
        dense = name == baseline or _made_of(manifest, baseline)
        yield from _ir(name, folder, manifest, dense, where)
    elif (folder / "config.json").is_file():
        yield from _torch(name, folder, manifest, where)
    else:
        raise UserError(
            f"{folder}: neither an IR ({IR_XML}) nor a model of transformers (config.json). "
            "Give a run, a stage's folder, or a folder with one of these."
        )


def is_served(manifest: Manifest) -> bool:
    """Return whether an IR lies in folders of versions, as a model server wants it."""
    return any(Path(name).suffix == ".xml" and "/" in name for name in manifest.files)


def writes(folder: Path) -> bool:
    """Return whether a folder holds a language model, or is the file of one."""
    if folder.suffix == llama_cpp.SUFFIX:
        return True
    return (folder / "config.json").is_file() and tasks.of_folder(folder).rows_are_text


def _writers(name: str, folder: Path, manifest: Manifest | None, where: Setup) -> Iterator[Arm]:
    """Yield the ways to write: PyTorch, or OpenVINO alone and through GenAI."""
    path, threads = str(folder), where.threads
    if not _is_ir(folder, manifest):
        f32 = EagerWriter(path=path, threads=threads)
        yield Arm(f"{name}:f32", name, f32, manifest=manifest)
        bf16 = f32.model_copy(update={"precision": "bf16"})
        yield Arm(f"{name}:bf16", name, bf16, usual=host.computes_bf16())
        return
    plain = OpenvinoWriter(path=path, threads=threads, device=where.device)
    yield Arm(name, name, plain, manifest=manifest)
    if openvino_genai.is_installed():
        genai = OpenvinoGenai(path=path, threads=threads, device=where.device)
        yield Arm(f"{name}:genai", name, genai, manifest=manifest)


def _opened(folder: Path) -> Manifest | None:
    """Check a sealed folder; None for a folder that jpqd did not make."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder. Give a run, or folders of models.")
    if (folder / MANIFEST).is_file() or finder.around(folder):
        return artifact.open_sealed(folder).manifest
    return None


def _is_ir(folder: Path, manifest: Manifest | None) -> bool:
    """Return whether a folder is an IR, even one with a lost file, which is then named."""
    made = manifest is not None and manifest.kind == "ir"
    return made or any((folder / IR_XML).with_suffix(end).is_file() for end in (".xml", ".bin"))


def _made_of(manifest: Manifest | None, stage: str) -> bool:
    return manifest is not None and stage in manifest.made_of


def _ir(
    name: str, folder: Path, manifest: Manifest | None, dense: bool, where: Setup
) -> Iterator[Arm]:
    """Yield the arms of an IR.

    f32 is usual for the baseline's IR only, because devices may prefer bf16. An IR with quantizers
    has no f32: devices compute it in INT8 whatever they are asked. Static copies are
    usual where lengths differ, which costs a dynamic model time, and where the model is small:
    each copy holds its own weights.
    """
    path, threads, device = str(folder), where.threads, where.device
    default = OpenvinoIr(path=path, threads=threads, device=device)
    f32 = default.model_copy(update={"precision": "f32"})
    if not _has_quantizers(folder):
        yield Arm(f"{name}:f32", name, f32, usual=dense, manifest=manifest)
    yield Arm(name, name, default, manifest=manifest)
    static = OpenvinoStatic(path=path, threads=threads, device=device)
    small = _weights_bytes(folder) < _COPIED
    yield Arm(f"{name}:static", name, static, usual=where.mixed and small, manifest=manifest)


def _has_quantizers(folder: Path) -> bool:
    graph = folder / IR_XML
    return graph.is_file() and b'type="FakeQuantize"' in graph.read_bytes()


def _weights_bytes(folder: Path) -> int:
    weights = (folder / IR_XML).with_suffix(".bin")
    return weights.stat().st_size if weights.is_file() else 0


def _torch(name: str, folder: Path, manifest: Manifest | None, where: Setup) -> Iterator[Arm]:
    """Yield the arms of a model. PyTorch would only simulate a pruned or quantized one."""
    f32 = Eager(path=str(folder), threads=where.threads)
    yield Arm(f"{name}:f32", name, f32, manifest=manifest)
    if (folder / STRUCTURE).is_file():
        return
    bf16 = f32.model_copy(update={"precision": "bf16"})
    compiled = f32.model_copy(update={"compiled": True})
    yield Arm(f"{name}:bf16", name, bf16, usual=host.computes_bf16())
    yield Arm(f"{name}:compile", name, compiled, usual=False)
    yield from _rivals(name, str(folder), where)


def _rivals(name: str, path: str, where: Setup) -> Iterator[Arm]:
    """Yield what other tools make of the same model."""
    onnx = OnnxRuntime(path=path, threads=where.threads)
    yield Arm(f"{name}:onnx", name, onnx, usual=False)
    int8 = onnx.model_copy(update={"precision": "int8"})
    yield Arm(f"{name}:onnx_int8", name, int8, usual=False)
    static = onnx.model_copy(update={"precision": "static"})
    yield Arm(f"{name}:onnx_static", name, static, usual=False, calibrates=True)
    optimum = OptimumInt8(path=path, threads=where.threads, device=where.device)
    yield Arm(f"{name}:optimum_int8", name, optimum, usual=False, calibrates=True)
    if tasks.of_folder(Path(path)).vectors:
        library = SentenceTransformers(path=path, threads=where.threads)
        yield Arm(f"{name}:st_int8", name, library, usual=False, calibrates=True)


def check_room(arms: Sequence[Arm], longest: int) -> None:
    """Refuse requests longer than a model takes: OpenVINO would read past its positions."""
    for arm in arms:
        try:
            config = json.loads((Path(arm.backend.path) / "config.json").read_text())
        except (OSError, ValueError):
            continue
        most = room.tokens(config)
        if most is not None and longest > most:
            raise UserError(
                f"{arm.backend.path}: the model takes {most} tokens, but the requests have "
                f"{longest}. Give a smaller --length, or --policy exact."
            )


def choose(arms: Sequence[Arm], wanted: Sequence[str], baseline: str) -> list[Arm]:
    """Return the named arms in their order, and always the baseline."""
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
    """Return the arm that the baseline names, or the first one of the stage that it names.

    The name of an IR is the IR as it runs by default, like those that it is compared with: where a
    device prefers bf16, its f32 would make any other IR look fast.
    """
    named = [arm for arm in arms if arm.name == baseline]
    found = named or [arm for arm in arms if arm.stage == baseline]
    if found:
        return found[0]
    stages = {arm.stage for arm in arms}
    raise UserError(
        f"--baseline {baseline}: not one of the arms; {plugins.unknown(baseline, stages)}."
    )
