"""From a task's data to tokenized splits."""
