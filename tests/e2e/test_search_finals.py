"""The finals of a search: the best few are trained, and what they say then chooses one."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from jpqd.core import compression_plan
from jpqd.core.compression_plan import Figures
from jpqd.core.errors import RecipeError
from jpqd.recipe import recipes
from jpqd.recipe.schema import is_stage
from jpqd.search import finals
from jpqd.search.finals import Final
from tests.e2e.test_search import RUN, SHOT, TABLE, TEACHER, found, metrics, run, search
from tests.helpers import tiny
from tests.helpers.distill_place import Place
from tests.helpers.stages import STAGES

DISTILL = "{use: distill, teacher: dense, weight: 1.0}"
QUANTIZE = "{use: quantize, samples: 16}"
TRAINED = f"epochs: 1, batch_size: 16, learning_rate: 3.0e-3, methods: [{QUANTIZE}, {DISTILL}]"


@pytest.fixture(autouse=True)
def _stages_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))


def with_finals(finals: str, target: str = "{speedup: 3.0}") -> str:
    return search("found", target, f", strategy: random, finals: {{{finals}}}")


def trained(folder: Path) -> list[Figures]:
    plan = found(folder)
    assert plan.chosen in plan.tried
    return [one for one in plan.tried if one.final_kl is not None]


def final_kl(figures: Figures) -> float:
    assert figures.final_kl is not None
    return figures.final_kl


def test_the_nearest_after_training_is_chosen(place: Place) -> None:
    prune = "{use: prune, plan: found, samples: 32}"
    cut = f"  cut: {{{SHOT}, needs: [dense], methods: [{prune}]}}\n"
    done = run(place, TABLE + with_finals(TRAINED) + cut)
    plan, finalists = found(done / "found"), trained(done / "found")
    assert len(finalists) == 3
    assert plan.chosen == min(finalists, key=final_kl)
    assert plan.finals_correlation is not None
    assert tuple(map(tuple, metrics(done / "cut")["model"]["layers"])) == plan.chosen.layers
    assert not list(done.glob(".work/*"))
    assert CliRunner().invoke(app, ["report", str(done)]).exit_code == 0
    for page in ("report.html", "report.md"):
        said = (done / page).read_text()
        assert "The finals of found" in said
        assert f"{final_kl(plan.chosen):.4f}" in said


def test_without_epochs_they_are_only_quantized(place: Place) -> None:
    only = with_finals(f"epochs: 0, methods: [{QUANTIZE}]").replace("found", "quantized")
    done = run(place, TABLE + with_finals(TRAINED) + only)
    quantized, learnt = (
        {one.layers: final_kl(one) for one in trained(done / stage)}
        for stage in ("quantized", "found")
    )
    assert quantized.keys() == learnt.keys()
    for layers, kl in quantized.items():
        assert 0 < kl < 1e-3
        assert kl != learnt[layers]


def test_finals_do_not_see_the_reported_split(place: Place) -> None:
    finals = with_finals(f"count: 2, {TRAINED}")
    first = found(run(place, TABLE + finals) / "found")
    path = place.folder / "data" / "validation.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows[:20])]) + "\n")
    again = found(run(place, TABLE + finals) / "found")
    assert first.chosen == again.chosen


def test_a_kill_in_the_finals_costs_one_finalist_at_most(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TABLE + with_finals(TRAINED)
    run(place, TABLE)
    path = place.recipe(TEACHER + asked, name="tiny")
    process = subprocess.Popen([tiny.PYTHON, "-c", RUN, path, place.folder / "runs"])
    while not list((place.folder / "runs").glob("tiny/.work/found-*/finals.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    real, again = Final._trained, []

    def counted(self: Final, structure: Any) -> Any:
        again.append(structure)
        return real(self, structure)

    monkeypatch.setattr(Final, "_trained", counted)
    finalists = trained(run(place, asked) / "found")
    assert len(finalists) == 3
    assert 1 <= len(again) <= 2


MISTAKES = {
    "count: 1": "must be at least 2",
    "count: 9": "9 are trained, and only 3 evaluated",
    "epoch: 1": "Did you mean 'epochs'",
    "needs: [dense]": "the search says what is trained",
    "methods: [{use: prune, keep: 0.5}]": "the models are cut already",
    "methods: [{use: distill, teacher: dens}]": "dens",
    "methods: [{use: distill, teacher: table}]": "makes no model",
    "methods: [{use: distill, teacher: dense, weigth: 1.0}]": "Did you mean 'weight'",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_finals_are_named(place: Place, mistake: str) -> None:
    path = place.recipe(TEACHER + TABLE + with_finals(mistake))
    with pytest.raises(RecipeError) as error:
        recipes.load(path)
    assert MISTAKES[mistake] in str(error.value)


def test_finals_want_a_limit(place: Place) -> None:
    asked = with_finals("epochs: 1", "{accuracy_drop: 1.0}")
    with pytest.raises(RecipeError, match="within a time or a size"):
        recipes.load(place.recipe(TEACHER + TABLE + asked))
    both = with_finals("epochs: 1", "{accuracy_drop: 1.0, size_mb: 1}")
    with pytest.raises(RecipeError, match="Add speedup or p50_ms"):
        recipes.load(place.recipe(TEACHER + TABLE + both))


def test_a_finalist_starts_from_no_stage_of_the_recipe() -> None:
    """A teacher may be called anything that a stage may be called."""
    assert not is_stage(finals._CUT)


def test_a_plan_of_before_has_no_finals(place: Place) -> None:
    folder = run(place, TABLE + search("found")) / "found"
    text = (folder / compression_plan.FILE).read_text()
    for key in ("final_kl", "final_score", "finals_correlation"):
        assert f'"{key}": null' in text
