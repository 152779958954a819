"""The harm that leaving less of a part does: what sums of estimates are made of."""

from __future__ import annotations

import numpy as np

from jpqd.search.candidates import Scores
from jpqd.search.space import Space, Values


def fisher(space: Space, ranks: Scores) -> Values:
    """Sum the scores of the units that go, for each option of each part."""
    return [
        np.array([np.sort(own)[: len(own) - units].sum() for units in options])
        for own, options in zip(ranks, space.options, strict=True)
    ]
