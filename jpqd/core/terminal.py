"""Tables on a terminal."""

from rich import box
from rich.table import Table


def new_table(title: str) -> Table:
    """Return an empty table with narrow gaps: a terminal may have only 80 columns."""
    return Table(
        title=f"\n{title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
