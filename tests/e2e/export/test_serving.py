"""`--layout ovms` and docs/serving: a repository that a model server takes, and its clients."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import openvino as ov
import pytest
import yaml
from transformers import AutoTokenizer

from tests.helpers import kserve, tiny
from tests.helpers.export_place import REVIEWS, jpqd, other_data

ROOT = Path(__file__).parents[3]
SERVING = ROOT / "docs" / "serving"
SCHEMA = json.loads((ROOT / "tests" / "data" / "ovms_config.schema.json").read_text())
LONG = "a film that is so very long and dull that nobody i know will ever see the end of it " * 3
TEXTS = [*REVIEWS[:3], LONG, "größe & <unknown>, \U0001f600"]
FUSED = ("--fuse-tokenizer",)


@pytest.fixture(scope="module", params=[(), FUSED], ids=["tokens", "texts"])
def repository(trained: Path, request: pytest.FixtureRequest) -> Path:
    out = trained / f"served{len(request.param)}"
    return _exported("jpqd", trained / "runs", out, *request.param)


def _exported(stage: str, runs: Path, out: Path, *more: object) -> Path:
    done = jpqd("export", stage, "--runs", runs, "--layout", "ovms", "--out", out, *more)
    assert done.exit_code == 0, done.output
    return out


def _client(repository: Path, server: str, *texts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SERVING / "client.py", repository, *texts, "--server", server]
    return subprocess.run(command, capture_output=True, text=True, env=tiny.environment())


def test_the_config_is_one_that_the_server_accepts(repository: Path) -> None:
    config = json.loads((repository / "config.json").read_text())
    jsonschema.validate(config, SCHEMA)
    (entry,) = config["model_config_list"]
    assert entry["config"] == {"name": "jpqd", "base_path": "models/jpqd"}


def test_the_schema_refuses_what_the_server_would(repository: Path) -> None:
    config = json.loads((repository / "config.json").read_text())
    for broken in ({"name": "jpqd"}, {"name": "jpqd", "base_path": "x", "bathc_size": 1}):
        config["model_config_list"][0]["config"] = broken
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(config, SCHEMA)


def test_a_version_is_a_numbered_folder_with_one_ir(repository: Path) -> None:
    (version,) = (repository / "models" / "jpqd").iterdir()
    assert version.name == "1"
    xml, weights = sorted(version.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (xml.suffix, weights.name) == (".xml", f"{xml.stem}.bin")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (xml, weights))


def test_the_client_says_what_the_ir_says(trained: Path, repository: Path) -> None:
    fused = not (repository / "client" / "tokenizer.json").exists()
    with kserve.served(repository) as (address, models):
        done = _client(repository, address, *TEXTS)
    assert done.returncode == 0, done.stderr
    told = [line.split("\t")[0].split() for line in done.stdout.splitlines()]
    assert len(told) == len(TEXTS)
    for (label, share), logits in zip(told, _asked(trained, repository, fused), strict=True):
        assert label == str(int(logits.argmax()))
        expected = np.exp(logits.max()) / np.exp(logits).sum()
        assert float(share) == pytest.approx(float(expected), abs=1e-4)
    first = models["jpqd"].asked[3]["inputs"][0]
    assert (first["datatype"], first["shape"]) == (("BYTES", [1]) if fused else ("INT64", [1, 32]))


def _asked(trained: Path, repository: Path, fused: bool) -> list[Any]:
    """Ask the IR itself, with the stage's own tokenizer."""
    (xml,) = repository.glob("models/jpqd/1/*.xml")
    compiled = ov.compile_model(xml, "CPU", kserve.F32)
    if fused:
        return [compiled({"text": [text]})["logits"][0] for text in TEXTS]
    tokenizer = AutoTokenizer.from_pretrained(trained / "runs" / "tiny" / "jpqd")
    encoded = [
        tokenizer(text, truncation=True, max_length=32, return_tensors="np") for text in TEXTS
    ]
    return [compiled(dict(tokens))["logits"][0] for tokens in encoded]


def test_a_fixed_shape_is_filled_by_the_client(trained: Path, tmp_path: Path) -> None:
    shape = ("--shape", "static:1,16")
    repository = _exported("jpqd", trained / "runs", tmp_path / "static", *shape)
    with kserve.served(repository) as (address, models):
        done = _client(repository, address, "good", LONG)
    assert done.returncode == 0, done.stderr
    shapes = [tensor["shape"] for body in models["jpqd"].asked for tensor in body["inputs"]]
    assert shapes == [[1, 16]] * 6


def test_a_regression_of_two_texts_is_served(tmp_path: Path) -> None:
    rows = [f"alpha {i % 7}\tbeta {i % 5}\t{(i % 7 + i % 5) / 2}" for i in range(120)]
    settings = ("task.text=[one, two]", "task.label=score")
    folder = other_data(tmp_path, ["one\ttwo\tscore", *rows], *settings)
    expected = json.loads(jpqd("predict", folder, "alpha 3", "beta 1", "--json").stdout)
    for name, more in (("tokens", ()), ("texts", FUSED)):
        repository = _exported("teacher", folder.parents[1], tmp_path / name, *more)
        with kserve.served(repository) as (address, _):
            done = _client(repository, address, "alpha 3\tbeta 1")
        assert done.stdout.startswith("value "), done.stderr
        assert float(done.stdout.split()[1]) == pytest.approx(expected["value"], abs=0.05)


def test_the_client_tells_what_the_server_refuses(repository: Path) -> None:
    with kserve.served(repository) as (address, models):
        models["other"] = models.pop("jpqd")
        refused = _client(repository, address, "good")
    assert refused.returncode == 1
    assert "404" in refused.stderr and "no such model" in refused.stderr
    gone = _client(repository, address, "good")
    assert gone.returncode == 1 and "no server answers" in gone.stderr


def test_the_card_says_how_to_serve_and_ask(repository: Path) -> None:
    card = (repository / "README.md").read_text()
    assert "ovms --config_path config.json --rest_port 8000" in card
    assert "http://localhost:8000/v2/models/jpqd/infer" in card
    named = {name for name in ("client/config.json", "client/tokenizer.json") if name in card}
    assert named == {f"client/{path.name}" for path in (repository / "client").iterdir()}


def test_the_composed_service_reads_the_config_from_its_mount() -> None:
    service = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["model-server"]
    (mount,) = service["volumes"]
    assert mount["read_only"]
    assert f"--config_path {mount['target']}/config.json" in service["command"]


def test_the_image_gets_everything_that_the_package_is_built_from() -> None:
    lines = (SERVING / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert copied >= {"jpqd", "export", "runtime_bench", "cli.py", "pyproject.toml", "LICENSE"}
    assert all((ROOT / name).exists() for name in copied)
