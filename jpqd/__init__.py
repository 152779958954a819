"""Joint pruning, quantization and distillation of transformers for Intel CPUs and GPUs."""

import os
import sys

__version__ = "0.1.0"

# No usage data is sent. OpenVINO and NNCF send it by default, but not where this is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
