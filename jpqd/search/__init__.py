"""The search for what stays in each layer: candidates, an evaluator, strategies."""
