"""Mistakes in data and model are told by `plan` and `run` at once, before seconds of imports."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jpqd.core.errors import DataError, SourceError
from jpqd.data import preflight, sources
from jpqd.recipe import recipes
from tests.helpers import tiny


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tiny.write_recipe(tmp_path, rows=40)


def refused(place: Path, *more: str) -> str:
    """What both commands say."""
    said = []
    for command in ("plan", "run"):
        done = tiny.run(command, place, "--runs", place.parent / "runs", *more)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        said.append(done.stderr)
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"text,lable\na,1\n", "there is no column 'label'; did you mean 'lable'?"),
        (b"text;label\na;1\n", "its columns are separated by semicolons. Save it with commas"),
        (b"text\tlabel\na\t1\n", "its columns are separated by tabs. Name it .tsv."),
        (b"", "train.csv: the file is empty."),
        (b"\x7fELF\x00\x01\x02", "train.csv: this is no text, but binary data."),
    ],
)
def test_a_mistake_in_a_file_is_named(place: Path, content: bytes, expected: str) -> None:
    (place.parent / "data" / "train.csv").write_bytes(content)
    assert expected in refused(place)


def test_the_problems_of_all_files_are_told_together(place: Path) -> None:
    (place.parent / "data" / "train.csv").write_text("words,label\na,1\n")
    (place.parent / "data" / "validation.csv").write_text("")
    said = refused(place)
    assert "train.csv: there is no column 'text'" in said
    assert "validation.csv: the file is empty" in said


def test_what_is_no_file_in_a_folder_of_data_is_named(place: Path) -> None:
    """Spark writes a folder of this name, and links outlive their files."""
    part = place.parent / "data" / "test.parquet"
    part.mkdir()
    assert f"{part} is a folder or a dead link" in refused(place)
    part.rmdir()
    part.symlink_to("nowhere")
    assert f"{part} is a folder or a dead link" in refused(place)


def test_rows_of_json_are_looked_at_too(place: Path) -> None:
    rows = place.parent / "rows.jsonl"
    rows.write_text('{"sentence": "a", "label": 1}\n')
    assert "no column 'text'" in refused(place, "--set", f"task.dataset={rows}")


def test_a_row_of_json_may_lack_a_column_that_others_have(place: Path) -> None:
    rows = place.parent / "rows.jsonl"
    rows.write_text('{"text": "alone"}\n{"text": "a", "label": 1}\n')
    recipe = recipes.load(place, (f"task.dataset={rows}",))
    preflight.check(recipe.model, recipe.task)
    rows.write_text('{"text": "alone"}\n{"text": "a"}\n')
    with pytest.raises(DataError, match="no column 'label'"):
        preflight.check(recipe.model, recipe.task)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("task.report_on=train", "task.report_on: 'train' is what models are trained on"),
        ("task.select_on=Training", "task.select_on: 'Training' is what models are trained on"),
        ("task.report_on=texts", "task.report_on: 'texts' is the name of other figures"),
    ],
)
def test_a_split_that_cannot_be_is_named(place: Path, setting: str, said: str) -> None:
    recipe = recipes.load(place, (setting,))
    with pytest.raises(DataError, match=said):
        preflight.check(recipe.model, recipe.task)
    recipes.load(place, ("task.select_on=check",))


def test_the_tokenizer_of_deberta_v3_is_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no tokenizer"):
        sources.require_tokenizer(tmp_path)
    (tmp_path / "spm.model").touch()
    sources.require_tokenizer(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    sealed = Path(__file__).parents[1] / "data" / "v01" / "sealed" / "teacher"
    shutil.copytree(sealed, tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    return tmp_path / "model"


def test_a_model_without_its_tokenizer_is_refused(place: Path, model: Path) -> None:
    (model / "tokenizer.json").unlink()
    said = refused(place, "--set", f"model={model}")
    assert "the folder has no tokenizer (tokenizer.json, vocab.txt" in said
    assert "Copy the tokenizer's files there." in said


@pytest.mark.parametrize(
    ("name", "size"),
    [("hidden_size", 10**9), ("hidden_size", "wide"), ("hidden_size", 0), ("vocab_size", -5),
     ("num_hidden_layers", 10**9),
     ("intermediate_size", "wide"), ("max_position_embeddings", 10**12)],
)  # fmt: skip
def test_absurd_sizes_are_refused(place: Path, model: Path, name: str, size: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, name: size}))
    said = refused(place, "--set", f"model={model}")
    assert f"config.json: {name} is {size!r}, which does not fit weights of" in said


def test_a_config_that_is_torn_is_named(place: Path, model: Path) -> None:
    (model / "config.json").write_text("{")
    assert "config.json cannot be read" in refused(place, "--set", f"model={model}")


def test_nothing_heavy_is_imported_before(place: Path) -> None:
    (place.parent / "data" / "train.csv").write_text("text\na\n")
    script = (
        "import sys; sys.argv = ['jpqd', 'run', sys.argv[1], '--runs', sys.argv[2]]\n"
        "from cli import app\n"
        "try: app()\n"
        "except SystemExit as ended: assert ended.code == 2\n"
        "heavy = {'torch', 'transformers', 'datasets', 'openvino', 'nncf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    runs = place.parent / "runs"
    done = subprocess.run([sys.executable, "-c", script, place, runs], text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
