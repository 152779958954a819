"""`use: latency_table` on a tiny model: it measures, goes on after a kill, knows itself again."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jpqd.core import artifact, compression_plan, latency_table
from jpqd.core.errors import UserError
from jpqd.core.latency_table import LatencyTable
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from runtime_bench.table import groups, make, structures
from runtime_bench.table.build import Factory
from tests.helpers import tiny

STAGES = """\
stages:
  teacher: {use: train, epochs: 0, batch_size: 16}
  small: {use: train, needs: [teacher], epochs: 0, batch_size: 16,
          methods: [{use: prune, keep: 0.5}, {use: quantize, samples: 16}]}
  small_ir: {use: ov_ir, needs: [small]}
  times: {use: latency_table, needs: [teacher], precisions: [int8], seconds: 2.0, threads: 1}
"""
FEWER = {"FITTED": 8, "CHECKED": 2}
"""The random models: enough for the parts of a tiny model, and seconds instead of minutes."""
SCRIPT = f"""
from runtime_bench.table import groups, structures
structures.FITTED, structures.CHECKED = {FEWER["FITTED"]}, {FEWER["CHECKED"]}
groups.GROUP = 4
import cli
cli.app()
"""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fewer in FEWER.items():
        monkeypatch.setattr(structures, name, fewer)
    monkeypatch.setattr(groups, "GROUP", 4)
    monkeypatch.setattr(make, "MANY", 1.0)  # other tests may run beside this one


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose stages before the table are sealed, and a table's stage killed in the middle."""
    folder = tmp_path_factory.mktemp("table")
    text = tiny.RECIPE[: tiny.RECIPE.index("stages:")] + STAGES
    path = tiny.write_recipe(folder, rows=160, text=text)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True), until="small_ir")
    arguments = ["run", str(path), "--runs", str(folder / "runs")]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=tiny.environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list((folder / "runs").rglob("quantized/int8-*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return folder


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The structures that are built while a test runs."""
    found: list[Any] = []
    write = Factory.write

    def noting(self: Factory, structure: Any, *rest: Any) -> None:
        found.append(structure)
        write(self, structure, *rest)

    monkeypatch.setattr(Factory, "write", noting)
    return found


def test_a_killed_stage_goes_on_and_a_finished_one_is_not_measured_again(
    trained: Path, built: list[Any]
) -> None:
    recipe, runs = recipes.load(trained / "tiny.yaml"), trained / "runs"
    runner.execute(recipe, runs, Progress(quiet=True))
    models = structures.models(structures.Whole(2, 2, 64, 8))
    total = len(models.fitted) + len(models.checked)
    assert 0 < len(built) <= total - 4  # the first group was measured before the kill

    sealed = artifact.open_sealed(runs / "tiny" / "times")
    table = latency_table.load(sealed.folder)
    assert sealed.manifest.kind == "table"
    assert sealed.manifest.metrics["error"]["int8"] == pytest.approx(table.error("int8"), abs=1e-4)
    assert (table.layers, table.heads, table.neurons) == (2, 2, 64)
    assert sum(table.shares) == pytest.approx(1)
    assert table.of("int8").computes.startswith("int8")  # attention is f32 without AVX-512
    assert len(table.checked) == len(models.checked)

    dense, empty = [(2, 64)] * 2, [(0, 0)] * 2
    assert table.p50_ms(empty, "int8") < table.p50_ms(dense, "int8")
    assert 50 < table.peak_mb(dense, "int8") < 1000  # of a process with Python and the runtime
    assert table.memory_error("int8") < 0.2
    for part in (*table.of("int8").heads, *table.of("int8").neurons):
        assert len(part.ms) == len(table.lengths)

    # Sizes are those of what the export of the same run wrote. Nine tenths of a tiny IR is the
    # graph, which is not quite the sum of its parts.
    ir = artifact.open_sealed(runs / "tiny" / "small_ir").manifest
    small = artifact.open_sealed(runs / "tiny" / "small").manifest.model
    assert small is not None
    assert ir.deployed_bytes is not None
    said = table.size_mb(small.layers, "int8") * 1e6
    assert said == pytest.approx(ir.deployed_bytes, abs=60_000)

    built.clear()
    shutil.rmtree(runs / "tiny" / "times")
    runner.execute(recipe, runs, Progress(quiet=True))
    assert not built
    assert latency_table.load(runs / "tiny" / "times") == table


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("device: GPU.7", "OpenVINO finds no GPU.7 here"),
        ("length: 4000", "length: 4000, but the model takes at most"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_work(
    trained: Path, built: list[Any], key: str, message: str
) -> None:
    path = trained / "other.yaml"
    text = (trained / "tiny.yaml").read_text()
    path.write_text(text.replace("threads: 1}", f"{key}}}"))
    runs = trained / "runs"
    with pytest.raises(UserError, match=message):
        runner.execute(recipes.load(path), runs, Progress(quiet=True))
    assert not built


NEAR = """\
  first: {use: search, needs: [teacher, times], target: {speedup: 1.1}, samples: 16, evaluations: 1}
  near: {use: latency_table, needs: [teacher, times, first], seconds: 1.0, threads: 1}
  again: {use: search, needs: [teacher, near], target: {speedup: 1.1}, samples: 16, evaluations: 1}
"""


def with_near(trained: Path, near: str = NEAR) -> Path:
    text = (trained / "tiny.yaml").read_text()
    path = trained / "near.yaml"
    path.write_text(text.replace("name: tiny", "name: near") + near)
    return path


def test_a_table_near_a_plan_has_the_time_of_its_model(trained: Path, built: list[Any]) -> None:
    runs = trained / "runs"
    recipe = recipes.load(with_near(trained))
    runner.execute(recipe, runs, Progress(quiet=True), until="first")
    built.clear()
    runner.execute(recipe, runs, Progress(quiet=True))
    run = runs / recipe.name
    plan = compression_plan.load(run / "first").chosen.layers
    base, near = latency_table.load(run / "times"), latency_table.load(run / "near")
    assert built == [[(2, 64)] * 2, list(plan)]
    factor = near.p50_ms(plan, "int8") / base.p50_ms(plan, "int8")
    empty = [(0, 0)] * 2
    assert near.p50_ms(empty, "int8") == pytest.approx(factor * base.p50_ms(empty, "int8"))
    assert compression_plan.load(run / "again").whole.p50_ms == near.whole_ms["int8"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("times, first]", "times]"), "names a table without a plan"),
        (("[teacher, times, first]", "[teacher, first, times]"), "makes no latency table"),
        (("seconds: 1.0, threads: 1", "threads: 2"), "times was measured with threads 1, and here"),
        (("seconds: 1.0", "length: 8"), "times was measured with lengths"),
    ],
)
def test_a_table_near_a_plan_is_of_the_same_model_and_device(
    trained: Path, change: tuple[str, str], message: str
) -> None:
    path = with_near(trained, NEAR.replace(*change))
    with pytest.raises(UserError, match=message):
        runner.execute(recipes.load(path), trained / "runs", Progress(quiet=True))


def test_a_table_of_a_machine_that_others_used_is_not_kept(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test: it takes from the others the table that they share."""
    recipe, runs = recipes.load(trained / "tiny.yaml"), trained / "runs"
    runner.execute(recipe, runs, Progress(quiet=True))
    table = latency_table.load(runs / "tiny" / "times")
    busy = [one.model_copy(update={"disturbed": 0.9}) for one in table.precisions]
    asked: list[Any] = []

    def measured(*arguments: Any) -> LatencyTable:
        asked.append(arguments)
        return table.model_copy(update={"precisions": busy})

    monkeypatch.setattr(make, "_table", measured)
    monkeypatch.setattr(make, "MANY", 0.25)
    for place in (runs / ".cache").glob("latency-*"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    for _ in range(2):
        shutil.rmtree(runs / "tiny" / "times")
        runner.execute(recipe, runs, Progress(quiet=True))
    assert len(asked) == 2
