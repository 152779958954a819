"""Links in the run folder of a stranger: nothing is written through one."""

import json
import os
from pathlib import Path

import pytest

from jpqd.core import files, lock
from jpqd.core.errors import JpqdError, UserError
from jpqd.report.page import write
from jpqd.run import finder
from tests.helpers import made_run

MINE = "what must stay"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text(MINE)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / "runs" / "made")


@pytest.mark.parametrize("name", ["report.html", "report.md"])
@pytest.mark.parametrize("end", ["", ".partial"])
def test_a_report_replaces_a_link(run: Path, mine: Path, name: str, end: str) -> None:
    (run / (name + end)).symlink_to(mine)
    write.write(finder.find(run.parent, "made"), None)
    assert mine.read_text() == MINE
    assert not (run / name).is_symlink()
    assert "teacher" in (run / name).read_text()


def test_a_text_that_is_half_written_is_never_seen(
    tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(mine, "half")
    assert mine.read_text() == MINE
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_permissions_are_those_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    files.write_text(tmp_path / "ours", "")
    assert (tmp_path / "usual").stat().st_mode == (tmp_path / "ours").stat().st_mode


def test_a_folder_to_seal_replaces_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text(MINE)
    (tmp_path / "teacher.partial").symlink_to(tmp_path / "mine")
    with lock.sealing(tmp_path / "teacher") as partial:
        (partial / "file").write_text("new")
    assert (tmp_path / "mine" / "file").read_text() == MINE


@pytest.mark.parametrize("hold", [lock.hold, lock.sealing])
def test_a_lock_that_is_a_link_is_refused(tmp_path: Path, mine: Path, hold: object) -> None:
    for name in (".lock", ".teacher.lock"):
        (tmp_path / name).symlink_to(mine)
    place = tmp_path if hold is lock.hold else tmp_path / "teacher"
    with pytest.raises(JpqdError, match=r"\.lock.*link"), hold(place):  # type: ignore[operator]
        pass
    assert mine.read_text() == MINE


def test_a_link_on_the_way_to_checkpoints_is_refused(run: Path, mine: Path) -> None:
    (run / ".work").symlink_to(mine.parent)
    with pytest.raises(UserError, match=r"\.work is a link to .*Remove the link"):
        files.refuse_links(run / ".work" / "teacher-1234", run)
    files.refuse_links(run / "teacher" / "model.safetensors", run)


def test_a_manifest_names_no_file_outside_its_folder(run: Path, mine: Path) -> None:
    path = run / "teacher" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["seal"]
    manifest["format"] = 1
    manifest["files"] = {"../../../mine.txt": {"sha256": "0" * 64, "bytes": 3}}
    path.write_text(json.dumps(manifest))
    found = finder.find(run.parent, "made").damage()
    assert any(line.startswith("teacher: ") for line in found)
    assert not any("mine" in line for line in found)
