"""The table of word embeddings: rows are left out in place, with the scales of a quantizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.model import families, shrink


def of(network: PreTrainedModel, where: str) -> nn.Embedding:
    """Return the table with a row for every piece."""
    found = network.get_input_embeddings()
    if not isinstance(found, nn.Embedding) or found.num_embeddings != network.config.vocab_size:
        raise UserError(
            f"{where}: models of the family {families.name(network)!r} keep no plain table with a "
            "row for every piece, so none can be left out. Leave this stage out."
        )
    return found


def fixed(network: PreTrainedModel) -> set[int]:
    """Return the ids that stay: the config names them, or positions are counted by them."""
    return {*range(_first(network)), *(number for _, number in _named(network.config))}


def _first(network: PreTrainedModel) -> int:
    """Count the ids up to the row for padding, from which positions are counted."""
    padding = families.padding(network)
    return 0 if padding is None else padding + 1


def _named(config: Any) -> Iterator[tuple[str, int]]:
    """Find the ids of special tokens in a config."""
    for name, number in config.to_dict().items():
        if name.endswith("_token_id") and type(number) is int:
            yield name, number


def keep_rows(network: PreTrainedModel, kept: Sequence[int], where: str) -> None:
    """Leave these rows of the table. The model itself changes."""
    table, rows = of(network, where), torch.tensor(kept)
    new = {old: number for number, old in enumerate(kept)}
    _check(network, table, kept, where)
    _slice(table.weight, rows)
    for hook in _quantizers(network, table):
        _slice(hook._scale_param_storage, rows)
        hook._scale_shape = hook._qspec.scale_shape = (len(kept), 1)
    table.num_embeddings = network.config.vocab_size = len(kept)
    if table.padding_idx is not None:
        table.padding_idx = new.get(table.padding_idx)
    for name, number in _named(network.config):
        setattr(network.config, name, new.get(number))


def _check(network: PreTrainedModel, table: nn.Embedding, kept: Sequence[int], where: str) -> None:
    first = _first(network)
    if kept[-1] >= table.num_embeddings or [*kept[:first]] != [*range(first)]:
        raise UserError(
            f"{where}: the model's table has {table.num_embeddings} rows, and the pieces that stay "
            f"have the numbers {kept[0]} to {kept[-1]}, without some of the first {first}. Model "
            "and tokenizer do not belong together."
        )


def _slice(parameter: Any, rows: torch.Tensor) -> None:
    parameter.data = parameter.data.index_select(0, rows).contiguous()


def _quantizers(network: PreTrainedModel, table: nn.Embedding) -> Iterator[Any]:
    """Find the quantizers with a scale for every row of the table."""
    if not hasattr(network, shrink.HOOKS):
        return
    from jpqd.model import quantizers  # NNCF takes seconds, which other models need not wait for

    yield from quantizers.of_rows(network, table)
