"""Reports of sealed figures as tables and pages. Nothing is computed again."""
