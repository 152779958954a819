"""Names of the files in an exported folder."""

from jpqd.core.names import FUSED_FILES, IR_XML

MODEL, FUSED, TOKENIZER = IR_XML, FUSED_FILES[0], "openvino_tokenizer.xml"
TEXTS = ("text", "text_pair")
"""The inputs of an IR that takes texts."""
