"""A method that only the test knows shows that training calls attach, loss, step and finish."""

import json
import sys
from pathlib import Path

import pytest

import jpqd.methods
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers import tiny

TWIST = '''
"""Scales the classifier while training, and undoes it at the end."""
import json
from typing import Literal

import torch
from torch import nn

from jpqd.training.method import Hooks, Method


class Scaled(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return 2 * self.inner(x)


class Twist(Method):
    """A method for a test."""

    use: Literal["twist"]
    tag: str = "twist"

    def attach(self, model, training):
        model.classifier = Scaled(model.classifier)
        hooks = TwistHooks(self.tag, training.ctx.out.parent / "calls.jsonl")
        hooks.note(call="attach")
        return model, hooks


class TwistHooks(Hooks):
    def __init__(self, tag, log):
        self.tag, self.log, self.steps = tag, log, torch.zeros(1)

    def note(self, **what):
        with self.log.open("a") as file:
            file.write(json.dumps({"tag": self.tag, **what}) + "\\n")

    def loss(self, batch, out):
        self.note(call="loss", rows=len(batch["labels"]), outputs=list(out.logits.shape))
        return out.logits.float().square().mean()

    def step(self, progress):
        self.steps += 1
        self.note(call="step", progress=progress)
        return {f"{self.tag}_steps": self.steps.item()}

    def finish(self, model):
        self.note(call="finish", steps=self.steps.item())
        linear = [m for m in model.classifier.modules() if isinstance(m, nn.Linear)][-1]
        linear.weight.data *= 2
        linear.bias.data *= 2
        model.classifier = model.classifier.inner
        return model

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state, model):
        self.note(call="load", steps=state["steps"].item())
        self.steps = state["steps"]
'''

STAGES = """\
stages:
  plain: {use: train, epochs: 1, batch_size: 16, precision: f32}
  twisted:
    use: train
    needs: [plain]
    epochs: 2
    batch_size: 16
    precision: f32
    methods: [{use: twist, tag: first}]
  untrained: {use: train, needs: [plain], epochs: 0, methods: [{use: twist, tag: post}]}
"""


@pytest.fixture
def twisted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipes.Recipe:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    monkeypatch.setattr(jpqd.methods, "__path__", [*jpqd.methods.__path__, str(plugins)])
    for name in ("twist", "turn"):
        text = TWIST.replace("class Twist(", f"class {name.title()}(")
        (plugins / f"{name}.py").write_text(text.replace('["twist"]', f'["{name}"]'))
        monkeypatch.delitem(sys.modules, f"jpqd.methods.{name}", raising=False)
    text = tiny.RECIPE[: tiny.RECIPE.index("stages:")] + STAGES
    return recipes.load(tiny.write_recipe(tmp_path, rows=160, text=text))


def calls(run: Path, tag: str) -> list[dict[str, object]]:
    lines = (run / "calls.jsonl").read_text().splitlines()
    return [call for call in map(json.loads, lines) if call["tag"] == tag]


def test_training_calls_a_method_at_every_step_and_once_at_the_end(
    twisted: recipes.Recipe, tmp_path: Path
) -> None:
    runner.execute(twisted, tmp_path, Progress(quiet=True))
    run = tmp_path / "tiny"
    found = calls(run, "first")
    steps = [call["progress"] for call in found if call["call"] == "step"]
    batches = 152 // 16 + 1
    assert steps == [step / (2 * batches) for step in range(2 * batches)]
    losses = [call for call in found if call["call"] == "loss"]
    assert len(losses) == len(steps)
    assert all(call["rows"] == 16 and call["outputs"] == [16, 2] for call in losses)
    assert [call["call"] for call in found].count("finish") == 1
    assert found[-1]["call"] == "finish"


def test_what_a_method_logs_stands_in_the_history_of_the_stage(
    twisted: recipes.Recipe, tmp_path: Path
) -> None:
    runner.execute(twisted, tmp_path, Progress(quiet=True))
    history = json.loads((tmp_path / "tiny" / "twisted" / "history.json").read_text())
    logged = [entry for entry in history if "loss" in entry]
    assert [entry["first_steps"] for entry in logged] == [entry["step"] for entry in logged]


def test_a_method_without_epochs_is_applied_once_and_changes_no_prediction(
    twisted: recipes.Recipe, tmp_path: Path
) -> None:
    """`finish` makes permanent what was simulated: doubled logits choose the same classes."""
    runner.execute(twisted, tmp_path, Progress(quiet=True))
    found = calls(tmp_path / "tiny", "post")
    assert [call["call"] for call in found] == ["attach", "finish"]
    plain = tiny.manifest(tmp_path, "plain")["metrics"]["validation"]
    post = tiny.manifest(tmp_path, "untrained")["metrics"]["validation"]
    assert plain["accuracy"] == post["accuracy"]
    hashes = [
        tiny.manifest(tmp_path, stage)["files"]["model.safetensors"]["sha256"]
        for stage in ("plain", "untrained")
    ]
    assert hashes[0] != hashes[1]


def test_methods_attach_in_order_and_finish_in_reverse(
    twisted: recipes.Recipe, tmp_path: Path
) -> None:
    two = [{"use": "twist", "tag": "inner"}, {"use": "turn", "tag": "outer"}]
    stage = {"use": "train", "needs": ["plain"], "epochs": 0, "methods": two}
    stages = {**twisted.plain()["stages"], "both": stage}
    both = recipes.Recipe.model_validate({**twisted.plain(), "stages": stages})
    runner.execute(both, tmp_path, Progress(quiet=True))
    lines = (tmp_path / "tiny" / "calls.jsonl").read_text().splitlines()
    for call, tags in (("attach", ["inner", "outer"]), ("finish", ["outer", "inner"])):
        made = [json.loads(line)["tag"] for line in lines if f'"{call}"' in line]
        assert made[-2:] == tags


def test_a_resumed_method_goes_on_from_its_own_state(
    twisted: recipes.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jpqd.training.loop import Loop

    commit = Loop._commit

    def die_after_the_first(self: Loop, written: Path) -> None:
        commit(self, written)
        if self.ctx.stage == "twisted":
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_commit", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        runner.execute(twisted, tmp_path, Progress(quiet=True))
    monkeypatch.setattr(Loop, "_commit", commit)
    runner.execute(twisted, tmp_path, Progress(quiet=True))
    loads = [call for call in calls(tmp_path / "tiny", "first") if call["call"] == "load"]
    assert loads[0]["steps"] > 0
    assert calls(tmp_path / "tiny", "first")[-1]["steps"] == 20
