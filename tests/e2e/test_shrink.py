"""`jpqd shrink`: from a model and texts to a small IR, with its target said to be met or missed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from jpqd.core import artifact
from jpqd.core.bench_result import Estimate
from jpqd.data import corpus
from jpqd.report.shrunk import Shrunk, Verdict
from jpqd.run import shrinking
from tests.e2e import test_search as searches
from tests.helpers import quick_shrink
from tests.helpers.distill_place import Place
from tests.helpers.export_place import jpqd

TEXTS = 240


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_shrink.quick(monkeypatch)


def texts(place: Place, count: int = TEXTS) -> Path:
    path = place.folder / "texts.txt"
    path.write_text("".join(f"{text}\n" for text, _ in corpus.reviews("train")[:count]))
    return path


def table(place: Place, head: str = "text,label", count: int = TEXTS) -> Path:
    path = place.folder / "rows.csv"
    lines = [f'"{text}",{label}' for text, label in corpus.reviews("train")[:count]]
    path.write_text("\n".join([head, *lines]))
    return path


def shrink(place: Place, data: Path, *more: object, target: str = "speedup=1.3") -> Any:
    given = ("--data", data, "--target", target, "--runs", place.folder / "runs")
    return jpqd("shrink", place.teacher, *given, *more)


def test_texts_without_labels_become_a_small_ir_and_again_does_nothing(place: Place) -> None:
    data = texts(place)
    done = shrink(place, data, "--name", "small")
    assert done.exit_code == 0, done.output
    run = place.folder / "runs" / "small"
    assert "target speedup 1.3: " in done.stdout
    assert "agreement, n 24" in done.stdout
    assert "accuracy" not in done.output
    assert "Agreement is the share of texts" in (run / "report.md").read_text()
    answer = jpqd("predict", run / "small_ir", "a film")
    assert answer.exit_code == 0, answer.output
    assert jpqd("verify", "small", "--runs", run.parent).exit_code == 0
    again = shrink(place, data, "--name", "small")
    assert again.output.count("sealed already") == 10
    assert again.stdout == done.stdout
    the_recipe_does_the_same(place, run)


def the_recipe_does_the_same(place: Place, run: Path) -> None:
    copy = place.folder / "by_recipe.yaml"
    copy.write_text((run / "shrink.yaml").read_text().replace('name: "small"', "name: by_recipe"))
    done = jpqd("run", copy, "--runs", run.parent, "--until", "small")
    assert done.exit_code == 0, done.output
    assert weights(run.parent / "by_recipe") == weights(run)


def test_labels_are_used_where_the_model_knows_them_and_a_miss_is_said(place: Place) -> None:
    data = table(place)
    done = shrink(place, data, "--name", "small", target="p50_ms=0.0008")
    assert done.exit_code == 0, done.output
    assert "with labels in label" in done.stderr
    assert f"accuracy, n {TEXTS // 10}" in done.stdout
    assert "target p50_ms 0.0008: MISSED by " in done.stdout
    as_json = shrink(place, data, "--name", "small", "--json", target="p50_ms=0.0008")
    (verdict,) = json.loads(as_json.stdout)["targets"]
    assert verdict["predicted"] <= verdict["asked"] < verdict["measured"]


def test_a_missed_time_is_planned_once_more_with_a_margin(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_as(monkeypatch, 0.9)
    given = (place, texts(place), "--name", "small")
    done = shrink(*given)
    assert done.exit_code == 0, done.output
    assert "1.3: MISSED by " in done.stderr and "a margin of 1.133" in done.stderr
    assert "target speedup 1.3: reached. Measured " in done.stdout
    plan = plan_of(place.folder / "runs" / "small" / "shrink.yaml")
    assert (plan["target"], plan["margin"]) == ({"speedup": 1.3}, 1.133)
    shrink(*given, "--epochs", "1", "--recipe-only")
    assert plan_of(place.folder / "runs" / "small" / "shrink.yaml")["margin"] == 1.133
    shrink(*given, "--recipe-only", target="speedup=1.2")
    assert "margin" not in plan_of(place.folder / "runs" / "small" / "shrink.yaml")


def test_a_time_that_no_plan_reaches_leaves_what_there_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = shrink(place, texts(place), "--name", "most", target="speedup=100")
    nearest = float(most.stderr.split("nearest is ")[1].split(",")[0])
    measured_as(monkeypatch, 0.7)
    target = f"speedup={0.95 * nearest:.3g}"
    done = shrink(place, texts(place), "--name", "small", target=target)
    assert done.exit_code == 0, done.output
    assert "and a margin of 1." in done.stderr and ": MISSED by " in done.stdout
    assert "margin" not in plan_of(place.folder / "runs" / "small" / "shrink.yaml")
    assert jpqd("verify", "small", "--runs", place.folder / "runs").exit_code == 0
    again = shrink(place, texts(place), "--name", "small", target=target)
    assert "Once more" not in again.stderr and again.stdout == done.stdout


def measured_as(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Let a benchmark find a share of the speed that a plan promised."""
    monkeypatch.setattr(shrinking, "CORRECTIONS", 2)
    monkeypatch.setattr(
        Shrunk, "_measured", lambda self, name: Estimate(value=share * self._predicted(name))
    )


def plan_of(recipe: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(recipe.read_text())["stages"]["plan"]
    return found


def weights(run: Path) -> str:
    manifest = artifact.read(run / "small")
    assert manifest is not None
    return manifest.files["model.safetensors"].sha256


def test_two_texts_and_two_targets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the recipe is written, and not run
    path = place.folder / "pairs.txt"
    words = [text for text, _ in corpus.reviews("train")[:TEXTS]]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(words, words[::-1], strict=True)))
    bare = place.folder / "dense"  # no run says how many texts it reads
    shutil.copytree(place.teacher, bare)
    more = ("--target", "speedup=1.3", "--target", "size_mb=1", "--threads", "1", "--recipe-only")
    done = jpqd("shrink", bare, "--data", path, "--runs", place.folder / "runs", *more)
    assert done.exit_code == 0, done.output
    recipe = yaml.safe_load(done.stdout)
    written = place.folder / "runs" / recipe["name"] / "shrink.yaml"
    assert yaml.safe_load(written.read_text()) == recipe
    assert recipe["task"]["text"] == ["text_a", "text_b"]
    assert recipe["stages"]["plan"]["target"] == {"speedup": 1.3, "size_mb": 1.0}
    assert recipe["name"] == "dense_speedup1.3_size_mb1"
    measured = [recipe["stages"][stage] for stage in ("times", "near", "bench")]
    assert [stage["threads"] for stage in measured] == [1, 1, 1]


def test_a_stage_of_one_text_is_not_shrunk_on_two(place: Place) -> None:
    path = place.folder / "pairs.txt"
    path.write_text("".join(f"{text}\t{text}\n" for text, _ in corpus.reviews("train")[:TEXTS]))
    done = shrink(place, path, "--recipe-only")
    assert done.exit_code == 2, done.output
    assert "text_a and text_b would be read, and this model was trained on text" in done.stderr


def test_another_files_labels_are_not_taken_for_the_models(place: Place) -> None:
    done = shrink(place, table(place, "review,topic"), "--recipe-only", "--text", "review")
    task = yaml.safe_load(done.stdout)["task"]
    assert (task["use"], task["label"]) == ("classification", "topic")
    path = table(place)
    path.write_text(path.read_text().replace(",0\n", ",sports\n"))
    task = yaml.safe_load(shrink(place, path, "--recipe-only").stdout)["task"]
    assert (task["use"], task["label"]) == ("agreement", "own_answer")


def test_a_table_of_texts_alone_needs_no_labels(place: Place) -> None:
    path = place.folder / "texts.csv"
    texts = [text for text, _ in corpus.reviews("train")[:TEXTS]]
    path.write_text("\n".join(["text", *(f'"{text}"' for text in texts)]))
    for more in ((), ("--text", "text")):
        done = shrink(place, path, "--recipe-only", *more)
        assert done.exit_code == 0, done.output
        assert yaml.safe_load(done.stdout)["task"]["label"] == "own_answer"
    path.write_text("\n".join(["label", *(str(number % 2) for number in range(TEXTS))]))
    done = shrink(place, path, "--recipe-only")
    assert done.exit_code == 2
    assert "there is no column of texts beside 'label'" in done.stderr


def test_folds_are_not_taken_for_labels(place: Place) -> None:
    path = table(place)
    _, *lines = path.read_text().splitlines()
    lines = [f"{line},{number % 2}" for number, line in enumerate(lines)]
    path.write_text("\n".join(["text,Label,fold", *lines]))
    task = yaml.safe_load(shrink(place, path, "--recipe-only").stdout)["task"]
    assert (task["use"], task["label"]) == ("classification", "Label")
    path.write_text(path.read_text().replace("Label", "sort"))
    task = yaml.safe_load(shrink(place, path, "--recipe-only").stdout)["task"]
    assert (task["use"], task["label"]) == ("agreement", "own_answer"), "either could be the one"


def test_a_pruned_model_has_no_dense_one_to_be_faster_than(place: Place) -> None:
    half = "{use: prune, keep: 0.5, schedule: one_shot, samples: 32}"
    made = searches.run(place, f"  half: {{{searches.SHOT}, needs: [dense], methods: [{half}]}}\n")

    def given(target: str) -> Any:
        more = ("--data", texts(place), "--target", target, "--runs", place.folder / "runs")
        return jpqd("shrink", made / "half", *more, "--recipe-only")

    refused = given("speedup=1.2")
    assert refused.exit_code == 2
    assert "it is pruned already" in refused.stderr.replace("\n", " ")
    assert given("p50_ms=1").exit_code == 0


def test_the_fastest_model_has_to_be_looked_for(place: Place) -> None:
    done = shrink(place, texts(place), "--recipe-only", target="accuracy_drop=2")
    stages = yaml.safe_load(done.stdout)["stages"]
    assert [stages[name]["evaluations"] for name in ("first", "plan")] == [6, 6]
    done = shrink(place, texts(place), "--recipe-only", target="size_mb=1")
    stages = yaml.safe_load(done.stdout)["stages"]
    assert [stages[name]["evaluations"] for name in ("first", "plan")] == [1, 2]


MISTAKES = {
    "speedup=fast": "--target speedup=fast: give a number, such as speedup=2",
    "speed=2": "did you mean 'speedup'?",
    "speedup=0.5": "greater than 1",
    "speedup": "give a number",
}


@pytest.mark.parametrize("target", MISTAKES)
def test_a_target_that_is_none_is_named(place: Place, target: str) -> None:
    done = shrink(place, texts(place), target=target)
    assert done.exit_code == 2
    assert MISTAKES[target] in done.stderr


def test_data_that_does_not_do_is_named(place: Place) -> None:
    few = shrink(place, texts(place, 20))
    assert few.exit_code == 2 and "20 rows with a text are too few. Give 100" in few.stderr
    lost = shrink(place, place.folder / "no.txt")
    assert lost.exit_code == 2 and "there is no such file" in lost.stderr
    column = shrink(place, table(place), "--text", "txt")
    assert column.exit_code == 2 and "did you mean 'text'?" in column.stderr
    taken = shrink(place, table(place), "--runs", table(place))
    assert taken.exit_code == 2 and "is no folder. Choose a folder with --runs." in taken.stderr
    named = shrink(place, texts(place), "--name", "../out")
    assert named.exit_code == 2 and "--name ../out" in named.stderr


def test_a_model_that_has_nothing_to_say_is_named(place: Place, tmp_path: Path) -> None:
    data = texts(place)
    model = tmp_path / "model"
    shutil.copytree(place.teacher, model)
    (model / "manifest.json").unlink()
    config = json.loads((model / "config.json").read_text())

    def told(**changes: object) -> Any:
        (model / "config.json").write_text(json.dumps({**config, **changes}))
        given = ("--data", data, "--target", "speedup=2", "--runs", tmp_path / "runs")
        return jpqd("shrink", model, *given)

    masked = told(architectures=["BertForMaskedLM"])
    assert masked.exit_code == 2 and "it is a BertForMaskedLM" in masked.stderr
    more = told(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    assert more.exit_code == 2 and "its head is not trained" in more.stderr


def test_another_model_of_the_same_name_is_refused(place: Place, tmp_path: Path) -> None:
    first = shrink(place, texts(place))
    assert first.exit_code == 0, first.output
    other = shutil.copytree(place.teacher, tmp_path / "dense")
    given = ("--data", texts(place), "--target", "speedup=1.3", "--runs", place.folder / "runs")
    refused = jpqd("shrink", other, *given)
    assert refused.exit_code == 2
    assert f"is a run of {place.teacher} already" in refused.stderr.replace("\n", " ")
    taken = jpqd("shrink", place.teacher, *given, "--name", "tiny")  # the teacher's own run
    assert taken.exit_code == 2
    assert "--name NAME" in taken.stderr


def test_rows_without_a_label_are_left_out(place: Place) -> None:
    path = table(place)
    lines = path.read_text().splitlines()
    lines[-24:] = [line.rpartition(",")[0] + "," for line in lines[-24:]]
    path.write_text("\n".join(lines))
    done = shrink(place, path)
    assert done.exit_code == 0, done.output
    assert f"{TEXTS - 24} rows: text, with labels in label; 24 more lack one of them" in done.stderr


def test_a_few_labels_are_none(place: Place) -> None:
    path = table(place)
    lines = path.read_text().splitlines()
    lines[50:] = [line.rpartition(",")[0] + "," for line in lines[50:]]
    path.write_text("\n".join(lines))
    task = yaml.safe_load(shrink(place, path, "--recipe-only").stdout)["task"]
    assert (task["use"], task["label"]) == ("agreement", "own_answer")


def test_a_drop_of_nothing_may_be_asked_for() -> None:
    missed = Verdict("accuracy_drop", 0.0, 0.0, 1.25, None, None, reached=False)
    assert "MISSED by 1.25 points" in str(missed)
