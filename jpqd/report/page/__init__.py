"""The report's page: what it shows, as HTML and as Markdown."""
