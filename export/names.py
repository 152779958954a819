"""Names of the files in an exported folder."""

import re

from jpqd.core.names import FUSED_FILES, IR_XML

MODEL, FUSED = IR_XML, FUSED_FILES[0]
TOKENIZER, DETOKENIZER = "openvino_tokenizer.xml", "openvino_detokenizer.xml"
TEXTS = ("text", "text_pair")
"""The inputs of an IR that takes texts."""
CLIENT = "client"
"""The folder of a server's repository that its clients read."""


def served(stage: str) -> str:
    """Return the name of a served model, which becomes a part of addresses."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", stage) or "model"
