"""Models made of a dense one by other tools, each in a process of its own."""
