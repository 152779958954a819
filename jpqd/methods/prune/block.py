"""The original's blocks: small squares of the attention's weights, rows and columns of the rest.

Each block has its own score. In the end a head or neuron stays if one of its blocks does.
"""

from __future__ import annotations

from math import gcd

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from jpqd.methods.prune.gates import ALL, LEARNT, Gate, Shape
from jpqd.methods.prune.heads_ffn import HeadsFfn, Place
from jpqd.methods.prune.options import Options
from jpqd.model import families

_SIDE = 32


class Block(HeadsFfn):
    def __init__(self, model: PreTrainedModel, options: Options, seed: int) -> None:
        self.blocks: dict[Place, Gate] = {}
        super().__init__(model, options, seed)

    def _gates(self) -> dict[Place, Gate]:
        """Return the gates of the units, which decide in the end; the blocks give their scores."""
        units = {}
        for index, (heads, neurons) in enumerate(self.before):
            arch = self.arch
            if heads:
                side = gcd(_SIDE, families.head_size(self.model))
                for path in (*self._rows(arch.attention_out), arch.attention_out):
                    self.blocks[index, path] = self._put(index, path, (side, side))
                units[index, arch.attention_out] = self._unit(heads, self.head_size)
            if neurons:
                for path in arch.ffn_in:
                    self.blocks[index, path] = self._put(index, path, (1, ALL))
                self.blocks[index, arch.ffn_out] = self._put(index, arch.ffn_out, (ALL, 1))
                units[index, arch.ffn_out] = self._unit(neurons, 1)
        return units

    def _rows(self, path: str) -> list[str]:
        return list(families.feeding(self.model, path))

    def _unit(self, groups: int, width: int) -> Gate:
        shape: Shape = (1, groups)
        return Gate(shape, (ALL, width), self.options.score).to(self.model.device)

    def parts(self, index: int, path: str) -> list[tuple[Gate, int]]:
        """Return the gates of a unit's blocks, each with the dimension that counts units."""
        rows = [(self.blocks[index, name], 0) for name in self._rows(path)]
        return [*rows, (self.blocks[index, path], 1)]

    def worth(self, index: int, path: str) -> np.ndarray:
        """Score a unit by its best block: one block is enough to keep it."""
        if self.options.score not in LEARNT:
            return super().worth(index, path)
        units = self.gates[index, path].mask.shape[1]
        blocks = [by_unit(part.score, dim, units) for part, dim in self.parts(index, path)]
        best = torch.stack([each.amax(1) for each in blocks]).amax(0)
        return best.double().cpu().numpy()

    def mask(self, keep: float) -> None:
        super().mask(keep)
        self._close_blocks()

    def _close_blocks(self) -> None:
        """Close the blocks of dropped units; a unit that stays is dense, as in the original."""
        for (index, path), gate in self.gates.items():
            for part, dim in self.parts(index, path):
                each = part.mask.shape[dim] // gate.mask.shape[1]
                units = gate.mask[0].repeat_interleave(each)
                part.mask.copy_(units.unsqueeze(1 - dim).expand_as(part.mask))

    def _gate_hooks(self) -> list[Gate]:
        return list(self.blocks.values())


def by_unit(values: Tensor, dim: int, units: int) -> Tensor:
    """Return one row for each unit, with all of its blocks."""
    rows = values if dim == 0 else values.T
    return rows.reshape(units, -1)
