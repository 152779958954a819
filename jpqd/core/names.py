"""The names of files and folders that more than one part of jpqd reads or writes."""

MANIFEST = "manifest.json"
RECIPE = "recipe.json"
PREDICTIONS = "predictions.safetensors"
HISTORY = "history.json"
WEIGHTS, STRUCTURE = "model.safetensors", "structure.json"
IR_XML, IR_BIN = "openvino_model.xml", "openvino_model.bin"
FUSED_FILES = ("openvino_fused.xml", "openvino_fused.bin")
"""An IR that takes texts."""
BENCH = "bench"
"""The folder of a run's benchmark."""
OWN_ANSWER = "own_answer"
"""The column of a model's own answers, where a table has no labels."""
