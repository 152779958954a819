"""Families that the exporter of optimum-intel does not know."""

from __future__ import annotations

from optimum.exporters.openvino.config import TextEncoderOpenVINOConfig
from optimum.exporters.openvino.model_configs import (
    COMMON_TEXT_TASKS,
    register_in_tasks_manager,
)
from optimum.utils import NormalizedTextConfig


@register_in_tasks_manager("modernbert", *COMMON_TEXT_TASKS)
class ModernBert(TextEncoderOpenVINOConfig):  # type: ignore[misc]
    """A model without token types, whose positions are angles."""

    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        axes = {0: "batch_size", 1: "sequence_length"}
        return {"input_ids": axes, "attention_mask": axes}
