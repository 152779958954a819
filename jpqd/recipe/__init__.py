"""From a YAML file to a checked recipe, and the contracts of what it names."""
