"""NNCF's quantizers with adapters: put on a decoder's weights, trained, and kept on them."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import TYPE_CHECKING

import nncf
import torch
from nncf.quantization.advanced_parameters import AdvancedCompressionParameters
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.hook_storage import decode_hook_name
from nncf.torch.quantization.layers import LoraMixin
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.methods.qlora import grid
from jpqd.model import shrink
from jpqd.model.rounded import Rounded
from jpqd.training import calibration
from jpqd.training.method import Hooks, Training

if TYPE_CHECKING:
    from jpqd.methods.qlora import Qlora


def attach(
    method: Qlora, network: PreTrainedModel, training: Training
) -> tuple[PreTrainedModel, Hooks]:
    """Put quantizers on all weights; only the adapters inside them learn."""
    _refuse_unfit(network, training)
    example = next(iter(calibration.batches(training, 1, network.device)))[0]
    network.train(False)
    with torch.random.fork_rng():
        torch.manual_seed(training.ctx.seed)  # NNCF draws the adapters
        _place(method, network, dict(example), training.stage)
    return network, Learning(network, method.rank)


def _refuse_unfit(network: PreTrainedModel, training: Training) -> None:
    if not training.kind.rows_are_text:
        raise UserError(
            f"{training.stage}: qlora is for language models. A {training.kind.title} gets INT8 by "
            "`use: quantize`, and adapters by `use: lora`."
        )
    if hasattr(network, shrink.HOOKS):
        raise UserError(
            f"{training.stage}: qlora: the model has gates or quantizers already. Start from a "
            "stage without them."
        )


def _place(method: Qlora, network: PreTrainedModel, example: dict[str, Tensor], where: str) -> None:
    nncf.set_log_level(logging.ERROR)
    mode = nncf.CompressWeightsMode
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            nncf.compress_weights(
                network,
                mode=mode.INT4_SYM if method.sym else mode.INT4_ASYM,
                group_size=method.group_size,
                dataset=nncf.Dataset([example]),
                subset_size=1,
                compression_format=nncf.CompressionFormat.FQ_LORA,
                advanced_parameters=AdvancedCompressionParameters(lora_adapter_rank=method.rank),
            )
    except nncf.InvalidGroupSizeError as error:
        raise UserError(
            f"{where}: qlora: group_size {method.group_size} does not divide the width of every "
            "layer. Give one that does, such as a smaller power of two."
        ) from error
    except nncf.ValidationError as error:
        raise UserError(f"{where}: qlora: NNCF refuses this: {error}") from error


class Learning(Hooks):
    """The adapters of a network, each on the grid of its weight."""

    def __init__(self, network: PreTrainedModel, rank: int) -> None:
        storage = get_hook_storage(network)
        network.requires_grad_(False)
        self.grids: dict[str, Rounded] = {}
        for name, hook in list(storage.named_hooks()):
            weight = _weight(network, name)
            self.grids[name] = one = grid.of(hook, weight)
            storage.delete_hook(name)
            if isinstance(hook, LoraMixin):
                storage.insert_hook_by_name(name, grid.Adapted(one, weight, rank))
            else:  # no adapter changes it: rounded now, and not in every step
                weight.copy_(one.round(weight))

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Round the weights with what the adapters learnt: that is what an IR stores."""
        storage = get_hook_storage(model)
        for name, hook in list(storage.named_hooks()):
            weight = _weight(model, name)
            weight.copy_(hook(weight))
            storage.delete_hook(name)
        for name, one in self.grids.items():
            storage.insert_hook_by_name(name, one)
        return model.requires_grad_(True)


def _weight(network: PreTrainedModel, name: str) -> nn.Parameter:
    return network.get_parameter(decode_hook_name(name)[1])
