"""How tables look on a terminal."""

from rich import box
from rich.table import Table


def new_table(title: str) -> Table:
    """Columns close together: there may be 80 characters."""
    return Table(
        title=f"\n{title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
