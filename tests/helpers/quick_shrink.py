"""A quick `jpqd shrink`: a table of operations, and a benchmark of a few requests."""

import pytest

from jpqd.recipe import recipes
from jpqd.run import shrinking
from tests.helpers.stages import STAGES


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))
    for name in ("TIMES", "NEAR"):
        monkeypatch.setattr(shrinking, name, "{{use: made_table, needs: [model]}}")
    monkeypatch.setattr(shrinking, "_BENCH_SECONDS", 0.5)
    monkeypatch.setattr(shrinking, "_EVALUATIONS", 2)
    monkeypatch.setattr(shrinking, "CORRECTIONS", 0)  # that table is not of this machine
