"""The findings of analyses for a terminal: the tables that the page has, without every trial."""

from __future__ import annotations

from jpqd.report.page import robust, widths, worth
from jpqd.report.page.gather import gather
from jpqd.report.page.tables import Table
from jpqd.run.finder import Run


def tables(run: Run) -> list[Table]:
    page = gather(run)
    return [*robust.found(page), *widths.found(page), *worth.found(page)]
