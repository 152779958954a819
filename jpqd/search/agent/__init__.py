"""The agent that walks over a model's parts: what it sees, what it may do, how it learns."""
