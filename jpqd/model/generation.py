"""The settings with which a model writes: when a text is over, how it draws. They have a file."""

from __future__ import annotations

from pathlib import Path

from transformers import GenerationConfig, PreTrainedModel
from transformers.utils import GENERATION_CONFIG_NAME


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write them as they came: transformers' own `save_pretrained` refuses what many hubs have."""
    settings = model.generation_config if model.can_generate() else None
    if settings is not None:
        settings.to_json_file(folder / GENERATION_CONFIG_NAME)


def load(model: PreTrainedModel, folder: Path) -> None:
    """Give a model that was made from its config alone the settings of its folder."""
    if (folder / GENERATION_CONFIG_NAME).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
