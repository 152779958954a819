"""Fake-quantizers around a model's weights and inputs: placed and calibrated by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
from collections import defaultdict
from typing import Any

import nncf
import torch
from nncf.quantization.range_estimator import (
    AggregatorType,
    RangeEstimatorParameters,
    RangeEstimatorParametersSet,
    StatisticsCollectorParameters,
    StatisticsType,
)
from nncf.torch.function_hook import get_hook_storage, wrap_model
from nncf.torch.function_hook.hook_storage import decode_hook_name
from nncf.torch.quantization.layers import AsymmetricQuantizer, BaseQuantizer, SymmetricQuantizer
from transformers import PreTrainedModel

from jpqd.core import cpus, memory
from jpqd.core.errors import UserError
from jpqd.methods.quantize import ignoring
from jpqd.methods.quantize.options import Options
from jpqd.model import quantizers

Batch = dict[str, torch.Tensor]


def place(model: PreTrainedModel, batches: list[Batch], options: Options) -> None:
    """Put fake-quantizers into the model itself, calibrated on these batches."""
    _refuse_quantized(model)
    model.train(False)
    placed = _nncf_quantized(model, batches, options)
    wrap_model(model)
    _take_weights(model, placed)
    target, source = get_hook_storage(model), get_hook_storage(placed)
    there = {name for name, _ in target.named_hooks(remove_duplicate=False)}
    for name, hook in list(source.named_hooks(remove_duplicate=False)):
        if name not in there:  # masks stay the objects that the pruning method holds
            target.insert_hook_by_name(name, _fast(name, hook))
    _share(model, batches[0])
    quantizers.connect(model)


def _refuse_quantized(model: PreTrainedModel) -> None:
    """Refuse a quantized model: NNCF would put quantizers around its quantizers."""
    if any(isinstance(module, BaseQuantizer) for module in model.modules()):
        raise UserError(
            "quantize: the model is quantized already. Remove the method, because the scales train "
            "in every stage, or start from a stage before quantization."
        )


def _nncf_quantized(model: PreTrainedModel, batches: list[Batch], options: Options) -> Any:
    """Return NNCF's quantized copy, without NNCF's progress bars and warnings."""
    nncf.set_log_level(logging.ERROR)
    ignored = ignoring.scope(model, options.ignore, batches[0])
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(range(len(batches)), _Giving(batches)),
                preset=nncf.QuantizationPreset(options.preset),
                subset_size=len(batches),
                model_type=nncf.ModelType.TRANSFORMER,
                ignored_scope=ignored,
                advanced_parameters=_advanced(options),
            )
        except nncf.ValidationError as error:
            raise UserError(f"quantize: NNCF refuses these options: {error}") from error


class _Giving:
    """Gives the batches out, and between them the memory back.

    NNCF looks at every weight with every batch. Behind masks these are copies, and what it keeps of
    each lies between them: 24 GB at BERT-base's size.
    """

    EVERY = 8

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __call__(self, index: int) -> Batch:
        if index % self.EVERY == 0:
            memory.give_back()
        return self.batches[index]


def _advanced(options: Options) -> nncf.AdvancedQuantizationParameters:
    smooth = nncf.AdvancedSmoothQuantParameters(matmul=options.smooth_quant or -1)
    spares = options.overflow_fix or cpus.sums_overflow()
    fix = nncf.OverflowFix.ENABLE if spares else nncf.OverflowFix.DISABLE
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=fix,
        # It gains nothing here, and NNCF would compile C++ for it on the user's machine.
        disable_bias_correction=True,
        smooth_quant_alphas=smooth,
        activations_range_estimator_params=_estimator(options),
    )


def _estimator(options: Options) -> RangeEstimatorParameters:
    if options.range == "min_max":
        return RangeEstimatorParametersSet.MINMAX
    if options.range == "mean_min_max":
        return RangeEstimatorParametersSet.MEAN_MINMAX

    def quantile() -> StatisticsCollectorParameters:
        return StatisticsCollectorParameters(
            statistics_type=StatisticsType.QUANTILE,
            aggregator_type=AggregatorType.MEAN,
            quantile_outlier_prob=1 - options.percentile / 100,
        )

    return RangeEstimatorParameters(min=quantile(), max=quantile())


def _take_weights(model: PreTrainedModel, placed: Any) -> None:
    """Copy the weights, into which SmoothQuant may have moved scales."""
    own = model.state_dict()
    changed = {name: value for name, value in placed.state_dict().items() if name in own}
    model.load_state_dict(changed, strict=False)


def _fast(name: str, hook: Any) -> Any:
    kind = _kind(name, hook)
    if kind is None:
        return hook
    made = kind.from_config(hook.get_config())
    made.load_state_dict(hook.state_dict())
    return made.to(next(hook.parameters()).device)


def _kind(name: str, hook: Any) -> Any:
    if type(hook) is AsymmetricQuantizer:
        whole = not hook.per_channel
        return quantizers.Asymmetric if whole else None
    if type(hook) is not SymmetricQuantizer:
        return None
    return quantizers.Embedding if _embedding(name) and hook.per_channel else quantizers.Symmetric


def _embedding(name: str) -> bool:
    operation: str = decode_hook_name(name)[1]
    return operation.split("/")[-2] == "embedding"


def _share(model: PreTrainedModel, batch: Batch) -> None:
    """Give query, key and value, which read one tensor, a single quantizer."""
    storage = get_hook_storage(model)
    seen: dict[int, list[str]] = defaultdict(list)
    kept: list[Any] = []
    handles = []
    for name, hook in storage.named_hooks():
        if isinstance(hook, quantizers.Asymmetric):

            def note(_: Any, given: Any, name: str = name) -> None:
                kept.append(given[0])  # alive, so that no other tensor gets its id
                seen[id(given[0])].append(name)

            handles.append(hook.register_forward_pre_hook(note))
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    hooks = dict(storage.named_hooks())
    for first, *others in seen.values():
        for name in others:
            storage.delete_hook(name)
            storage.insert_hook_by_name(name, hooks[first])
