"""Mistakes in a search's recipe, and what is not installed: each is named before any work."""

from __future__ import annotations

import sys

import pytest

from jpqd.core.errors import RecipeError, UserError
from jpqd.recipe import recipes
from jpqd.search.candidates import Candidates
from tests.e2e.test_search import SHOT, TABLE, run, search
from tests.helpers.distill_place import COMMON, Place
from tests.helpers.stages import STAGES


@pytest.fixture(autouse=True)
def _stages_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))


MISTAKES = {
    "needs: [table, dense]": "needs.0: 'table' is a stage of `use: made_table`, which makes no mod",
    "needs: [dense, dense]": "makes no latency table",
    "target: {}": "every other target",
    "target: {speedup: 2, p50_ms: 1, size_mb: 1}": "more than two",
    "target: {speedup: 0.5}": "speedup",
    "target: {size_mb: 1}, margin: 1.1": "is of a time, and the target has none",
    "strategy: dpp": "Did you mean 'dp'",
    "reward: {speedup: 1.0}": "only an agent reads this",
    "policy: dense, strategy: agent": "which makes no plan",
    "policy: gone/found, strategy: agent": "neither a stage's name nor a path that exists",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_recipe_are_named(place: Place, mistake: str) -> None:
    keys = {"needs": "needs: [dense, table]", "target": "target: {speedup: 2}", "strategy": ""}
    keys[mistake.split(":")[0]] = mistake
    stage = f"  found: {{use: search, {', '.join(key for key in keys.values() if key)}}}\n"
    path = place.recipe(f"  dense: {{{COMMON}}}\n" + TABLE + stage)
    with pytest.raises(RecipeError) as error:
        recipes.load(path)
    assert MISTAKES[mistake] in str(error.value)


def test_a_table_of_another_vocabulary_is_refused(place: Place) -> None:
    stages = (
        f"{TABLE}  lean: {{use: vocabulary, needs: [dense], min_count: 20}}\n"
        "  found: {use: search, needs: [lean, table], target: {size_mb: 1}}\n"
    )
    with pytest.raises(UserError, match=r"of a model with [\d,]+ words, and that of lean has"):
        run(place, stages)


def test_prune_wants_a_plan_from_a_search(place: Place) -> None:
    path = place.recipe(
        f"  dense: {{{COMMON}}}\n"
        f"  cut: {{{SHOT}, needs: [dense], methods: [{{use: prune, plan: dense}}]}}\n"
    )
    with pytest.raises(RecipeError, match="makes no plan"):
        recipes.load(path)


def test_a_missing_optuna_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'jpqd\[search\]'"):
        run(place, TABLE + search("found", more=", strategy: tpe"))


def test_a_store_without_optuna_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.setenv("JPQD_STORE", "sqlite:///trials.db")
    with pytest.raises(UserError, match=r"JPQD_STORE needs optuna.*pip install 'jpqd\[search\]'"):
        run(place, TABLE + search("found"))


@pytest.mark.parametrize(
    ("table", "asked", "words"),
    [
        (TABLE, search("found", "{speedup: 500.0}"), "speedup: 500 cannot be reached.*nearest is"),
        (TABLE, search("found", "{p50_ms: 0.0001}"), "p50_ms: 0.0001 cannot be reached"),
        (TABLE, search("found", more=", precision: int3"), "no 'int3'"),
        (TABLE.replace("}", ", layers: 5}"), search("found"), "5 layers.*has 2 layers"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    place: Place, table: str, asked: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Candidates, "run", lambda *_: pytest.fail("it began to work"))
    with pytest.raises(UserError, match=words):
        run(place, table + asked)


def test_a_plan_without_a_policy_is_refused_before_any_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(place, TABLE + search("found"))
    monkeypatch.setattr(Candidates, "run", lambda *_: pytest.fail("it began to work"))
    with pytest.raises(UserError, match="'found' left no policy"):
        run(
            place,
            TABLE + search("found") + search("then", more=", strategy: agent, policy: found"),
        )
