"""A teacher that is trained once, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest

from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, HEAD, ROWS, Place


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill")
    stages = f"stages:\n  dense: {{{COMMON.replace('epochs: 1', 'epochs: 6')}}}\n"
    path = tiny.write_recipe(folder, rows=ROWS, text=HEAD + stages)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Place:
    """A copy, so that a test may change it."""
    shutil.copytree(trained, tmp_path / "copy")
    for path in (tmp_path / "copy").glob("*.yaml"):
        path.write_text(path.read_text().replace(str(trained), str(tmp_path / "copy")))
    return Place(tmp_path / "copy")
