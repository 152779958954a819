"""`use: robustness`: stages and IRs on the same slips, other data and parts of the split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.data import corpus
from jpqd.recipe import recipes
from jpqd.run import runner

HEAD = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 2000}
task: {name: reviews, dataset: "builtin:reviews", text: [text], label: label,
       labels: [negative, positive], max_length: 32, train_rows: 3000, report_on: part,
       holdout: 0.05, select_on: 0.02}
seed: 1
stages:
"""
STAGES = """\
  teacher: {use: train, epochs: 2, batch_size: 16, learning_rate: 3.0e-3, precision: f32,
            dropout: 0.0}
  small:
    use: train
    needs: [teacher]
    epochs: 0
    methods: [{use: prune, keep: 0.3, schedule: one_shot, round_ffn_to: 4}]
  teacher_ir: {use: ov_ir, needs: [teacher]}
"""


def run(folder: Path, stages: str, head: str = HEAD) -> Path:
    (folder / "robust.yaml").write_text(head + stages)
    recipe = recipes.load(folder / "robust.yaml")
    runner.execute(recipe, folder / "runs", Progress(quiet=True))
    return folder / "runs" / "robust"


def figures(run: Path, stage: str = "check") -> dict[str, Any]:
    found: dict[str, Any] = artifact.open_sealed(run / stage).manifest.metrics["robustness"]
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robust")
    rows = corpus.reviews("validation")[:200]
    names = ("negative", "positive")
    lines = [json.dumps({"text": text, "label": names[label]}) for text, label in rows]
    (folder / "other.jsonl").write_text("\n".join(lines))
    return run(folder, STAGES + f"""\
  irs: {{use: robustness, needs: [teacher_ir, small], noise: [0.1]}}
  check:
    use: robustness
    needs: [teacher, small, teacher_ir]
    noise: [0.1, 0.5]
    shift: {{other: {folder}/other.jsonl}}
    attack: 15
""")  # fmt: skip


def test_every_model_answers_the_same_rows_under_every_condition(done: Path) -> None:
    found = figures(done)
    wanted = {"clean", "noise 10%", "noise 50%", "other", "short", "long", "label positive"}
    for each in found.values():
        assert set(each) >= wanted
    teacher, ir = found["teacher"], found["teacher_ir"]
    sealed = artifact.open_sealed(done / "teacher").manifest.splits["part"]
    assert teacher["clean"]["accuracy"] == sealed["accuracy"]
    assert teacher["other"]["n"] == 200
    assert teacher["noise 50%"]["accuracy"] < teacher["clean"]["accuracy"] - 0.05
    for condition in wanted:  # the IR is the same model
        assert abs(ir[condition]["difference"]) < 0.01
        assert ir[condition]["same_answer"] > 0.99
    assert "difference" not in teacher["clean"]
    assert figures(done, "irs")["teacher_ir"]["noise 10%"] == {
        name: value for name, value in ir["noise 10%"].items() if name in teacher["noise 10%"]
    }
    assert found["small"]["clean"]["became_wrong"] > 0
    assert found["small"]["clean"]["js_distance"] > ir["clean"]["js_distance"]


def test_attacks_fool_models_and_some_are_carried_over(done: Path) -> None:
    found = figures(done)
    own = {name: each["attack"] for name, each in found.items()}
    assert all(one["n"] == 15 for one in own.values())
    assert own["teacher"]["accuracy"] < found["teacher"]["clean"]["accuracy"]
    assert own["teacher"]["queries"] > 5
    assert 0 < own["teacher"]["changed"] <= 0.34
    carried = found["small"]["attack on teacher"]["accuracy"]
    assert carried < found["small"]["clean"]["accuracy"]
    same = found["teacher_ir"]["attack on teacher"]
    assert same["accuracy"] == pytest.approx(own["teacher"]["accuracy"], abs=0.07)
    assert "attack on teacher" not in found["teacher"]


def test_the_report_has_its_tables_and_charts(done: Path) -> None:
    made = CliRunner().invoke(app, ["report", str(done)])
    assert made.exit_code == 0, made.stderr
    page = (done / "report.html").read_text()
    for title in ("Robustness: check", "Calibration and loyalty: check", "Slips: check"):
        assert title in page
    written = (done / "report.md").read_text()
    assert "noise 50%" in written
    assert "attack on teacher" in written
    assert CliRunner().invoke(app, ["ls", str(done)]).exit_code == 0


def test_a_kill_costs_one_condition_and_changes_nothing(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.robustness import answers

    before, asked = figures(done), []
    right = answers._answered

    def dies(model: Any, condition: Any, ctx: Any) -> Any:
        asked.append(condition.name)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return right(model, condition, ctx)

    stages = (done.parent.parent / "robust.yaml").read_text().removeprefix(HEAD)
    monkeypatch.setattr(answers, "_answered", dies)
    artifact.read(done / "check")
    import shutil

    shutil.rmtree(done / "check")
    with pytest.raises(KeyboardInterrupt):
        run(done.parent.parent, stages)
    run(done.parent.parent, stages)
    assert asked.count("clean") == 3
    assert figures(done) == before


def test_two_texts_and_a_number(tmp_path: Path) -> None:
    texts = [text for text, _ in corpus.reviews("train")[:240]]
    rows = [{"a": text, "b": "this is not so", "label": len(text) / 10 + 0.5} for text in texts]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    head = HEAD.replace(HEAD[HEAD.index("task:") : HEAD.index("seed:")],
        f"task: {{name: pairs, dataset: {{train: {tmp_path}/pairs.jsonl}}, text: [a, b], "
        "label: label, use: regression, max_length: 32}\n")  # fmt: skip
    stages = """\
  teacher: {use: train, epochs: 1, batch_size: 16, precision: f32}
  same: {use: train, needs: [teacher], epochs: 0}
  check: {use: robustness, needs: [teacher, same], noise: [0.2]}
"""
    found = figures(run(tmp_path, stages, head))
    assert set(found["same"]) == {"clean", "noise 20%"}
    assert found["same"]["noise 20%"]["difference"] == pytest.approx(0.0, abs=1e-6)
    assert CliRunner().invoke(app, ["report", str(tmp_path / "runs" / "robust")]).exit_code == 0


def test_two_texts_of_six_classes(tmp_path: Path) -> None:
    texts = [text for text, _ in corpus.reviews("train")[:360]]
    rows = [{"a": text, "b": f"it is {len(text) % 6}", "label": f"kind {len(text) % 6}"}
            for text in texts]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    head = HEAD.replace(HEAD[HEAD.index("task:") : HEAD.index("seed:")],
        f"task: {{name: pairs, dataset: {{train: {tmp_path}/pairs.jsonl}}, text: [a, b], "
        "label: label, max_length: 32, holdout: 0.3}\n")  # fmt: skip
    stages = """\
  teacher: {use: train, epochs: 1, batch_size: 16, precision: f32}
  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize, samples: 16}]}
  check: {use: robustness, needs: [teacher, ptq], noise: [0.2], attack: 4}
  worth: {use: sensitivity, needs: [teacher], samples: 20}
"""
    done = run(tmp_path, stages, head)
    found = figures(done)
    assert {f"label kind {number}" for number in range(6)} & set(found["ptq"])
    assert {"clean", "noise 20%", "attack on teacher"} <= set(found["ptq"])
    made = artifact.open_sealed(done / "worth").manifest.metrics["sensitivity"]
    assert made["measure"] == "KL"
    assert CliRunner().invoke(app, ["report", str(done)]).exit_code == 0


def test_an_attack_that_cannot_be_is_refused_first(done: Path) -> None:
    recipe = done.parent.parent / "robust.yaml"
    before = recipe.read_text()
    recipe.write_text(f"{before}  ir: {{use: robustness, needs: [teacher_ir], attack: 5}}\n")
    refused = CliRunner().invoke(app, ["run", str(recipe), "--runs", str(done.parent)])
    recipe.write_text(before)
    assert refused.exit_code == 2
    assert "Put a trained stage first" in " ".join(refused.stderr.split())


def test_an_ir_in_a_servers_repository_is_refused_first(done: Path) -> None:
    recipe = done.parent.parent / "robust.yaml"
    before = recipe.read_text()
    recipe.write_text(
        before
        + """\
  served: {use: ov_ir, needs: [teacher], layout: ovms}
  of_it: {use: robustness, needs: [teacher, served]}
"""
    )
    refused = CliRunner().invoke(app, ["run", str(recipe), "--runs", str(done.parent)])
    recipe.write_text(before)
    assert refused.exit_code == 2
    assert "served is no model folder" in refused.stderr


def test_labels_of_another_table_are_the_models(done: Path) -> None:
    """One class of the two: its number is the model's, not the first of the file."""
    folder = done.parent.parent
    texts = [text for text, label in corpus.reviews("validation")[:400] if label == 1]
    rows = [json.dumps({"text": text, "label": "positive"}) for text in texts]
    rows.append(json.dumps({"text": "unknown", "label": None}))
    (folder / "good.jsonl").write_text("\n".join(rows))
    stage = f"  good: {{use: robustness, needs: [teacher], shift: {{g: {folder}/good.jsonl}}}}\n"
    given = (folder / "robust.yaml").read_text()
    (folder / "robust.yaml").write_text(given + stage)
    made = CliRunner().invoke(app, ["run", str(folder / "robust.yaml"), "--runs", str(done.parent)])
    (folder / "robust.yaml").write_text(given)
    assert made.exit_code == 0, made.stderr
    assert "1 of" in made.stderr
    assert "no text or no label" in made.stderr
    each = figures(done, "good")["teacher"]
    assert each["g"]["n"] == len(texts)
    assert each["g"]["accuracy"] == pytest.approx(each["label positive"]["accuracy"], abs=0.1)


@pytest.mark.parametrize("name", ["negation", "clean", "choosing", "label_x"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.csv").write_text("text,label\na film,positive\n")
    path = tmp_path / "taken.yaml"
    check = f"  c: {{use: robustness, needs: [teacher], shift: {{{name}: {tmp_path}/x.csv}}}}\n"
    path.write_text(HEAD + STAGES + check)
    refused = CliRunner().invoke(app, ["validate", str(path)])
    assert refused.exit_code == (0 if name == "label_x" else 2)
    assert name == "label_x" or "is the name of other figures" in refused.stderr


def test_a_table_with_other_labels_is_named(tmp_path: Path, done: Path) -> None:
    (tmp_path / "stars.csv").write_text("text,label\na film,five\n")
    recipe = (done.parent.parent / "robust.yaml").read_text()
    (done.parent.parent / "robust.yaml").write_text(
        recipe.replace(str(done.parent.parent / "other.jsonl"), str(tmp_path / "stars.csv"))
    )
    given = ["run", str(done.parent.parent / "robust.yaml"), "--runs", str(done.parent)]
    refused = CliRunner().invoke(app, given)
    assert refused.exit_code == 2
    assert "shift.other (" in refused.stderr
    assert "stars.csv" in refused.stderr
