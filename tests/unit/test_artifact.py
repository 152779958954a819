"""Sealed folders: whole or not there, whatever happens between two steps of writing them."""

import errno
from pathlib import Path

import pytest

from jpqd.core import artifact, seals
from jpqd.core.artifact import Manifest
from jpqd.core.errors import DiskFullError


def make(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "weights").write_text(text)


def manifest() -> Manifest:
    return Manifest(
        stage="teacher", use="train", kind="model", fingerprint="f", inputs={}, metrics={},
        seconds=1, created="now", environment={},
    )  # fmt: skip


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """An older sealed folder, and a newer one that is closed but not in place yet."""
    final = tmp_path / "teacher"
    for text in ("old", "new"):
        make(tmp_path / "teacher.partial", text)
        if text == "old":
            artifact.seal(tmp_path / "teacher.partial", final, manifest())
    artifact.close(tmp_path / "teacher.partial", manifest().model_dump(mode="json"))
    return final


def test_a_new_result_takes_the_place_of_the_old_one(sealed: Path) -> None:
    artifact.publish(sealed.with_name("teacher.partial"), sealed)
    assert (sealed / "weights").read_text() == "new"
    assert [path.name for path in sealed.parent.iterdir()] == ["teacher"]


def test_a_kill_between_the_two_renames_is_finished_at_the_next_start(sealed: Path) -> None:
    sealed.rename(sealed.with_name("teacher.replaced"))
    artifact.recover(sealed)
    assert (sealed / "weights").read_text() == "new"


def test_a_new_result_that_is_not_whole_does_not_cost_the_old_one(sealed: Path) -> None:
    (sealed.with_name("teacher.partial") / "manifest.json").write_text("{torn")
    sealed.rename(sealed.with_name("teacher.replaced"))
    artifact.recover(sealed)
    assert (sealed / "weights").read_text() == "old"


def test_nothing_to_recover_changes_nothing(sealed: Path) -> None:
    artifact.recover(sealed)
    assert (sealed / "weights").read_text() == "old"
    artifact.recover(sealed.with_name("never"))
    assert not sealed.with_name("never").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": 1}', "\x00"])
def test_a_manifest_that_cannot_be_read_is_no_manifest(sealed: Path, text: str) -> None:
    (sealed / "manifest.json").write_text(text)
    assert artifact.read(sealed) is None


def test_the_same_number_of_other_bytes_is_found(sealed: Path) -> None:
    found = artifact.read(sealed)
    assert found is not None
    (sealed / "weights").write_text("odd")
    assert list(artifact.damage(sealed, found.files)) == [
        "weights: content differs from its SHA-256"
    ]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_recognised_however_it_is_wrapped(error: Exception, tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="Earlier work is intact"),
        artifact.disk_full_is_clear(tmp_path, "Earlier work is intact."),
    ):
        raise error


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError), artifact.disk_full_is_clear(tmp_path, ""):
        raise KeyError("x")


def test_the_digest_depends_on_content_not_on_order() -> None:
    assert seals.digest({"a": 1, "b": [1, 2]}) == seals.digest({"b": [1, 2], "a": 1})
    assert seals.digest({"a": 1}) != seals.digest({"a": 2})
