"""A hub: the flagship is downloaded once, then the cache is enough; one out of reach ends a run."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from jpqd.data import corpus
from tests.e2e.test_families import folder_of
from tests.helpers import fake_hub, tiny

TRAINED = ("teacher", "jpqd_40", "jpqd_30", "jpqd_12", "jpqd_05")
SHORT = {
    "task.max_length": "32",
    "stages.bench.seconds": "2",
    **{f"stages.{stage}.epochs": "1" for stage in TRAINED},
}
SMALL = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """`google-bert/bert-base-uncased` and `stanfordnlp/sst2`, both tiny."""
    root = tmp_path / "hub"
    dataset = root / "datasets" / "stanfordnlp" / "sst2"
    dataset.mkdir(parents=True)
    for split, rows in (("train", 64), ("validation", 32)):
        lines = [f'"{text}",{label}' for text, label in corpus.reviews(split)[:rows]]  # type: ignore[arg-type]
        (dataset / f"{split}.csv").write_text("\n".join(["sentence,label", *lines]))
    model = root / "models" / "google-bert" / "bert-base-uncased"
    shutil.copytree(folder_of("bert", tmp_path), model)
    return root


def jpqd(tmp_path: Path, endpoint: str, *more: str) -> subprocess.CompletedProcess[str]:
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0",
             "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    runs = ("--runs", str(tmp_path / "runs"))
    return subprocess.run(
        tiny.command("run", "recipes/bert_sst2.yaml", *runs, *SMALL, *more),
        env={**os.environ, **tiny.environment(), **cache},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_the_flagship_runs_from_a_hub_and_then_without_it(hub: Path, tmp_path: Path) -> None:
    with fake_hub.serving(hub) as endpoint:
        done = jpqd(tmp_path, endpoint)
    assert done.returncode == 0, done.stderr
    assert "data: train 61 rows, validation 32 rows" in done.stderr
    found = tiny.manifest(tmp_path / "runs", name="bert_sst2")
    assert found["inputs"]["model"] == {"hub": "google-bert/bert-base-uncased"}
    again = jpqd(
        tmp_path, "http://127.0.0.1:9", "--offline", "--set", "seed=1", "--until", "teacher"
    )
    assert again.returncode == 0, again.stderr
    assert "train again, because its inputs changed (seed: 42 -> 1)" in again.stderr


def test_a_repository_that_is_not_there_is_named(hub: Path, tmp_path: Path) -> None:
    with fake_hub.serving(hub) as endpoint:
        done = jpqd(tmp_path, endpoint, "--set", "model=google-bert/bert-bse-uncased")
    assert done.returncode == 2
    assert "model 'google-bert/bert-bse-uncased': the hub has no such repository" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_hub_model_with_pickled_weights_only_is_refused(hub: Path, tmp_path: Path) -> None:
    model = hub / "models" / "google-bert" / "bert-base-uncased"
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with fake_hub.serving(hub) as endpoint:
        done = jpqd(tmp_path, endpoint)
    assert done.returncode == 2
    assert "holds pytorch_model.bin: only safetensors are read" in done.stderr


def test_a_hub_out_of_reach_ends_the_run_before_any_work(tmp_path: Path) -> None:
    started = time.monotonic()
    done = tiny.run("run", "recipes/bert_sst2.yaml", "--runs", tmp_path / "runs", "--offline")
    assert time.monotonic() - started < 10
    assert done.returncode == 2
    assert "'google-bert/bert-base-uncased' is not in the cache" in done.stderr
    assert "'stanfordnlp/sst2'" in done.stderr
    assert "--set model=DIR --set task.dataset=DIR" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_hub_that_never_answers_is_given_up_within_ten_seconds(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
        started = time.monotonic()
        done = subprocess.run(
            tiny.command("run", "recipes/bert_sst2.yaml", "--runs", tmp_path / "runs"),
            env=environment,
            capture_output=True,
            text=True,
        )
    assert time.monotonic() - started < 10
    assert done.returncode == 2
    assert "the hub cannot be reached" in done.stderr
