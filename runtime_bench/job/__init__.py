"""What is measured: folders, arms, rows."""
