"""Workers of a search: real processes and a real database, where some are killed or stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy

from jpqd.core import compression_plan
from jpqd.search import pool
from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, Place
from tests.helpers.warm import Forked

NEVER, OPEN = "never", "data"
"""A file that will not be there, and a folder that is."""
ASKED, TOGETHER = 10, 5
STAGES = f"""\
  dense: {{{COMMON.replace("epochs: 1", "epochs: 6")}}}
  table: {{use: made_table, needs: [dense]}}
  found: {{use: search, needs: [dense, table], target: {{speedup: 1.5}}, samples: 32,
          strategy: random, evaluations: {ASKED}, together: {TOGETHER}}}
"""
Start = Callable[..., Forked]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Start commands that run no structure until a file of this name is there."""
    processes: list[Forked] = []
    store = {"JPQD_STORE": f"sqlite:///{place.folder}/trials.db"}

    def started(gate: str, *arguments: str | Path, **more: str) -> Forked:
        variables = {**tiny.environment(), **store, **more}
        process = Forked("tests.helpers.gated:main", (place.folder / gate, *arguments), variables)
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()


def trials(place: Place) -> list[Any]:
    storage = f"sqlite:///{place.folder}/trials.db"
    try:
        (name,) = optuna.get_all_study_names(storage)
    except (ValueError, sqlalchemy.exc.OperationalError):  # the leader is making the tables
        return []
    return optuna.load_study(study_name=name, storage=storage).trials


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def count(place: Place, *states: str) -> int:
    return sum(trial.state.name in states for trial in trials(place))


def search(place: Place, start: Start, gate: str) -> Forked:
    """Start a search, up to the moment at which it has trials to share."""
    path = place.recipe(STAGES, name="tiny")
    leader = start(gate, "run", path, "--runs", place.folder / "runs")
    wait(lambda: count(place, "RUNNING") == 1)
    return leader


def ended(process: Forked) -> str:
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 0, said
    return said


def test_programs_that_open_a_new_store_at_once_all_have_it(tmp_path: Path) -> None:
    for number in range(8):
        url = f"sqlite:///{tmp_path}/{number}.db"
        with ThreadPoolExecutor(6) as threads:
            opened = list(threads.map(pool._storage, [url] * 6))
        assert len(opened) == 6


def test_a_killed_and_a_stopped_worker_lose_nothing_and_count_nothing_twice(
    place: Place, start: Start
) -> None:
    leader = search(place, start, "go")
    asked = len(trials(place))
    doomed, stopped = (start(NEVER, "search", "worker"), start("later", "search", "worker"))
    wait(lambda: count(place, "RUNNING") == 3)
    doomed.kill()
    os.kill(stopped.pid, signal.SIGSTOP)
    helper = start(OPEN, "search", "worker")
    wait(lambda: count(place, "FAIL") == 2 and count(place, "COMPLETE") == asked - 1)
    os.kill(stopped.pid, signal.SIGCONT)
    (place.folder / "later").touch()
    (place.folder / "go").touch()
    ended(leader)
    assert "the search has ended" in ended(stopped)
    assert "the search has ended" in ended(helper)

    runs = [trial for trial in trials(place) if trial.state.name == "COMPLETE"]
    structures = {str(trial.user_attrs["structure"]) for trial in runs}
    shared = compression_plan.load(place.folder / "runs" / "tiny" / "found")
    assert len(runs) == len(structures) == shared.evaluations > asked

    alone = start(OPEN, "run", place.folder / "tiny.yaml", "--runs", place.folder / "alone",
                  JPQD_STORE="")  # fmt: skip
    ended(alone)
    same = compression_plan.load(place.folder / "alone" / "tiny" / "found")
    assert same.chosen.layers == shared.chosen.layers
    assert same.chosen.kl == pytest.approx(shared.chosen.kl, rel=1e-3)


def test_a_search_that_was_killed_takes_what_its_workers_did_meanwhile(
    place: Place, start: Start
) -> None:
    leader = search(place, start, NEVER)
    leader.kill()
    asked = len(trials(place))
    worker = start(OPEN, "search", "worker")
    wait(lambda: count(place, "COMPLETE") == asked)
    again = start(OPEN, "run", place.folder / "tiny.yaml", "--runs", place.folder / "runs")
    ended(again)
    ended(worker)
    plan = compression_plan.load(place.folder / "runs" / "tiny" / "found")
    assert count(place, "COMPLETE") == plan.evaluations > asked


def test_a_worker_with_other_files_is_refused(place: Place, start: Start) -> None:
    leader = search(place, start, NEVER)
    other = place.folder / "other"
    path = place.folder / "tiny.yaml"
    start(OPEN, "run", path, "--runs", other, "--until", "table", "--set", "seed=7").wait()
    worker = start(OPEN, "search", "worker", "--run", other / "tiny")
    said = "".join(worker.communicate(timeout=120))
    assert worker.returncode == 2
    assert "other model, seed" in said
    leader.kill()


MISTAKES = {
    "sqlite:///empty.db": "no search is under way",
    "nonsense": "cannot be opened",
    "postgresql+nodriver://me:secret@host/trials": "cannot be opened",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_wrong_store_is_told_without_its_password(place: Place, start: Start, url: str) -> None:
    url = url.replace("empty", str(place.folder / "empty"))
    process = start(OPEN, "search", "worker", JPQD_STORE=url)
    said = "".join(process.communicate(timeout=60))
    assert process.returncode == 2
    assert MISTAKES[url.replace(str(place.folder / "empty"), "empty")] in said
    assert "secret" not in said


def test_a_structure_of_a_worker_that_was_stopped_is_given_out_again(
    place: Place, start: Start
) -> None:
    leader = search(place, start, "go")
    worker = start(NEVER, "search", "worker")
    wait(lambda: count(place, "RUNNING") == 2)
    os.kill(worker.pid, signal.SIGINT)
    wait(lambda: count(place, "FAIL") == 1)
    (place.folder / "go").touch()
    ended(leader)
    plan = compression_plan.load(place.folder / "runs" / "tiny" / "found")
    assert count(place, "COMPLETE") == plan.evaluations
