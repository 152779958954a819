"""`jpqd rm`: what goes, what stays, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import app
from jpqd.core import lock
from tests.helpers import made_run


def rm(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["rm", *map(str, arguments)], input=answer)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, one with checkpoints, and a cache."""
    runs = tmp_path / "runs"
    made_run.make(runs / "demo", bench=False)
    made_run.make(runs / "other", bench=False)
    for name in ("jpqd-0123456789ab", "teacher-0123456789ab"):
        (runs / "demo" / ".work" / name).mkdir(parents=True)
        (runs / "demo" / ".work" / name / "weights").write_bytes(b"x" * 1_000_000)
    (runs / ".cache").mkdir()
    (runs / ".cache" / "rows").write_bytes(b"x" * 3_000_000)
    return runs


def test_a_run_goes_when_the_user_agrees_and_others_stay(runs: Path) -> None:
    refused = rm("demo", "--runs", runs, answer="n\n")
    assert refused.exit_code == 2
    assert f"{runs / 'demo'}: 11.3 MB. Remove?" in refused.stderr
    assert "nothing was removed" in refused.stderr
    assert (runs / "demo" / "jpqd" / "manifest.json").exists()
    done = rm("demo", "--runs", runs, answer="y\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"removed {runs / 'demo'}: 11.3 MB\n"
    assert not (runs / "demo").exists()
    assert (runs / "other" / "jpqd" / "manifest.json").exists() and (runs / ".cache").exists()


def test_without_an_answer_nothing_goes(runs: Path) -> None:
    done = rm("demo", "--runs", runs)
    assert done.exit_code == 2
    assert "add --yes" in done.stderr and (runs / "demo" / "recipe.json").exists()


def test_a_stage_goes_with_its_checkpoints(runs: Path) -> None:
    done = rm("demo", "--stage", "jpqd", "--runs", runs, "--yes", "--json")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)["removed"]) == 2
    left = {path.name for path in (runs / "demo").iterdir()}
    assert left == {"recipe.json", "teacher", "jpqd_ir", ".work"}
    assert [path.name for path in (runs / "demo" / ".work").iterdir()] == ["teacher-0123456789ab"]


def test_checkpoints_go_alone_and_so_does_the_cache(runs: Path) -> None:
    assert "2.0 MB" in rm("demo", "--work", "--runs", runs, "--yes").stdout
    assert not (runs / "demo" / ".work").exists()
    assert (runs / "demo" / "jpqd" / "manifest.json").exists()
    assert "3.0 MB" in rm("--cache", "--runs", runs, "--yes").stdout
    assert not (runs / ".cache").exists()


def test_links_are_not_followed(runs: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    made_run.make(precious, bench=False)
    (runs / "alias").symlink_to(precious)
    (runs / "twin").symlink_to(runs / "other")
    for name in ("alias", "twin", runs / "twin"):
        assert "is a link" in rm(name, "--runs", runs, "--yes").stderr
    (runs / "demo" / "teacher").rename(tmp_path / "teacher")
    (runs / "demo" / "teacher").symlink_to(tmp_path / "teacher")
    assert "is a link" in rm("demo", "--stage", "teacher", "--runs", runs, "--yes").stderr
    (runs / "demo" / "jpqd_ir" / "inner").symlink_to(precious)
    assert rm("demo", "--runs", runs, "--yes").exit_code == 0
    assert (precious / "teacher" / "model.safetensors").exists()
    assert (tmp_path / "teacher" / "model.safetensors").exists()
    assert (runs / "other" / "teacher" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dem"], "is no run (there is no recipe.json in it); did you mean 'demo'?"),
        ([".cache"], "is no run"),
        ([".."], "is not in"),
        (["ELSEWHERE"], "is not in"),
        (["demo", "--stage", "jpq"], "there is no stage 'jpq'; did you mean 'jpqd'?"),
        (["demo", "--stage", "../other"], "there is no stage"),
        (["demo", "--work", "--stage", "jpq"], "there is no stage 'jpq'; did you mean 'jpqd'?"),
        ([], "give either a run to remove, or --cache"),
        (["demo", "--cache"], "give either a run to remove, or --cache"),
    ],
)
def test_what_is_refused(runs: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    elsewhere = made_run.make(tmp_path / "elsewhere", bench=False)
    given = [str(elsewhere) if part == "ELSEWHERE" else part for part in arguments]
    done = rm(*given, "--runs", runs, "--yes")
    assert done.exit_code == 2
    assert said in done.stderr
    assert (elsewhere / "recipe.json").exists() and (runs / "demo" / "recipe.json").exists()


def test_a_run_in_use_stays(runs: Path) -> None:
    with lock.sealing(runs / "demo" / "new_ir"):
        done = rm("demo", "--runs", runs, "--yes")
    assert done.exit_code == 2
    assert "is in use by process" in done.stderr
    assert (runs / "demo" / "jpqd" / "manifest.json").exists()
