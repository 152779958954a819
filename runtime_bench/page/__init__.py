"""`report.html` and `report.md` of a run: sealed files turned into a page. Nothing is measured."""
