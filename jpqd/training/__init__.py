"""The training stage: options, loop, checkpoints, evaluation."""
