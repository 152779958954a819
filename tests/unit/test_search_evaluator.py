"""One budget for every strategy: what is asked twice counts once, and what is stored is not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpqd.core.compression_plan import Figures, Structure
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.recipe import plugins
from jpqd.search import targets
from jpqd.search.evaluator import Evaluator
from jpqd.search.options import STRATEGIES, SearchOptions, Target
from jpqd.search.rounds import Rounds
from jpqd.search.space import Space, Values
from jpqd.search.store import Store
from jpqd.search.strategy import Spent, Strategy
from tests.helpers import latency, small

SIZES: Structure = ((4, 24), (4, 24), (4, 24))
SPACE = Space(SIZES, latency.table(small.model()), "int8")
VALUES: Values = [np.linspace(1, 0, len(options)) * (5 - part) for part, options in
                  enumerate(SPACE.options)]  # fmt: skip


class Model:
    """What a cut model would say: every missing unit costs, those of the first layers more."""

    def __init__(self) -> None:
        self.asked: list[Structure] = []

    def run(self, structure: Structure) -> tuple[float, float]:
        self.asked.append(structure)
        lost = sum(
            (1 - heads / 4 + 1 - neurons / 24) * (3 - layer)
            for layer, (heads, neurons) in enumerate(structure)
        )
        return lost, 0.9 - 0.05 * lost


def evaluator(model: Model, folder: Path, of: str = "a") -> Evaluator:
    store = Store(folder / "store.jsonl", {"of": of})
    return Evaluator(SPACE, VALUES, model.run, 0.9, store, Progress(quiet=True))


def stage(evaluations: int, minutes: float = 5.0, **target: float) -> SearchOptions:
    from jpqd.stages.search import Search

    return Search(
        use="search", needs=("model", "table"), target=Target(**target),
        evaluations=evaluations, minutes=minutes,
    )  # fmt: skip


def searched(name: str, asked: SearchOptions, tried: Evaluator) -> Figures:
    strategy = plugins.load(name, STRATEGIES, Strategy)()
    return Rounds(asked, tried, strategy, seed=1).run()


@pytest.mark.parametrize("budget", [1, 9])
@pytest.mark.parametrize("name", plugins.names(STRATEGIES))
def test_every_strategy_has_the_same_budget_and_is_the_same_for_a_seed(
    name: str, budget: int, tmp_path: Path
) -> None:
    first, again = Model(), Model()
    found = searched(name, stage(budget, speedup=2), evaluator(first, tmp_path / "none"))
    assert searched(name, stage(budget, speedup=2), evaluator(again, tmp_path / "no")) == found
    assert first.asked == again.asked
    assert 1 <= len(first.asked) == len(set(first.asked)) <= budget
    assert found.p50_ms <= SPACE.p50_ms(SPACE.whole) / 2
    for structure in first.asked:
        assert SPACE.table.p50_ms(structure, "int8") <= SPACE.p50_ms(SPACE.whole) / 2


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jpqd.search.agent.learning._ROUNDS", 3)
    for name in ("none", "no"):
        (tmp_path / name).mkdir()


def test_dp_finds_more_than_chance(tmp_path: Path) -> None:
    kl = {
        name: searched(name, stage(12, speedup=2), evaluator(Model(), tmp_path / folder)).kl or 0
        for name, folder in (("dp", "none"), ("random", "no"))
    }
    assert kl["dp"] < kl["random"]


def test_what_is_stored_is_not_run_again(tmp_path: Path) -> None:
    first, again, other = Model(), Model(), Model()
    found = searched("random", stage(6, speedup=2), evaluator(first, tmp_path))
    assert searched("random", stage(6, speedup=2), evaluator(again, tmp_path)) == found
    assert again.asked == []
    searched("random", stage(6, speedup=2), evaluator(other, tmp_path, of="another model"))
    assert other.asked == first.asked


def test_half_a_line_of_the_store_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    Store(path, {}).once("a", lambda: [1.5, 2])
    path.write_text(path.read_text() + '\n{"key": "ab')
    store = Store(path, {})
    assert store.once("a", lambda: pytest.fail("it is there")) == [1.5, 2]
    assert store.once("b", lambda: 3) == 3
    assert Store(path, {}).once("b", lambda: pytest.fail("it is there")) == 3
    assert json.loads(path.read_text().splitlines()[-1])["result"] == 3


def test_a_line_that_was_changed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    Store(path, {}).once("a", lambda: 0.25)
    path.write_text(path.read_text().replace("0.25", "0.24"))
    with path.open("ab") as file:
        file.write(b"\n\xff\n[1]\n")
    assert Store(path, {}).once("a", lambda: 0.25) == 0.25


def test_time_ends_a_search_also_where_it_was_spent_before_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    for _ in range(2):
        model = Model()
        tried = evaluator(model, tmp_path)
        searched("random", stage(50, minutes=1.0, speedup=2), tried)
        assert len(tried.seen) == 3  # after 25, 50 and 75 seconds
    assert model.asked == []


def test_who_repeats_a_question_is_stopped(tmp_path: Path) -> None:
    tried = evaluator(Model(), tmp_path)
    tried.allow(2, 60.0)
    with pytest.raises(Spent):
        for _ in range(1000):
            tried.evaluate(SPACE.least)


def test_the_fastest_that_loses_little_is_found(tmp_path: Path) -> None:
    model = Model()
    tried = evaluator(model, tmp_path)
    found = searched("dp", stage(30, accuracy_drop=10.0), tried)
    assert len(model.asked) <= 30
    assert (found.score or 0) >= 0.8
    faster = [f for f in tried.seen.values() if f.p50_ms < found.p50_ms]
    assert faster
    assert all((f.score or 0) < 0.8 for f in faster)
    assert found.p50_ms < 0.8 * SPACE.p50_ms(SPACE.whole)


def test_nothing_is_cut_where_nothing_may_be_lost(tmp_path: Path) -> None:
    found = searched("dp", stage(6, accuracy_drop=0.0), evaluator(Model(), tmp_path))
    assert found.layers == SIZES


def test_the_front_and_the_correlation_are_of_what_was_run(tmp_path: Path) -> None:
    tried = evaluator(Model(), tmp_path)
    assert tried.rank_correlation() is None
    tried.allow(20, 60.0)
    random = np.random.default_rng(0)
    for _ in range(20):
        tried.evaluate(tuple(int(random.integers(len(o))) for o in SPACE.options))
    front: list[Any] = tried.front()
    assert [f.p50_ms for f in front] == sorted(f.p50_ms for f in front)
    assert [f.kl for f in front] == sorted((f.kl for f in front), reverse=True)
    for figures in tried.seen.values():
        assert any(f.p50_ms <= figures.p50_ms and f.kl <= (figures.kl or 0) for f in front)
    assert (tried.rank_correlation() or 0) > 0.5


def test_a_limit_at_which_nothing_was_tried_says_nothing(tmp_path: Path) -> None:
    model = Model()
    tried = evaluator(model, tmp_path)
    searched("dp", stage(2, accuracy_drop=10.0), tried)
    first, second = (SPACE.table.p50_ms(one, "int8") for one in model.asked)
    least, most = SPACE.p50_ms(SPACE.least), SPACE.p50_ms(SPACE.whole)
    assert first <= (least * most) ** 0.5  # which loses too much: the next is half way to the whole
    assert second <= ((least * most) ** 0.5 * most) ** 0.5


def test_the_nearest_that_keeps_both_targets_is_chosen(tmp_path: Path) -> None:
    plain = evaluator(Model(), tmp_path / "no")
    nearest = searched("random", stage(6, speedup=2), plain)

    class Odd(Model):
        """The nearest loses most points."""

        def run(self, structure: Structure) -> tuple[float, float]:
            lost, _ = super().run(structure)
            return lost, 0.1 if structure == nearest.layers else 0.85

    tried = evaluator(Odd(), tmp_path / "none")
    found = searched("random", stage(6, speedup=2, accuracy_drop=10.0), tried)
    second = sorted(plain.seen.values(), key=lambda one: one.kl or 0)[1]
    assert (found.layers, found.score) == (second.layers, 0.85)


def test_nothing_is_shared_after_the_time(tmp_path: Path) -> None:
    shared: list[Structure] = []

    class Shared:
        def run_all(self, structures: list[Structure], run: object) -> list[Any]:
            shared.extend(structures)
            return []

    tried = evaluator(Model(), tmp_path)
    tried.pool = Shared()  # type: ignore[assignment]
    tried.allow(9, 60.0)
    tried.evaluate(SPACE.least)
    tried.ahead([SPACE.whole])
    assert len(shared) == 1
    tried.store.seconds = 61.0
    tried.ahead([SPACE.whole])
    assert len(shared) == 1


def test_the_whole_model_may_be_known_in_int8_alone() -> None:
    whole = [(4, 24)] * 3
    other = SPACE.table.of("int8").model_copy(update={"name": "default"})
    near = SPACE.table.model_copy(update={"precisions": [other], "whole_ms": {"int8": 0.5}})
    space = Space(SIZES, near, "default")
    targets.refuse_unreachable(space, Target(speedup=1.1), "plan")
    assert targets.dense_ms(space) == 0.5
    without = Space(SIZES, near.model_copy(update={"whole_ms": {}}), "default")
    assert targets.dense_ms(without) == near.p50_ms(whole, "default")
    assert targets.dense_precision(without) == "default"
    with pytest.raises(UserError, match="has not measured"):
        targets.refuse_unreachable(without, Target(speedup=1.1), "plan")
