"""The folder of an IR: convert, package, read back, compare; a model that differs is not kept."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import openvino as ov
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from export import card, check, convert, lengths, names, parity, rows, shapes
from export.options import Options
from export.origin import Origin
from export.parity import Parity, Reference
from export.rows import Rows
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import files
from jpqd.core.errors import RunError, UserError
from jpqd.core.manifest import ModelFacts
from jpqd.core.names import PREDICTIONS, STRUCTURE
from jpqd.core.progress import Progress
from jpqd.model import families, loading, pooling, size
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind

_NO_TEXTS = "its tokenizer cannot be converted to OpenVINO"


@dataclass(frozen=True)
class _Export:
    """The state of one export."""

    spec: Options
    origin: Origin
    out: Path
    progress: Progress
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: Shape
    facts: ModelFacts
    """The size of the PyTorch model."""

    @property
    def place(self) -> Path:
        """The folder of the IRs."""
        if self.spec.layout == "folder":
            return self.out
        return self.out / "models" / self.name / "1"

    @property
    def name(self) -> str:
        return names.served(self.origin.folder.name)

    @cached_property
    def kind(self) -> Kind:
        """The kind of task, from the model's head."""
        return tasks.of_network(self.network)

    @property
    def longest(self) -> int:
        """Tokens that the PyTorch model takes."""
        return families.longest(self.network, self.tokenizer)

    @property
    def texts(self) -> int:
        """The number of texts in a row."""
        if self.origin.task is None or self.kind.vectors:
            return 1
        return len(self.origin.task.text)

    @property
    def quantized(self) -> bool:
        return self.facts.precision == "INT8"


def write(spec: Options, origin: Origin, out: Path, progress: Progress) -> dict[str, Any]:
    """Write an export to `out` and return its metrics."""
    origin.refuse_unusable()
    loading.quiet()
    network = loading.load(origin.folder, origin.task)
    tokenizer = loading.tokenizer_from(origin.folder)
    longest = families.longest(network, tokenizer)
    facts = origin.model_facts or size.facts(network)
    bound = min(longest, origin.task.max_length if origin.task else longest)
    compressed = facts.precision == "INT8" or (facts.encoder_share or 1) < 1
    shape = shapes.parse(spec.shape, bound, compressed=compressed)
    _refuse_too_long(spec.shape, shape, longest)
    if shape.lengths == ():
        found = lengths.of_origin(origin, tokenizer, bound, progress)
        shape = dataclasses.replace(shape, lengths=found)
    export = _Export(spec, origin, out, progress, network, tokenizer, shape, facts)
    _refuse_fusing(export)
    _write_files(export)
    metrics = {
        **_checked(export),
        "model": facts.model_dump(exclude_unset=True),
        "ir": _sizes(export.place),
        "lengths": shape.lengths,
        "texts": export.texts,
        "task": export.kind.use,
    }
    card.write(out, origin, export.kind, spec, metrics)
    return metrics


def _refuse_too_long(text: str, shape: Shape, longest: int) -> None:
    if max(shape.length or shape.most or 0, *(shape.lengths or (0,))) > longest:
        raise UserError(
            f"shape {text!r}: the model takes at most {longest} tokens. Give a shorter one."
        )


def _refuse_fusing(export: _Export) -> None:
    if export.spec.fuse_tokenizer and export.kind.vectors:
        raise UserError(
            "fuse_tokenizer: what loads an embedding model tokenizes by itself. Leave it out."
        )
    if export.spec.fuse_tokenizer and not export.kind.one_answer:
        raise UserError(
            f"fuse_tokenizer: a {export.kind.title} answers for pieces of words, and an IR that "
            "takes texts does not say where they stand. Leave it out."
        )


def _write_files(export: _Export) -> None:
    export.place.mkdir(parents=True, exist_ok=True)
    export.progress.say(f"    converting {export.origin.folder.name}")
    f16 = export.spec.precision == "f16"
    network_ir = convert.convert(export.network, export.tokenizer, export.kind, export.shape)
    padding = export.network.config.pad_token_id or 0
    prepared = convert.prepare(network_ir, export.shape, export.spec.embedding, padding)
    convert.save(prepared, export.place / names.MODEL, f16=f16)
    tokens = _tokenizer_ir(export)
    if export.spec.layout == "folder":
        _write_configs(export)
        if tokens:
            convert.save(tokens, export.place / names.TOKENIZER)
    if tokens and export.spec.fuse_tokenizer:
        fused = convert.fuse(tokens, convert.read(export.place / names.MODEL))
        convert.save(fused, export.place / names.FUSED, f16=f16)
    if export.spec.layout == "ovms":
        _server(export)


def _tokenizer_ir(export: _Export) -> Any:
    """Convert the tokenizer; None where OpenVINO cannot, an error where it must be fused."""
    try:
        return convert.tokenizer_ir(export.tokenizer, export.texts, export.shape, export.longest)
    except Exception as error:
        if export.spec.fuse_tokenizer:
            raise UserError(f"{export.origin.folder}: {_NO_TEXTS}: {error}") from error
        export.progress.warn(f"{_NO_TEXTS}, so {names.TOKENIZER} is not written: {error}")
        return None


def _write_configs(export: _Export) -> None:
    """Write the files that `from_pretrained` of optimum-intel and transformers reads."""
    export.network.config.save_pretrained(export.out)
    export.tokenizer.save_pretrained(export.out)
    _write_pooling(export, export.out)
    uneven = export.origin.folder / STRUCTURE
    if uneven.is_file():
        shutil.copyfile(uneven, export.out / STRUCTURE)
    if export.quantized:
        from optimum.intel import OVConfig, OVQuantizationConfig

        quantization = OVQuantizationConfig(bits=8, sym=False)
        OVConfig(quantization_config=quantization).save_pretrained(export.out)


def _write_pooling(export: _Export, folder: Path) -> None:
    if found := pooling.of(export.network):
        longest = export.shape.cut(found.longest or export.longest)
        width = export.network.config.hidden_size
        pooling.save(dataclasses.replace(found, longest=longest), folder, width)


def _server(export: _Export) -> None:
    """Write the server's config; it serves one IR, the fused one if there is one.

    The path is relative to the config, so it holds wherever the repository is mounted.
    """
    if export.spec.fuse_tokenizer:
        for path in (export.place / names.MODEL, _bin(export.place / names.MODEL)):
            path.unlink()
    entry = {"name": export.name, "base_path": f"models/{export.name}"}
    files.write_json(export.out / "config.json", {"model_config_list": [{"config": entry}]})
    _client(export)


def _client(export: _Export) -> None:
    """Write what a client needs: the labels, and a tokenizer that cuts and pads as the IR wants."""
    folder, backend = (
        export.out / names.CLIENT,
        getattr(export.tokenizer, "backend_tokenizer", None),
    )
    export.network.config.save_pretrained(folder)
    _write_pooling(export, folder)
    if backend is None or export.spec.fuse_tokenizer:
        return
    tokenizer, shape = Tokenizer.from_str(backend.to_str()), export.shape
    tokenizer.enable_truncation(shape.cut(export.longest))
    tokenizer.no_padding()
    if shape.length:
        pad, number = export.tokenizer.pad_token, export.tokenizer.pad_token_id
        tokenizer.enable_padding(length=shape.length, pad_token=pad, pad_id=number)
    tokenizer.save(str(folder / "tokenizer.json"))


def _bin(xml: Path) -> Path:
    return xml.with_suffix(".bin")


def _sizes(place: Path) -> dict[str, int]:
    """Return the bytes on disk of each IR with its weights."""
    return {xml.stem: xml.stat().st_size + _bin(xml).stat().st_size for xml in place.glob("*.xml")}


def _checked(export: _Export) -> dict[str, Any]:
    """Compare the written files, read back from disk, with the PyTorch model."""
    if not export.spec.check:
        export.progress.warn("the IR was not compared with the PyTorch model")
        return {"check": None}
    every = _rows(export)
    compared = every.sample()
    asked = _asked(export.spec, export.quantized)
    reference = Reference(export.network, compared, export.shape)
    facts: dict[str, Any] = {}
    paths = [p for p in sorted(export.place.glob("*.xml")) if p.name != names.TOKENIZER]
    for path in paths:
        compiled = check.compiled(path)
        found, products = _compared(export, path, compiled, reference, asked)
        facts[path.name] = {**found.facts(), "matmuls": products}
    answers = found.actual
    if compared is not every:
        export.progress.say(f"    {path.name}: answers all {len(every.tokens)} rows")
        answers = check.answers(_ask(export, path, compiled, every), every, export.shape)
    _keep(export, every, answers)
    return {"check": facts, **check.scores(every, answers, reference.answers)}


def _asked(spec: Options, quantized: bool) -> float:
    """Return the share of rows that need the same prediction."""
    if spec.embedding == "int4":
        return parity.IN_4_BITS
    rounded = quantized or spec.precision == "f16" or spec.embedding
    return parity.ROUNDED if rounded else parity.EXACT


def _keep(export: _Export, rows: Rows, answers: Predictions) -> None:
    """Keep answers to the same rows as the model's, which `jpqd compare` sets side by side."""
    task = export.origin.task
    whole = task and export.shape.cut(task.max_length) == task.max_length
    if rows.labelled and (whole or rows.kind.one_answer):
        predictions.save(export.out / PREDICTIONS, answers, rows.kind.facts())


def _ask(export: _Export, path: Path, compiled: ov.CompiledModel, rows: Rows) -> check.Ask:
    if path.name == names.FUSED:
        return check.on_texts(compiled, rows)
    return check.on_tokens(compiled, rows, export.shape, pooling.of(export.network))


def _compared(
    export: _Export, path: Path, compiled: ov.CompiledModel, reference: Reference, asked: float
) -> tuple[Parity, dict[str, int]]:
    products = check.matmuls(path)
    if export.quantized and not any("8" in precision for precision in products):
        raise RunError(f"{path.name}: the stage is INT8, but its IR multiplies in {products}.")
    compared = reference.rows
    answers = check.answers(_ask(export, path, compiled, compared), compared, export.shape)
    found = parity.judged(reference, answers, asked, rounds=export.quantized)
    found.require(compared, path.name)
    export.progress.say(f"    {path.name}: {found.summary()}")
    return found, products


def _rows(export: _Export) -> Rows:
    origin, tokenizer = export.origin, export.tokenizer
    if origin.task is not None:
        return rows.of_task(origin, origin.task, tokenizer, export.shape, export.progress)
    export.progress.say("    the model has no recipe: compared on random words, without accuracy")
    return rows.at_random(tokenizer, export.kind, export.longest, export.shape)
