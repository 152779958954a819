"""The stage that finds what shall stay in each layer of a model."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.search.options import SearchOptions


class Search(SearchOptions):
    """A plan of heads and neurons for each layer, which reaches a target by a latency table."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.search.search import search

        return search(self, ctx)
