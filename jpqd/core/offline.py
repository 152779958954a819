"""The setting that forbids contact with hubs."""

import os


def go_offline() -> None:
    """Tell every library, before it is imported, not to contact a hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"


def is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
