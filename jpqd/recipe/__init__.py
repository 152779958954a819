"""Recipes: reading YAML, checking it, and the contracts of stages and plugins."""
