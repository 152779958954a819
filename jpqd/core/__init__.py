"""The ground floor: sealed folders, errors, locks, the machine. Knows no recipe and no model."""
