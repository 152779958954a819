"""The stage `vocabulary`, and what is built on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from jpqd.core import bench_result
from jpqd.core.errors import DataError, RecipeError, SourceError
from jpqd.core.progress import Progress
from jpqd.data import corpus
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.run.plan import plan
from tests.helpers import spelled, tagged, tiny
from tests.helpers.distill_place import HEAD
from tests.helpers.export_place import jpqd, manifest

COMMON = "use: train, batch_size: 16, precision: f32, learning_rate: 3.0e-3"
SHORT = """\
stages:
  teacher: {use: train, epochs: 0}
  trimmed: {use: vocabulary, needs: [teacher]}
"""
CHAIN = f"""{SHORT}\
  small:
    {{{COMMON}, epochs: 1, needs: [trimmed], methods: [{{use: prune, keep: 0.5}},
     {{use: quantize, samples: 16}}, {{use: distill, teacher: trimmed}}]}}
  ir: {{use: ov_ir, needs: [small], fuse_tokenizer: true}}
  again: {{use: vocabulary, needs: [small], min_count: 3}}
"""


class Listener(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def recipe(folder: Path, stages: str, model: Path | None = None, rows: int = 96) -> Path:
    path = tiny.write_recipe(folder, rows=rows, text=HEAD + stages)
    if model is not None:
        _, _, rest = path.read_text().partition("task:")
        path.write_text(f"model: {model}\ntask:{rest}")
    return path


def run(path: Path, progress: Progress | None = None) -> Path:
    runner.execute(recipes.load(path), path.parent / "runs", progress or Progress(quiet=True))
    return path.parent / "runs" / path.stem


def facts(stage: Path) -> dict[str, Any]:
    found: dict[str, Any] = manifest(stage)["metrics"]["vocabulary"]
    return found


@pytest.fixture(scope="module", params=spelled.TOKENIZERS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return recipe(folder, CHAIN, spelled.write(request.param, folder))


@pytest.fixture(scope="module")
def done(chain: Path) -> Iterator[Path]:
    yield run(chain)


def test_a_chain_is_built_on_fewer_pieces_and_a_second_run_does_nothing(
    chain: Path, done: Path
) -> None:
    steps = plan(recipes.load(chain), done)
    assert [step.status for step in steps] == ["sealed"] * 5
    count = facts(done / "trimmed")["pieces"]
    assert count["after"] < count["before"]
    assert loading.load(done / "small").get_input_embeddings().num_embeddings == count["after"]
    for stage in ("trimmed", "small", "ir"):
        core = Tokenizer.from_file(str(done / stage / "tokenizer.json"))
        assert core.get_vocab_size() == count["after"]


def test_the_ir_answers_texts_as_its_model(done: Path) -> None:
    checks = manifest(done / "ir")["metrics"]["check"]
    assert {check["same"] for check in checks.values()} == {1.0}
    assert "openvino_fused.xml" in checks


def test_a_quantized_stage_is_shortened_too(done: Path) -> None:
    before, after = facts(done / "again")["pieces"].values()
    assert after < before == facts(done / "trimmed")["pieces"]["after"]
    network = loading.load(done / "again")
    assert network.get_input_embeddings().num_embeddings == after
    assert manifest(done / "again")["metrics"]["model"]["precision"] == "INT8"


def test_train_reads_alike_and_the_rest_is_counted(done: Path) -> None:
    found = facts(done / "trimmed")
    differing = found["read_differently"]
    assert differing["train"] == {"tokens": 0.0, "texts": 0.0}
    assert 0 < differing["validation"]["tokens"] < differing["validation"]["texts"] < 1
    assert found["unknown"]["validation"]["before"] == found["unknown"]["validation"]["after"]
    rows = found["table_bytes"]["after"] / found["pieces"]["after"]
    assert rows == found["table_bytes"]["before"] / found["pieces"]["before"] == 32 * 4


def test_rows_that_read_alike_are_answered_alike(tmp_path: Path) -> None:
    """Here all rows do, because the texts of validation count too."""
    texts = texts_of(tmp_path, "validation")
    stages = SHORT.replace("[teacher]", f"[teacher], texts: {texts}")
    done = run(recipe(tmp_path, stages, spelled.write("bert", tmp_path)))
    whole, fewer = (load_file(done / stage / "predictions.safetensors")["logits"]
                    for stage in ("teacher", "trimmed"))  # fmt: skip
    assert np.array_equal(whole, fewer)
    found = facts(done / "trimmed")
    assert found["read_differently"]["validation"] == {"tokens": 0.0, "texts": 0.0}
    compared = jpqd("compare", done.name, "--runs", done.parent, "--json")
    assert json.loads(compared.stdout)["stages"][1]["stage"] == "trimmed"


def texts_of(folder: Path, split: Any, count: int = 64) -> Path:
    path = folder / "texts.txt"
    path.write_text("\n\n".join(text for text, _ in corpus.reviews(split)[:count]) + "\n")
    return path


def test_other_texts_make_the_stage_again(tmp_path: Path) -> None:
    texts = texts_of(tmp_path, "validation", 3)
    stages = SHORT.replace("needs: [teacher]}", f"needs: [teacher], texts: [{texts}]}}")
    path = recipe(tmp_path, stages, rows=16)
    done = run(path)
    assert plan(recipes.load(path), done)[1].status == "sealed"
    few = facts(done / "trimmed")["pieces"]["after"]
    texts_of(tmp_path, "validation", 60)
    assert plan(recipes.load(path), done)[1].status == "changed"
    assert facts(run(path) / "trimmed")["pieces"]["after"] > few


def test_one_line_says_what_became_of_the_vocabulary(tmp_path: Path) -> None:
    listener = Listener()
    run(recipe(tmp_path, SHORT.replace("[teacher]", "[teacher], min_count: 4")), listener)
    (line,) = [line for line in listener.said if "vocabulary" in line and "pieces" in line]
    for part in ("400 -> ", "table 0.1 -> ", "train: ", "validation: ", "unknown 0.00% -> 0.00%"):
        assert part in line


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("needs: []", "needs"),
        ("needs: [teacher], texts: a.csv", "'a.csv' is no file of texts"),
        ("needs: [teacher], min_count: 0", "greater than 0"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, keys: str, expected: str) -> None:
    path = recipe(tmp_path, SHORT.replace("needs: [teacher]", keys))
    with pytest.raises(RecipeError, match=r"stages\.trimmed") as error:
        recipes.load(path)
    assert expected in str(error.value)


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    path = recipe(tmp_path, SHORT.replace("[teacher]", f"[teacher], texts: {texts}"), rows=16)
    with pytest.raises(SourceError, match=r"texts\.txt': there is no such file"):
        run(path)
    texts.write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"texts\.txt: not UTF-8"):
        run(path)


def test_a_benchmark_asks_each_arm_in_its_own_tokens(tmp_path: Path) -> None:
    stages = f"""\
stages:
  teacher: {{{COMMON}, epochs: 1}}
  trimmed: {{use: vocabulary, needs: [teacher], min_count: 20}}
  bench: {{use: bench, needs: [teacher, trimmed], arms: ["teacher:f32", "trimmed:f32"],
          seconds: 1.0, blocks: 5, threads: 1, modes: [latency], accuracy: true}}
"""
    done = run(recipe(tmp_path, stages, spelled.write("roberta", tmp_path)))
    assert facts(done / "trimmed")["read_differently"]["validation"]["tokens"] > 0
    arms = {arm.stage: arm for arm in bench_result.read(done / "bench").arms}
    for stage in ("teacher", "trimmed"):
        accuracy = arms[stage].accuracy
        assert accuracy is not None and accuracy.source == "measured"
        known = manifest(done / stage)["metrics"]["validation"]["accuracy"]
        assert accuracy.value == known


def test_a_tag_for_each_word_works_too(tmp_path: Path) -> None:
    tagged.write(tmp_path / "data")
    path = tmp_path / "tags.yaml"
    task = f"task: {{use: token_classification, name: names, dataset: {tmp_path / 'data'}}}\n"
    head = HEAD[: HEAD.index("task:")] + task
    path.write_text(head + SHORT.replace("[teacher]", "[teacher], min_count: 60"))
    done = run(path)
    found = facts(done / "trimmed")
    assert 0 < found["read_differently"]["train"]["tokens"] < 1
    before, after = (manifest(done / stage)["metrics"]["validation"]["n"]
                     for stage in ("teacher", "trimmed"))  # fmt: skip
    assert before == after
