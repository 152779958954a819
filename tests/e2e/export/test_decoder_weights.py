"""Weights of decoders: eight bits, four, and what is asked of them in vain."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13
from typer.testing import CliRunner

from cli import app
from export.decoder import ask, weights
from export.stages.compress_weights import CompressWeights
from jpqd.core import artifact
from jpqd.core.errors import UserError
from tests.helpers import small
from tests.helpers.decoder_run import BASE, FOUR, HEAD, INT8, RTN, figures, logits, run


def test_eight_bits_are_a_fourth_and_near(folder: Path) -> None:
    made = folder / "runs" / "lm"
    found = figures(made, "int8")
    assert 0 < found["kl"] < 0.01
    assert found["ratio"] == pytest.approx(1, abs=0.01)
    low, high = found["ratio_95"]
    assert low <= found["ratio"] <= high
    assert found["same_top1"] > 0.95
    assert figures(made, "int8", "part, deployed")["kl"] > 0
    kinds = {op.get_element_type().get_type_name() for op in
             ov.Core().read_model(made / "int8" / "openvino_model.xml").get_ops()
             if op.get_type_name() == "Constant" and op.get_output_size() and
             np.prod(op.shape) > 500}  # fmt: skip
    assert kinds == {"u8"}


def test_an_ir_of_eight_bits_opens_elsewhere(folder: Path) -> None:
    made, ids = folder / "runs" / "lm", [5, 9, 200, 31, 77]
    expected = ask.openvino(made / "int8", ask.ACCURATE)(ids)
    torch.testing.assert_close(logits(made / "int8", ids), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "how",
    [
        "format: int4, group_size: 32, method: rtn",
        "format: int4, group_size: 32, samples: 4",
        "format: int4, group_size: 32, method: awq_gptq, sym: true, samples: 4",
        "format: nf4, group_size: 32, method: scale_estimation, samples: 4",
        "format: cb4, group_size: 32, method: awq_se, samples: 4",
        "format: mxfp4",
        "format: int4, group_size: 32, embedding: int4, calibration: TEXTS, samples: 4",
        "format: int4, group_size: 32, ratio: 0.5, metric: mean_activation_magnitude, method: rtn, "
        "samples: 4",
    ],
)
def test_four_bits_are_smaller_and_further(folder: Path, how: str) -> None:
    texts = folder / "texts.txt"
    texts.write_text("a dull film\nthe cast was great\n" * 40)
    made = run(folder, INT8 + FOUR.format(how.replace("TEXTS", str(texts))))
    four, eight = (artifact.open_sealed(made / stage).manifest for stage in ("four", "int8"))
    assert four.metrics["ir"]["openvino_model"] != eight.metrics["ir"]["openvino_model"]
    assert figures(made, "int8")["kl"] < figures(made, "four")["kl"] < 2


def test_a_target_decides_how_much_gets_four_bits(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(RTN))
    whole = figures(made, "four")["kl"]
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{kl: {0.5 * whole:.6f}}}"))
    share = artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"]
    assert 0 < share < 1
    assert figures(made, "four")["kl"] < whole


def test_a_target_out_of_reach_leaves_eight_bits(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{kl: 1.0e-9}}"))
    share = artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"]
    assert share == 0
    assert figures(made, "four")["kl"] == pytest.approx(figures(made, "int8")["kl"], rel=0.2)


MISTAKES = {
    "format: int4, method: rtn, calibration: texts.txt": "weights are only rounded",
    "format: int4, method: rtn, samples: 64": "weights are only rounded",
    "group_size: 32": "eight everywhere",
    "format: mxfp4, group_size: 64": "groups of 32",
    "format: mxfp4, method: gptq": "can only be rounded",
    "format: nf4, sym: true": "nf4 has no zero point",
    "format: int4, ratio: 0.5, target: {kl: 0.1}": "Keep one of them",
    "format: int4, target: {}": "either `size_mb` or `kl`",
    "format: int4, metric: hessian_input_activation": "Give ratio, such as 0.8, or target",
    "format: int3": "int4",
}


@pytest.mark.parametrize("how", MISTAKES)
def test_what_fails_late_is_refused_in_the_recipe(folder: Path, how: str) -> None:
    path = folder / "wrong.yaml"
    path.write_text(HEAD + BASE + FOUR.format(how))
    done = CliRunner().invoke(app, ["validate", str(path)])
    assert done.exit_code == 2
    assert MISTAKES[how] in done.output


def test_a_size_out_of_reach_and_a_compressed_ir_are_refused(folder: Path) -> None:
    path = folder / "lm.yaml"
    for stages, told in (
        (FOUR.format(f"{RTN}, target: {{size_mb: 0.01}}"), "cannot be reached"),
        (FOUR.format("format: int4, method: rtn"), "group_size 64 does not divide"),
        (FOUR.format("format: int4").replace("[f32]", "[int8]"), "no IR of a decoder with whole"),
    ):
        path.write_text(HEAD + BASE + INT8 + stages)
        shutil.rmtree(folder / "runs" / "lm" / "four", ignore_errors=True)
        done = CliRunner().invoke(app, ["run", str(path), "--runs", str(folder / "runs")])
        assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
        assert not (folder / "runs" / "lm" / "four").exists()


def test_a_size_that_eight_bits_have_needs_no_four(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{size_mb: 50}}"))
    assert artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"] == 0.0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"format": "int4", "method": "rtn", "group_size": 32}, "group_size 32 .* smaller power"),
        ({"format": "mxfp4"}, "group_size 32 .* choose another format"),
    ],
)
def test_groups_that_fit_no_layer_are_refused_with_a_way_out(
    how: dict[str, Any], told: str, tmp_path: Path
) -> None:
    given = opset13.parameter([1, 8, 48], np.float32)
    weight = opset13.constant(np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32))
    product = opset13.matmul(given, weight, False, True)
    narrow = opset13.matmul(product, opset13.constant(np.ones((64, 64), np.float32)), False, True)
    ov.save_model(ov.Model([narrow], [given]), tmp_path / "openvino_model.xml")
    stage = CompressWeights(use="compress_weights", needs=("f32",), **how)
    work = weights._Work(stage, small.training(tmp_path).ctx, tmp_path, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=told):
        work.compress(None, tmp_path / "out")
