"""Which checkpoint counts, and which ones are kept."""

import json
from pathlib import Path

import pytest

from jpqd.core.progress import Progress
from jpqd.training.checkpoints import Checkpoints


@pytest.fixture
def made(tmp_path: Path) -> Checkpoints:
    """Steps 1 to 5 were saved; step 2 is the best one."""
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        written = checkpoints.staging / "x"
        written.mkdir(parents=True)
        (written / "weights").write_text(f"weights {step}")
        checkpoints.commit(written, step, best_step=min(step, 2))
    return checkpoints


def newest(checkpoints: Checkpoints) -> str | None:
    found = checkpoints.newest(Progress(quiet=True))
    return found.name if found else None


def test_the_newest_two_and_the_best_are_kept(made: Checkpoints) -> None:
    assert made.steps() == [5, 4, 2]
    assert newest(made) == "step-5"


def test_a_torn_one_is_set_aside(made: Checkpoints) -> None:
    (made.at(5) / "weights").write_text("weights X")
    assert newest(made) == "step-4"
    assert (made.folder / "torn-step-5").is_dir()


def test_the_one_before_a_torn_one_has_its_own_best(tmp_path: Path) -> None:
    """Step 2 is the best one until 4 is, and 3 refers to it."""
    checkpoints = Checkpoints(tmp_path)
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 4)):
        written = checkpoints.staging / "x"
        written.mkdir(parents=True)
        (written / "weights").write_text(f"weights {step}")
        checkpoints.commit(written, step, best_step=best)
    (checkpoints.at(4) / "weights").write_text("weights X")
    assert newest(checkpoints) == "step-3"


def test_what_was_being_written_is_dropped(made: Checkpoints) -> None:
    (made.staging / "checkpoint-6").mkdir(parents=True)
    assert newest(made) == "step-5"
    assert not made.staging.exists()


def test_a_damaged_best_one_is_never_loaded_at_the_end(made: Checkpoints) -> None:
    (made.at(2) / "weights").write_text("weights X")
    assert newest(made) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}}'])
def test_a_manifest_that_makes_no_sense_is_no_checkpoint(made: Checkpoints, text: str) -> None:
    (made.at(5) / "manifest.json").write_text(text)
    assert newest(made) == "step-4"


def test_those_of_version_0_1_are_set_aside_by_name(
    made: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in made.steps():
        path = made.at(step) / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest["format"], manifest["seal"]
        path.write_text(json.dumps(manifest))
    assert made.newest(Progress()) is None
    told = capsys.readouterr().err
    assert "checkpoint step-5 is of another version of jpqd" in told
    assert "moved to torn-step-5" in told
