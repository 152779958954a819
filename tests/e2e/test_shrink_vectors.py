"""`jpqd shrink` of an embedding model: texts alone, held against its own vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jpqd.core import compression_plan, latency_table
from jpqd.model.pooling import Pooling
from runtime_bench.table import structures
from tests.helpers import embedding_place as place
from tests.helpers import quick_shrink, tiny
from tests.helpers.export_place import jpqd

TEXTS = 240


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_shrink.quick(monkeypatch)


def shrink(folder: Path, data: Path, *more: object) -> Any:
    given = ("--data", data, "--target", "speedup=1.5", "--runs", folder / "runs", "--name", "s")
    return jpqd("shrink", folder / "model", *given, *more)


def test_texts_become_a_small_model_that_is_near_its_whole_one(tmp_path: Path) -> None:
    place.write_model(tmp_path / "model", how=Pooling("mean", prompts={"q": "q: "}))
    data = tmp_path / "texts.txt"
    data.write_text("\n".join(place.texts(TEXTS)))
    done = shrink(tmp_path, data)
    assert done.exit_code == 0, done.output
    assert "cosine, n 24" in done.stdout and "of its nearest ten" in done.stdout
    assert "label" not in yaml.safe_load((tmp_path / "runs/s/shrink.yaml").read_text())["task"]
    plan = compression_plan.load(tmp_path / "runs" / "s" / "plan")
    assert plan.metric == "cosine" and plan.whole.score == pytest.approx(1, abs=1e-5)
    assert plan.chosen.kl is not None and 0 < plan.chosen.kl < 0.1
    small = tiny.manifest(tmp_path / "runs", "small_ir", "s")["metrics"]
    assert 0.9 < small["validation"]["cosine"] < 1
    assert small["model"]["encoder_share"] < 0.8
    assert compression_plan.load(tmp_path / "runs" / "s" / "first").tried[0] in plan.tried
    answer = jpqd("predict", tmp_path / "runs" / "s" / "small_ir", "a film")
    assert "numbers]" in answer.stdout
    epochs_train_the_small_model_and_keep_what_comes_before(tmp_path, data)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{text}\t{text} again\n" for text in place.texts(TEXTS)))
    given = ("--data", pairs, "--target", "size_mb=0.5", "--runs", tmp_path / "other")
    of_pairs = jpqd("shrink", tmp_path / "runs" / "s" / "model", *given, "--recipe-only")
    assert of_pairs.exit_code == 0, of_pairs.output  # a text of a pair is a text


def epochs_train_the_small_model_and_keep_what_comes_before(folder: Path, data: Path) -> None:
    def cosine() -> float:
        found = tiny.manifest(folder / "runs", "small", "s")["metrics"]["validation"]
        return float(found["cosine"])

    cut = cosine()
    done = shrink(folder, data, "--epochs", "6")
    assert done.exit_code == 0, done.output
    sealed = [line.split()[1] for line in done.stderr.splitlines() if "sealed already" in line]
    assert sealed == ["model:", "times:", "first:", "near:", "plan:", "ptq:", "ptq_ir:"]
    assert cut < cosine() < 1


def test_each_text_of_a_pair_is_a_text_of_its_own(tmp_path: Path) -> None:
    place.write_model(tmp_path / "model", how=Pooling("cls"))
    texts = place.texts(TEXTS)
    data = tmp_path / "pairs.tsv"
    data.write_text("\n".join(["a\tb", *(f"{texts[0]}\t{text}" for text in texts)]))
    done = shrink(tmp_path, data, "--recipe-only", "--text", "a,b")
    assert done.exit_code == 0, done.output
    (table,) = yaml.safe_load(done.stdout)["task"]["dataset"].values()
    rows = [json.loads(line) for line in Path(table).read_text().splitlines()]
    assert rows == [{"text": text} for text in dict.fromkeys(texts)]
    data.write_text("\n".join(["a\tb", *[f"{texts[0]}\t{texts[1]}"] * TEXTS]))
    few = shrink(tmp_path, data, "--recipe-only", "--text", "a,b")
    assert few.exit_code == 2 and "2 rows with a text are too few" in few.stderr


def test_a_model_that_does_not_say_how_it_pools_is_named(tmp_path: Path) -> None:
    place.write_model(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("\n".join(place.texts(TEXTS)))
    done = shrink(tmp_path, tmp_path / "texts.txt")
    assert done.exit_code == 2
    assert "or an embedding model (with a modules.json)" in done.stderr.replace("\n", " ")


def test_a_table_of_an_embedding_model_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_model(tmp_path / "model", how=Pooling("mean"))
    place.write_pairs(tmp_path / "data")
    for name, fewer in (("FITTED", 6), ("CHECKED", 2)):
        monkeypatch.setattr(structures, name, fewer)
    (tmp_path / "t.yaml").write_text(f"""\
name: t
model: {tmp_path / "model"}
task: {{use: embedding, name: p, dataset: {tmp_path / "data"}, text: [one, two], max_length: 24}}
stages:
  model: {{use: train, epochs: 0}}
  times: {{use: latency_table, needs: [model], precisions: [int8], seconds: 1.0, threads: 1}}
""")
    done = jpqd("run", tmp_path / "t.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    table = latency_table.load(tmp_path / "runs" / "t" / "times")
    assert (table.heads, table.neurons) == (4, 24) and len(table.checked) == 2
    assert all(one.measured_ms > 0 for one in table.checked)
    whole, least = [(4, 24)] * table.layers, [(0, 0)] * table.layers
    assert table.size_mb(whole, "int8") > table.size_mb(least, "int8")
