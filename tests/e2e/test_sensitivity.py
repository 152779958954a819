"""`use: sensitivity`: what each part of a model is worth, measured one by one."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli import app
from jpqd.analysis import parts, sensitivity
from jpqd.core import artifact
from jpqd.core.advice import Advice
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks.regression import Regression
from tests.helpers import small

RECIPE = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: reviews, dataset: "builtin:reviews", text: [text], label: label,
       labels: [negative, positive], max_length: 32, train_rows: 640}
seed: 1
stages:
  teacher: {use: train, epochs: 6, batch_size: 16, learning_rate: 3.0e-3, precision: f32}
  worth: {use: sensitivity, needs: [teacher], samples: 100}
"""


def run(folder: Path) -> Path:
    (folder / "parts.yaml").write_text(RECIPE)
    runner.execute(recipes.load(folder / "parts.yaml"), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "parts"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("sensitivity"))


def found(run: Path) -> dict[str, Any]:
    made: dict[str, Any] = artifact.open_sealed(run / "worth").manifest.metrics["sensitivity"]
    return made


def test_every_part_is_tried_alone(done: Path) -> None:
    made = found(done)
    cells = made["cells"]
    pruned = [cell for cell in cells if "keep" in cell]
    assert len(pruned) == 2 * (4 + 2)  # two heads: one stays, or none
    assert len([cell for cell in cells if "bits" in cell]) == (2 * 4 + 2) * 3
    by_place = {(c["layer"], c["part"], c["keep"]): c for c in pruned}
    for layer in (0, 1):
        for part in ("heads", "neurons"):
            assert len(by_place[layer, part, 0.0]["gone"]) == (2 if part == "heads" else 64)
        assert by_place[layer, "heads", 0.5]["gone"] != []
        few, all_ = (by_place[layer, "neurons", keep]["divergence"] for keep in (0.75, 0.0))
        assert few <= all_ + 1e-6
    by_bits = {(c["layer"], c["part"], c["bits"]): c["divergence"] for c in cells if "bits" in c}
    for layer, part in {(c["layer"], c["part"]) for c in cells if "bits" in c}:
        assert by_bits[layer, part, 8] < by_bits[layer, part, 2] + 1e-6  # some parts say nothing
    worst = {bits: max(v for (*_, b), v in by_bits.items() if b == bits) for bits in (8, 2)}
    assert worst[8] < 0.1 * worst[2]
    assert made["whole"]["divergence"] == pytest.approx(0.0, abs=1e-9)
    assert made["rows"] == 100
    assert set(made["correlations"]) == {"fisher", "taylor", "magnitude"}
    assert made["correlations"]["fisher"] > 0.5


def test_parts_are_what_they_were_after_a_trial() -> None:
    network = small.model()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    ranks = [[float(unit) for unit in range(small.HEADS)], [1.0] * small.NEURONS] * small.LAYERS
    for units in parts.units(network, ranks):
        with parts.without(units, 0.5) as gone:
            assert units.projection.weight[:, gone[0] * units.width].abs().max() == 0
    for part in parts.of(network):
        with parts.rounded(part, 2):
            pass
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("family", small.FAMILIES)
def test_every_weight_of_a_product_belongs_to_one_part(family: str) -> None:
    network = small.model(family)
    seen = [name for part in parts.of(network) for name in part.modules]
    wanted = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)]
    assert sorted(seen[1:]) == sorted(wanted)
    assert len(seen) == len(set(seen))


def test_rounding_has_as_many_steps_as_bits() -> None:
    weight = torch.randn(4, 128)
    for bits, most in ((8, 255), (4, 16), (2, 4)):
        made = parts.rounding(weight, bits)
        groups = made.reshape(4, -1, 128 if bits == 8 else 64)
        assert all(len(group.unique()) <= most for row in groups for group in row)
    assert (parts.rounding(weight, 8) - weight).abs().max() < 0.03
    odd = parts.rounding(torch.cat([weight, 100 + weight[:, :10]], 1), 4)
    assert torch.equal(odd[:, :128], parts.rounding(weight, 4))  # the last ten are a group
    assert odd.shape == (4, 138)


def test_a_regressions_divergence_has_no_unit() -> None:
    class Trial(sensitivity._Trial):
        def __init__(self, scale: float) -> None:
            self.training = SimpleNamespace(kind=Regression())  # type: ignore[assignment]
            self.said = self.answers(scale, 0.0)

        def answers(self, scale: float, more: float) -> Predictions:
            values = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
            return predictions.of_rows(scale * (values + more), scale * values[:, 0])

    one, other = (
        trial.figures(trial.answers(scale, 0.1))["divergence"]
        for scale in (1.0, 100.0)
        for trial in [Trial(scale)]
    )
    assert one == pytest.approx(other, rel=1e-4)


def test_advice_names_what_eight_bits_break_and_a_floor() -> None:
    def cell(layer: int, kl: dict[float, float]) -> list[dict[str, Any]]:
        return [{"layer": layer, "part": "heads", "keep": keep, "divergence": own}
                for keep, own in kl.items()]  # fmt: skip

    cells = [*cell(0, {0.25: 0.01, 0.0: 0.02}), *cell(1, {0.25: 0.01, 0.0: 0.9})]
    eight = {"part": "FFN out", "bits": 8}
    cells += [
        {**eight, "layer": 1, "divergence": 0.4, "modules": ["ffn.1"]},
        {**eight, "layer": 0, "divergence": 1e-5, "modules": ["ffn.0"]},
    ]
    emptied, kept = [(1.0, 1.0), (0.0, 1.0)], [(0.0, 0.0), (0.1, 0.0)]
    assert sensitivity.advised(cells, emptied) == Advice(ignore=["ffn.1"], floor=0.08)
    assert sensitivity.advised(cells, kept).floor == 0.0  # the scores know that it is dear
    assert sensitivity.advised(cells[:2], emptied).floor == 0.0


def test_a_kill_costs_one_cell(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked = found(done), []
    answers = sensitivity._Trial._answers

    def dies(trial: Any) -> Any:
        asked.append(1)
        if len(asked) == 12:
            raise KeyboardInterrupt
        return answers(trial)

    monkeypatch.setattr(sensitivity._Trial, "_answers", dies)
    shutil.rmtree(done / "worth")
    with pytest.raises(KeyboardInterrupt):
        run(done.parent.parent)
    run(done.parent.parent)
    assert len(asked) == len(before["cells"]) + 3  # the whole model twice, one cell twice
    assert found(done) == before


def test_the_report_shows_them(done: Path) -> None:
    made = CliRunner().invoke(app, ["report", str(done)])
    assert made.exit_code == 0, made.stderr
    page = (done / "report.html").read_text()
    for what in ("pruned", "rounded"):
        assert page.count(f"What each part is worth, {what}: worth") >= 2
    assert "rank correlation of fisher" in page
