"""The bytes of each part of a model at each number of bits, by what an IR stores for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from jpqd.analysis import parts
from runtime_bench.widths.variants import LEAST_GROUP, Variant

TABLES, OTHERS = "other tables", "others"
_TABLE = 2
"""The axes of weights that an IR stores in few bits."""
_HALF = 2
"""The bytes of a scale in f16."""
_FULL = 4


def table(network: PreTrainedModel, variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return a row for each part, one for other tables, one for what stays: biases and norms."""
    every = parts.of(network)
    inside = {id(weight) for part in every for weight in _weights(part)}
    given = [p for p in network.parameters() if id(p) not in inside]
    tables = [p for p in given if p.dim() >= _TABLE]
    found = [_row(part.name, part.layer, _weights(part), variants) for part in every]
    if tables:
        found.append(_row(TABLES, None, tables, variants))
    rest = sum(p.numel() for p in given) - sum(p.numel() for p in tables)
    wide = {one.name: rest * (_HALF if one.name == "f16" else _FULL) for one in variants}
    return [*found, {"part": OTHERS, "layer": None, "weights": rest, "bytes": wide}]


def _weights(part: parts.Part) -> list[Any]:
    return [module.weight for module in part.modules.values()]


def _row(
    name: str, layer: int | None, weights: Sequence[Any], variants: Sequence[Variant]
) -> dict[str, Any]:
    shapes = [(math.prod(weight.shape[:-1]), weight.shape[-1]) for weight in weights]
    return {
        "part": name,
        "layer": layer,
        "weights": sum(rows * width for rows, width in shapes),
        "bytes": {one.name: sum(_bytes(one, *shape) for shape in shapes) for one in variants},
    }


def _bytes(variant: Variant, rows: int, width: int) -> int:
    """Return the bytes of one weight with its scales and zero points."""
    bits, group = variant.bits, _group(variant, width)
    if group is None and bits < 8:
        bits = 8  # no group fits
    packed = math.ceil(rows * width * bits / 8)
    if bits >= 16:
        return packed
    if group is None:
        return packed + rows * (_FULL if variant.ir == "int8_static" else _HALF + 1)
    groups = rows * width // group
    points = math.ceil(groups / 2) if bits > 2 else 0
    return packed + groups * _HALF + points


def _group(variant: Variant, width: int) -> int | None:
    """Return the weights that share a scale: fewer where the group does not divide a width."""
    if variant.group is None or width % variant.group == 0:
        return variant.group
    power = width & -width  # the largest that divides
    fitting = min(power, variant.group)
    return fitting if fitting >= LEAST_GROUP else None
