"""Families that the exporter of optimum-intel does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from optimum.exporters.openvino.config import TextEncoderOpenVINOConfig
from optimum.exporters.openvino.model_configs import (
    COMMON_TEXT_TASKS,
    register_in_tasks_manager,
)
from optimum.utils import NormalizedTextConfig
from transformers.models.modernbert import modeling_modernbert


@register_in_tasks_manager("modernbert", *COMMON_TEXT_TASKS)
class ModernBert(TextEncoderOpenVINOConfig):  # type: ignore[misc]
    """A model without token types, whose positions are angles."""

    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        axes = {0: "batch_size", 1: "sequence_length"}
        return {"input_ids": axes, "attention_mask": axes}

    @contextmanager
    def patch_model_for_export(self, model: Any, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Let padding see itself: where no real token is in its window, it would see nothing,
        and what OpenVINO makes of nothing is no number.
        """
        upstream: Any = modeling_modernbert
        original = upstream.create_bidirectional_sliding_window_mask

        def masked(*given: Any, **named: Any) -> Any:
            mask = original(*given, **named)
            if mask is None:
                return None
            places = torch.arange(mask.shape[-1], device=mask.device)
            itself = places[:, None] == places[None, :]
            if mask.dtype == torch.bool:
                return mask | itself
            return mask.masked_fill(itself, 0.0)

        upstream.create_bidirectional_sliding_window_mask = masked
        try:
            with super().patch_model_for_export(model, *args, **kwargs):
                yield
        finally:
            upstream.create_bidirectional_sliding_window_mask = original
