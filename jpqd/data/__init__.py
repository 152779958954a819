"""The data of a task: sources, tables, tokenized splits and batches."""
