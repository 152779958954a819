"""The folder of an IR: convert, package, read back, compare; a model that differs is not kept."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from export import card, comparison, convert, lengths, names, shapes
from export.exporting import Export
from export.options import Options
from export.origin import Origin
from export.shapes import Shape
from jpqd.core import files
from jpqd.core.errors import UserError
from jpqd.core.names import STRUCTURE
from jpqd.core.progress import Progress
from jpqd.model import families, loading, pooling, size

_NO_TEXTS = "its tokenizer cannot be converted to OpenVINO"


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
    export = Export(spec, origin, out, progress, network, tokenizer, shape, facts)
    _refuse_fusing(export)
    _write_files(export)
    metrics = {
        **comparison.checked(export),
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


def _refuse_fusing(export: Export) -> None:
    if export.spec.fuse_tokenizer and export.kind.vectors:
        raise UserError(
            "fuse_tokenizer: what loads an embedding model tokenizes by itself. Leave it out."
        )
    if export.spec.fuse_tokenizer and not export.kind.one_answer:
        raise UserError(
            f"fuse_tokenizer: a {export.kind.title} answers for pieces of words, and an IR that "
            "takes texts does not say where they stand. Leave it out."
        )


def _write_files(export: Export) -> None:
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


def _tokenizer_ir(export: Export) -> Any:
    """Convert the tokenizer; None where OpenVINO cannot, an error where it must be fused."""
    try:
        return convert.tokenizer_ir(export.tokenizer, export.texts, export.shape, export.longest)
    except Exception as error:
        if export.spec.fuse_tokenizer:
            raise UserError(f"{export.origin.folder}: {_NO_TEXTS}: {error}") from error
        export.progress.warn(f"{_NO_TEXTS}, so {names.TOKENIZER} is not written: {error}")
        return None


def _write_configs(export: Export) -> None:
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


def _write_pooling(export: Export, folder: Path) -> None:
    if found := pooling.of(export.network):
        longest = export.shape.cut(found.longest or export.longest)
        width = export.network.config.hidden_size
        pooling.save(dataclasses.replace(found, longest=longest), folder, width)


def _server(export: Export) -> None:
    """Write the server's config; it serves one IR, the fused one if there is one.

    The path is relative to the config, so it holds wherever the repository is mounted.
    """
    if export.spec.fuse_tokenizer:
        for path in (export.place / names.MODEL, _bin(export.place / names.MODEL)):
            path.unlink()
    entry = {"name": export.name, "base_path": f"models/{export.name}"}
    files.write_json(export.out / "config.json", {"model_config_list": [{"config": entry}]})
    _client(export)


def _client(export: Export) -> None:
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
    side = export.tokenizer.truncation_side
    tokenizer.enable_truncation(shape.cut(export.longest), direction=side)
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
