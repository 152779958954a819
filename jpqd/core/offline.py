"""Whether hubs may be asked."""

import os


def go_offline() -> None:
    """Tell every library, before it is imported, that the hub is not to be asked."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"


def is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
