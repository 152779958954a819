"""The room for tokens that a config.json states, read without PyTorch."""

from typing import Any

_COUNT_FROM_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")
"""Models whose first position stands behind the one of the padding token."""


def tokens(config: dict[str, Any]) -> int | None:
    """Return the most tokens of a text; None where the config does not say."""
    positions = config.get("max_position_embeddings", config.get("n_positions"))  # GPT-2's name
    if not isinstance(positions, int):
        return None
    if config.get("model_type") in _COUNT_FROM_PADDING:
        return positions - int(config.get("pad_token_id") or 0) - 1
    return positions
