"""A search through whole runs: its plan is reached, its budget kept, its work not done twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from cli import app
from jpqd.core import compression_plan
from jpqd.core.compression_plan import Plan
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.progress import Progress
from jpqd.recipe import plugins, recipes
from jpqd.run import plan as planning
from jpqd.run import runner
from jpqd.search.candidates import Candidates
from jpqd.search.options import STRATEGIES
from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, Place
from tests.helpers.stages import STAGES

SHOT = COMMON.replace("epochs: 1", "epochs: 0")
TEACHER = f"  dense: {{{COMMON.replace('epochs: 1', 'epochs: 6')}}}\n"
TABLE = "  table: {use: made_table, needs: [dense]}\n"
BUDGET = 3


@pytest.fixture(autouse=True)
def _stages_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))


def search(name: str, target: str = "{speedup: 1.5}", more: str = "") -> str:
    return (
        f"  {name}: {{use: search, needs: [dense, table], target: {target}, samples: 32, "
        f"evaluations: {BUDGET}{more}}}\n"
    )


def run(place: Place, stages: str) -> Path:
    """Run the teacher, which is sealed, and what comes after it."""
    path = place.recipe(TEACHER + stages, name="tiny")
    runner.execute(recipes.load(path), place.folder / "runs", Progress(quiet=True))
    return place.folder / "runs" / "tiny"


def metrics(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    Manifest.model_validate(manifest)
    found: dict[str, Any] = manifest["metrics"]
    return found


def found(folder: Path) -> Plan:
    return compression_plan.load(folder)


def test_a_plan_is_reached_at_once_and_by_a_ramp(place: Place) -> None:
    prune, joint = "{use: prune, plan: found, samples: 32}", "{use: quantize, samples: 8}"
    done = run(
        place,
        TABLE
        + search("found")
        + f"  cut: {{{SHOT}, needs: [dense], methods: [{prune}]}}\n"
        + f"  joint: {{{COMMON}, needs: [dense], methods: [{prune}, {joint}]}}\n",
    )
    plan = found(done / "found")
    assert plan.missed == []
    assert plan.speedup >= 1.5
    assert plan.chosen.p50_ms * plan.speedup == pytest.approx(plan.whole.p50_ms)
    assert plan.chosen.layers != plan.whole.layers
    for stage in ("cut", "joint"):
        layers = metrics(done / stage)["model"]["layers"]
        assert tuple(map(tuple, layers)) == plan.chosen.layers
    said = metrics(done / "found")["plan"]
    assert said["chosen"]["p50_ms"] == plan.chosen.p50_ms
    assert "front" not in said


def test_what_the_search_saw_is_what_prune_makes(place: Place) -> None:
    """The same rows score and solve, so the figures on the same rows are the same."""
    prune = "{use: prune, plan: found, samples: 500}"
    whole = search("found").replace("samples: 32", "samples: 500")
    check = "  check: {use: evaluate, needs: [cut], split: select}\n"
    done = run(
        place, TABLE + whole + f"  cut: {{{SHOT}, needs: [dense], methods: [{prune}]}}\n" + check
    )
    figures = metrics(done / "check")["select"]
    assert figures["n"] == found(done / "found").rows
    assert figures["accuracy"] == pytest.approx(found(done / "found").chosen.score)


def test_a_plan_is_reached_in_any_order_of_methods(place: Place) -> None:
    prune, joint = "{use: prune, plan: found, samples: 32}", "{use: quantize, smooth_quant: 0.8}"
    cut = f"{SHOT}, needs: [dense], methods"
    stages = f"  one: {{{cut}: [{prune}, {joint}]}}\n  other: {{{cut}: [{joint}, {prune}]}}\n"
    done = run(place, TABLE + search("found") + stages)
    one, other = (load_file(done / name / "model.safetensors") for name in ("one", "other"))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert other[name] == pytest.approx(weight, abs=1e-6)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an agent learn little before it is evaluated."""
    monkeypatch.setattr("jpqd.search.agent.learning._ROUNDS", 3)


@pytest.mark.usefixtures("_short")
def test_every_strategy_keeps_limits_and_budget(place: Place) -> None:
    names = list(plugins.names(STRATEGIES))
    assert {"uniform", "random", "greedy", "dp", "tpe", "nsga2", "agent"} == set(names)
    stages = [search(name, more=f", strategy: {name}") for name in names]
    done = run(place, TABLE + "".join(stages))
    for name in names:
        plan = found(done / name)
        assert plan.strategy == name
        assert plan.missed == []
        assert 1 <= plan.evaluations <= BUDGET
        assert plan.chosen in plan.front or name == "nsga2"


TARGETS = {
    "two": "{p50_ms: 0.0009, size_mb: 0.023}",
    "small": "{size_mb: 0.021}",
    "good": "{accuracy_drop: 5.0}",
    "both": "{accuracy_drop: 100.0, speedup: 1.3}",
}


def test_every_target_is_reached_or_said_to_be_missed(place: Place) -> None:
    stages = [search(name, target) for name, target in TARGETS.items()]
    done = run(place, TABLE + "".join(stages))
    two, small, good, both = (found(done / name) for name in TARGETS)
    assert two.chosen.p50_ms <= 0.0009
    assert two.chosen.size_mb <= 0.023
    assert small.chosen.size_mb <= 0.021
    assert both.speedup >= 1.3
    assert both.missed == two.missed == small.missed == []
    lost = 100 * ((good.whole.score or 0) - (good.chosen.score or 0))
    assert lost <= 5 or good.missed
    assert good.chosen.p50_ms <= good.whole.p50_ms


RUN = """
import sys
from pathlib import Path
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers.stages import STAGES
recipes.STAGES += STAGES
runner.execute(recipes.load(Path(sys.argv[1])), Path(sys.argv[2]), Progress(quiet=True))
"""


def stored(place: Place) -> int:
    """Count the results on disk: the order of units, and then one for each structure."""
    files = (place.folder / "runs" / ".cache").glob("search-*.jsonl")
    return sum(path.read_text().count('"seconds"') for path in files)


def test_a_search_that_was_killed_does_nothing_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TABLE + search("found", more=", strategy: random").replace(": 3", ": 30")
    run(place, TABLE)
    path = place.recipe(TEACHER + asked, name="tiny")
    process = subprocess.Popen([tiny.PYTHON, "-c", RUN, path, place.folder / "runs"])
    while stored(place) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = stored(place) - 1
    real, again = Candidates.run, []

    def counted(self: Candidates, structure: Any) -> Any:
        again.append(structure)
        return real(self, structure)

    monkeypatch.setattr(Candidates, "run", counted)
    plan = found(run(place, asked) / "found")
    assert len(again) == plan.evaluations - before


def test_a_search_does_not_see_the_reported_split(place: Place) -> None:
    first = found(run(place, TABLE + search("found")) / "found")
    path = place.folder / "data" / "validation.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows[:20])]) + "\n")
    again = found(run(place, TABLE + search("found")) / "found")
    assert (first.whole, first.chosen) == (again.whole, again.chosen)


def test_another_target_makes_plan_and_cut_anew(place: Place) -> None:
    cut = (
        f"  cut: {{{SHOT}, needs: [dense], methods: [{{use: prune, plan: found, samples: 32}}]}}\n"
    )
    run(place, TABLE + search("found") + cut)
    path = place.folder / "tiny.yaml"
    path.write_text(path.read_text().replace("speedup: 1.5", "speedup: 1.6"))
    steps = planning.plan(recipes.load(path), place.folder / "runs" / "tiny")
    assert {step.id: step.status for step in steps} == {
        "dense": "sealed", "table": "sealed", "found": "changed", "cut": "changed",
    }  # fmt: skip


@pytest.mark.usefixtures("_short")
def test_an_agent_starts_where_an_earlier_one_ended(place: Place) -> None:
    more = ", strategy: agent, reward: {speedup: 0.2}, policy: first, evaluations: 1"
    then = search("then", "{speedup: 1.4}").replace(f", evaluations: {BUDGET}", more)
    done = run(place, TABLE + search("first", more=", strategy: agent") + then)
    assert found(done / "then").evaluations == 1
    for stage in ("first", "then"):
        assert {"plan.json", "policy.json", "policy.safetensors"} <= {
            path.name for path in (done / stage).iterdir()
        }


@pytest.mark.usefixtures("_short")
def test_an_agent_starts_from_a_folder_of_another_run(place: Place) -> None:
    first = run(place, TABLE + search("first", more=", strategy: agent")) / "first"
    moved = shutil.copytree(first, place.folder / "elsewhere")
    more = f", strategy: agent, policy: {moved}, evaluations: 1"
    stages = TABLE + search("then").replace(f", evaluations: {BUDGET}", more)
    assert found(run(place, stages) / "then").evaluations == 1
    path = moved / "policy.json"
    path.write_text(path.read_text().replace("depth", "height"))
    with pytest.raises(UserError, match="other things than an agent of this version"):
        run(place, stages)
    path.unlink()
    with pytest.raises(UserError, match=r"elsewhere/policy.json': there is no such file"):
        run(place, stages)


def test_every_command_reads_a_run_with_a_plan(place: Place) -> None:
    run(place, TABLE + search("found"))
    runs = str(place.folder / "runs")
    for command in ("ls", "verify", "report"):
        done = CliRunner().invoke(app, [command, "tiny", "--runs", runs])
        assert done.exit_code == 0, done.output
    page = (place.folder / "runs" / "tiny" / "report.html").read_text()
    plan = found(place.folder / "runs" / "tiny" / "found")
    for said in ("What the search found", "What the searches tried", f"{plan.speedup:.3g}",
                 f"layer 1: {plan.chosen.layers[0][0]} heads"):  # fmt: skip
        assert said in page
    assert [one.layers for one in plan.tried] != []
    assert all(one in plan.tried for one in plan.front)
    listed = CliRunner().invoke(app, ["ls", "tiny", "--runs", runs, "--json"])
    kinds = {stage["stage"]: stage["kind"] for stage in json.loads(listed.stdout)[0]["stages"]}
    assert kinds == {"dense": "model", "table": "table", "found": "plan"}


@pytest.mark.parametrize(
    ("method", "layers"),
    [
        ("{use: prune, keep: 0.7, samples: 32}", None),
        ("{use: quantize, samples: 8}", [[2, 64]] * 2),
    ],
)
def test_a_search_starts_from_what_is_cut_or_quantized(
    place: Place, method: str, layers: list[list[int]] | None
) -> None:
    asked = search("found", "{p50_ms: 0.0006}").replace("dense", "start")
    prune = "{use: prune, plan: found, samples: 32}"
    done = run(
        place,
        TABLE
        + f"  start: {{{SHOT}, needs: [dense], methods: [{method}]}}\n"
        + asked
        + f"  cut: {{{SHOT}, needs: [start], methods: [{prune}]}}\n",
    )
    plan, before = found(done / "found"), metrics(done / "start")["model"]["layers"]
    assert before == layers if layers else before != [[2, 64]] * 2
    assert plan.missed == []
    assert tuple(map(tuple, before)) == plan.whole.layers
    assert tuple(map(tuple, metrics(done / "cut")["model"]["layers"])) == plan.chosen.layers
