"""Runs that are trained once, and a copy of one for each test."""

import shutil
from pathlib import Path

import pytest

from tests.helpers import decoder_run, tiny
from tests.helpers.export_place import TEXT, jpqd


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    recipe = tiny.write_recipe(folder, rows=160, text=TEXT)
    done = jpqd("run", recipe, "--runs", folder / "runs")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy, so that a test may change it."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    out = trained / "exported"
    done = jpqd("export", "--ir", "--runs", trained / "runs", "--out", out, "--fuse-tokenizer")
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trained decoder, its IR and an INT8 one."""
    found = tmp_path_factory.mktemp("decoder")
    decoder_run.run(found, decoder_run.INT8)
    return found
