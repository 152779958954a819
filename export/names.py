"""Names of the files in an exported folder."""

MODEL, FUSED, TOKENIZER = "openvino_model.xml", "openvino_fused.xml", "openvino_tokenizer.xml"
OPENVINO_CONFIG = "openvino_config.json"
TEXTS = ("text", "text_pair")
"""The inputs of an IR that takes texts."""
