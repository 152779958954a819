"""Names of the files in an exported folder."""

from jpqd.core.names import IR_XML

MODEL, FUSED, TOKENIZER = IR_XML, "openvino_fused.xml", "openvino_tokenizer.xml"
TEXTS = ("text", "text_pair")
"""The inputs of an IR that takes texts."""
