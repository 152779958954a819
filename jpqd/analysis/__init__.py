"""The questions beyond one figure: how a model answers noisy, other and negated texts."""
