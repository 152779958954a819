"""The one way to figures for every strategy: estimates for nothing, evaluations from a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scipy.stats import spearmanr

from jpqd.core.compression_plan import Figures, Structure
from jpqd.core.progress import Progress
from jpqd.search.pool import Pool
from jpqd.search.space import Choice, Limits, Space, Values
from jpqd.search.store import Store
from jpqd.search.strategy import Spent

Run = Callable[[Structure], tuple[float, float]]
"""Cuts the model to a structure and runs it: the KL, and the main figure."""
_ASKS = 20
"""The questions for each evaluation after which a strategy that repeats itself has no more."""


class Evaluator:
    def __init__(
        self,
        space: Space,
        values: Values,
        run: Run,
        whole_score: float,
        store: Store,
        progress: Progress,
        pool: Pool | None = None,
    ) -> None:
        """Evaluate by `run`; `whole_score` is the main figure of the model before the cut.

        With a pool, others run what is known ahead.
        """
        self.space, self.values, self.run = space, values, run
        self.store, self.progress, self.pool = store, progress, pool
        found = {"kl": 0.0, "score": whole_score}
        self.whole = self.estimate(space.whole).model_copy(update=found)
        self.seen: dict[Structure, Figures] = {}
        self._allowed, self._seconds, self._asks = 0, 0.0, 0

    def allow(self, evaluations: int, seconds: float) -> None:
        """Set the budget: so many evaluations from the first one on, and so much time."""
        self._allowed, self._seconds, self._asks = evaluations, seconds, 0

    def estimate(self, choice: Choice) -> Figures:
        """Return what the tables say, of times and of values. No model runs."""
        harm = sum(float(own[at]) for own, at in zip(self.values, choice, strict=True))
        return Figures(
            layers=self.space.structure(choice),
            p50_ms=self.space.p50_ms(choice),
            size_mb=self.space.size_mb(choice),
            loss=harm,
        )

    def evaluate(self, choice: Choice) -> Figures:
        """Return also what the model says that is cut to this choice."""
        found = self.estimate(choice)
        self._asks += 1
        if found.layers not in self.seen:
            self._refuse_beyond_budget()
            kl, score = self.store.once(["run", found.layers], lambda: self.run(found.layers))
            self.seen[found.layers] = found.model_copy(update={"kl": kl, "score": score})
            self._say(self.seen[found.layers])
        elif self._asks > _ASKS * self._allowed:
            raise Spent
        return self.seen[found.layers]

    def ahead(self, choices: Sequence[Choice]) -> None:
        """Share what will be asked for next with the pool's workers."""
        if not self.pool or self._is_late:
            return
        asked = dict.fromkeys(self.space.structure(choice) for choice in choices)
        new = [one for one in asked if one not in self.seen][: self._allowed - len(self.seen)]
        left = [one for one in new if not self.store.has(["run", one])]
        for structure, result, seconds in self.pool.run_all(left, self.run):
            self.store.put(["run", structure], result, seconds)

    def _refuse_beyond_budget(self) -> None:
        if len(self.seen) >= self._allowed or self._is_late:
            raise Spent

    @property
    def _is_late(self) -> bool:
        return bool(self.seen) and self.store.seconds > self._seconds

    def _say(self, found: Figures) -> None:
        number = len(self.seen)
        self.progress.say(
            f"    {number}: {found.p50_ms:.2f} ms, {found.size_mb:.1f} MB, KL {found.kl:.4f}, "
            f"{found.score:.4f}"
        )

    def within(self, limits: Limits) -> list[Figures]:
        """Return what was evaluated within the limits, the least KL first."""
        fits = [f for f in self.seen.values() if f.p50_ms <= limits.ms and f.size_mb <= limits.mb]
        return sorted(fits, key=_kl)

    def front(self) -> list[Figures]:
        """Return what nothing else beats in both time and KL, the fastest first."""
        found: list[Figures] = []
        for figures in sorted(self.seen.values(), key=lambda f: (f.p50_ms, _kl(f))):
            if not found or _kl(figures) < _kl(found[-1]):
                found.append(figures)
        return found

    def note(self, found: Sequence[Figures]) -> None:
        """Note what is known now of structures that were evaluated."""
        self.seen.update({figures.layers: figures for figures in found})

    def rank_correlation(self) -> float | None:
        """Return how well estimates order what was evaluated."""
        return _correlation([(one.loss, _kl(one)) for one in self.seen.values()])

    def finals_correlation(self) -> float | None:
        """Return how well evaluations order what was trained in the finals."""
        tried = self.seen.values()
        return _correlation([(_kl(one), one.final_kl) for one in tried if one.final_kl is not None])


_FEWEST = 3


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's; few pairs have none, and neither has what is all the same."""
    if len(pairs) < _FEWEST or any(len(set(column)) == 1 for column in zip(*pairs, strict=True)):
        return None
    result: Any = spearmanr(*zip(*pairs, strict=True))
    return float(result.statistic)


def _kl(figures: Figures) -> float:
    assert figures.kl is not None
    return figures.kl
