"""Gates on what an analysis found."""

from __future__ import annotations

from typing import Any

import pytest

from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.report import figure_gates

BASE = {"clean": {"n": 100, "accuracy": 0.9, "ece": 0.02}}
PTQ = {
    "clean": {"n": 100, "accuracy": 0.89, "difference": -0.01, "difference_95": [-0.03, 0.01],
              "ece": 0.04, "ece_95": [0.02, 0.06]},
    "noise 10%": {"n": 100, "accuracy": 0.8, "difference": -0.02, "difference_95": [-0.05, 0.0]},
}  # fmt: skip
CUT = {"noise 10%": {"n": 100, "accuracy": 0.8, "difference": 0.0, "difference_95": [-0.1, 0.1]}}


def stage(models: dict[str, Any], name: str = "check") -> Manifest:
    return Manifest.of(
        name, "robustness", "figures", 1.0,
        fingerprint="", inputs={}, metrics={"robustness": models},
    )  # fmt: skip


def said(gate: str, models: dict[str, Any] | None = None) -> str:
    stages = [stage(models or {"teacher": BASE, "ptq": PTQ, "cut": CUT})]
    return str(figure_gates.outcomes([figure_gates.parse(gate)], stages)[0])


def test_every_model_must_keep_a_gate_and_the_worst_is_named() -> None:
    assert said("check.noise_10.drop<=2") == "kept: check.noise_10.drop<=2 (ptq: 2 [0, 5])"
    assert said("robustness.noise_10.drop<=1.5").startswith("NOT kept")
    assert "(ptq: 2 " in said("robustness.noise_10.drop<=1.5")
    assert said("check.cut.noise_10.drop<=0").startswith("kept")
    assert said("check.ptq.clean.ece<=0.05").endswith("(ptq: 0.04 [0.02, 0.06])")
    assert said("check.ptq.clean.accuracy>=0.9").startswith("NOT kept")
    assert said("check.noise_10.drop<=1", {"teacher": BASE}).startswith("NOT kept")


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("check.noise_10.dorp<=1", "did you mean 'drop'?"),
        ("check.noise_11.drop<=1", "did you mean 'noise_10'?"),
        ("chekc.noise_10.drop<=1", "did you mean 'check'?"),
        ("check.pqt.clean.ece<=1", "did you mean 'ptq'?"),
        ("check.teacher.clean.drop<=1", "teacher is the baseline"),
        ("check.noise_10.drop<1", "is not a comparison"),
        ("drop<=1", "is not a comparison"),
    ],
)
def test_a_gate_that_nothing_can_keep_is_a_mistake(gate: str, says: str) -> None:
    with pytest.raises(UserError, match=r"--gate") as refused:
        said(gate)
    assert says in str(refused.value)


def test_a_stage_that_will_not_be_there_is_refused_before_work() -> None:
    gates = [figure_gates.parse("robustness.clean.drop<=1")]
    figure_gates.check_names(gates, [], ["robustness"])
    figure_gates.check_names(gates, [stage({"teacher": BASE})], [])
    with pytest.raises(UserError, match="robustness"):
        figure_gates.check_names(gates, [], ["sensitivity"])
