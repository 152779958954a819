"""Joint pruning, quantization and distillation of transformers for Intel CPUs and GPUs."""

__version__ = "0.1.0"
