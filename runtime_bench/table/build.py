"""Small models of a family, as IRs: the only code of the benchmark that knows the export."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel

from export import convert
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import files
from jpqd.core.names import IR_BIN, IR_XML
from jpqd.methods.prune import heads_ffn
from jpqd.methods.quantize import Quantize, place
from jpqd.model import apart, families, loading, shrink
from jpqd.model.shrink import Kept
from runtime_bench.table.structures import Structure, Whole

_ROWS, _TOKENS = 4, 16
"""The random texts that calibrate: ranges do not matter to time."""


class Factory:
    """Builds models of the family and sizes of a stage. Their weights are random."""

    def __init__(self, folder: Path) -> None:
        loading.quiet()
        self.model = loading.load(folder)
        self.tokenizer = loading.tokenizer_from(folder)
        self.kind = tasks.of_network(self.model)
        self.dense: dict[tuple[int, bool], PreTrainedModel] = {}

    @cached_property
    def whole(self) -> Whole:
        heads, neurons = families.whole_layer(self.model)
        layers = int(self.model.config.num_hidden_layers)
        return Whole(layers, heads, neurons, min(heads_ffn.usual_step(neurons), neurons))

    @property
    def longest(self) -> int:
        return families.longest(self.model, self.tokenizer)

    def write(
        self, structure: Structure, lengths: Sequence[int], quantized: bool, folder: Path
    ) -> None:
        """Export a model of this structure as `use: ov_ir` does, unless it is there."""
        if folder.exists():
            return
        model = copy.deepcopy(self._dense(len(structure), quantized))
        shrink.cut(model, [Kept(tuple(range(h)), tuple(range(n))) for h, n in structure])
        shape = Shape(most=self.longest, lengths=tuple(lengths))
        graph = convert.convert(model, self.tokenizer, self.kind, shape)
        prepared = convert.prepare(graph, shape, None, model.config.pad_token_id or 0)
        partial = folder.with_name(folder.name + files.PARTIAL)
        files.remove(partial)
        partial.mkdir(parents=True)
        convert.save(prepared, partial / IR_XML)
        partial.rename(folder)

    def _dense(self, layers: int, quantized: bool) -> PreTrainedModel:
        key = (layers, quantized)
        if key not in self.dense:
            self.dense = {one: made for one, made in self.dense.items() if one[1] == quantized}
            self.dense[key] = self._made(layers, quantized)
        return self.dense[key]

    def _made(self, layers: int, quantized: bool) -> PreTrainedModel:
        torch.manual_seed(0)
        config = copy.deepcopy(self.model.config)
        families.tell_layers(config, range(layers))
        model: PreTrainedModel = self.kind.auto_class().from_config(config, dtype=torch.float32)
        apart.separate(model)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # equal ones would be in the file once
                parameter.data.add_(0.01 * torch.randn_like(parameter))
        model.train(False)
        if quantized:
            place.place(model, [self._texts()], Quantize(use="quantize"))
        return model

    def _texts(self) -> dict[str, torch.Tensor]:
        ids = torch.randint(self.model.config.vocab_size, (_ROWS, min(_TOKENS, self.longest)))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def size(folder: Path) -> int:
    """Return the bytes of an IR."""
    return sum((folder / name).stat().st_size for name in (IR_XML, IR_BIN))
