"""From a recipe to sealed folders: plan, run, find."""
