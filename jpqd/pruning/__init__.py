"""What stays of a model: scores of its parts, a budget, masks, and the cut."""
