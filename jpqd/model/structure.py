"""A model on disk: its weights, and `structure.json` where it is uneven or quantized."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.core import files
from jpqd.core.errors import SourceError
from jpqd.core.names import STRUCTURE, WEIGHTS
from jpqd.model import families, generation, shrink
from jpqd.model.shrink import Kept

_OURS = "jpqd.model.quantizers"
_ALLOWED = (_OURS, "jpqd.model.rounded", "nncf.torch.quantization.layers")
"""The modules that a class named in a structure.json may come from."""
_MOVED = {"jpqd.quantizers": _OURS}
"""The module in which version 0.1 had our classes."""


def save(model: PreTrainedModel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]  # says which head it has
    model.config.save_pretrained(folder)
    generation.save(model, folder)
    if structure := _structure(model):
        files.write_json(folder / STRUCTURE, structure)
    save_weights(model, folder)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write each tensor under one name: several inputs may share a quantizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in _named_once(model)}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load_weights(model: nn.Module, folder: Path) -> None:
    """Fill a model of the same structure; every tensor of it must be there."""
    tensors = load_file(folder / WEIGHTS)
    wanted = {name for name, _ in _named_once(model)}
    if missing := sorted(wanted - tensors.keys()):
        raise SourceError(
            f"{folder / WEIGHTS}: no weights for {missing[0]} and {len(missing) - 1} more."
        )
    try:
        model.load_state_dict({name: tensors[name] for name in wanted}, strict=False)
    except RuntimeError as error:
        raise SourceError(f"{folder / WEIGHTS} does not fit {STRUCTURE}: {error}") from error


def _named_once(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    seen = set()
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape) if tensor.numel() else name
        if key not in seen:
            seen.add(key)
            yield name, tensor


def is_plain(model: PreTrainedModel) -> bool:
    """Return whether transformers loads the model by itself."""
    return _structure(model) is None


def _structure(model: PreTrainedModel) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    if families.knows(model) and not _is_even(model):
        neurons = [neurons for _, neurons in shrink.sizes(model)]
        found["layers"] = [
            {"heads": list(heads), "neurons": width}
            for heads, width in zip(shrink.heads_kept(model), neurons, strict=True)
        ]
    if (before := shrink.layers_before(model)) != model.config.num_hidden_layers:
        found["layers_before"] = before
    if any(name.startswith(shrink.HOOKS) for name in model.state_dict()):
        from nncf.torch import get_config  # seconds, which other models need not wait for

        found["quantization"] = get_config(model)
    return {"version": 1, **found} if found else None


def _is_even(model: PreTrainedModel) -> bool:
    """Say whether the config tells all, which then needs no help."""
    whole = families.whole_layer(model)
    return all(size == whole for size in shrink.sizes(model))


def rebuild(model: PreTrainedModel, folder: Path) -> None:
    """Give a model that was made from the config alone its structure, then its weights."""
    structure = read(folder)
    try:
        if before := structure.get("layers_before"):
            shrink.remember_layers(model, int(before))
        if layers := structure.get("layers"):
            shrink.cut(model, [_first(layer) for layer in layers])
            shrink.remember_heads(model, [tuple(layer["heads"]) for layer in layers])
        if "quantization" in structure:
            _put_hooks(model, structure["quantization"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise SourceError(f"{folder / STRUCTURE} is damaged: {error}") from error
    load_weights(model, folder)


def _put_hooks(model: PreTrainedModel, hooks: dict[str, Any]) -> None:
    from nncf import InternalError
    from nncf.torch import load_from_config

    from jpqd.model import quantizers, rounded

    _refuse_joined(model, hooks)
    for hook in hooks["compression_state"]:
        hook["module_path"] = _MOVED.get(hook["module_path"], hook["module_path"])
    try:
        load_from_config(model, hooks, allowed_modules=_ALLOWED)
    except InternalError as error:  # a class that is not there, or from elsewhere
        raise ValueError(str(error)) from error
    rounded.check(model)
    quantizers.connect(model)


def _refuse_joined(model: PreTrainedModel, hooks: dict[str, Any]) -> None:
    """Refuse quantizers on projections that were one matrix here before they were taken apart."""
    joined = families.of(model).joined if families.knows(model) else ()
    names = [name for hook in hooks["compression_state"] for name in hook["hook_names_in_model"]]
    for path, _ in joined:
        if any(re.search(f"/{path.replace('.', '/')}/[a-z]+/[0-9]", name) for name in names):
            raise ValueError(
                f"its quantizers are those of an earlier jpqd, which kept {path} in one matrix. "
                "Make it anew"
            )


def _first(layer: dict[str, Any]) -> Kept:
    """Keep the first units, whichever they were: the weights that follow are theirs."""
    return Kept(tuple(range(len(layer["heads"]))), tuple(range(layer["neurons"])))


def read(folder: Path) -> dict[str, Any]:
    try:
        structure = json.loads((folder / STRUCTURE).read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder / STRUCTURE} cannot be read: {error}") from error
    if not isinstance(structure, dict) or structure.get("version") != 1:
        raise SourceError(
            f"{folder / STRUCTURE}: made by another version of jpqd; this one reads version 1."
        )
    return structure
