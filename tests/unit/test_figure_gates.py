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


def test_names_that_will_not_be_there_are_refused_before_work() -> None:
    def refused(gate: str, *found: Manifest, models: list[str] | None = None) -> str:
        gates = [figure_gates.parse(gate)]
        with pytest.raises(UserError, match=r"--gate") as error:
            figure_gates.check(gates, found, models)
        return str(error.value)

    gates = [figure_gates.parse("robustness.clean.drop<=1")]
    figure_gates.check(gates, [], ["teacher"])
    figure_gates.check(gates, [stage({"teacher": BASE})], None)
    assert "to come" in refused("robustness.clean.drop<=1")
    assert "'ptq_ir'" in refused("robustness.ptq.clean.drop<=1", models=["teacher", "ptq_ir"])
    assert "'check'" in refused("chek.clean.drop<=1", stage({"teacher": BASE}))


def test_names_have_bars_and_noise_its_share() -> None:
    gate = figure_gates.parse("my-check.jpqd-30_ir.noise_20.drop<=1")
    assert (gate.stage, gate.model) == ("my-check", "jpqd-30_ir")
    assert figure_gates.noises([gate, figure_gates.parse("a.clean.ece<=1")]) == [0.2]


def test_a_name_with_two_meanings_is_refused() -> None:
    texts = {"label C++": BASE["clean"], "label C": BASE["clean"]}
    with pytest.raises(UserError, match=r"it may mean 'label C\+\+' or 'label C'"):
        said("check.label_c.accuracy>=0.5", {"teacher": texts, "ptq": texts})


def test_a_share_of_noise_may_have_a_fraction() -> None:
    gates = [figure_gates.parse(f"check.noise_{share}.drop<=1") for share in ("5", "12_5")]
    assert figure_gates.noises(gates) == [0.05, 0.125]


def test_the_use_names_no_stage_where_there_are_two() -> None:
    """A gate that fails for one of them would be kept by the other."""
    stages = [stage({"teacher": BASE, "ptq": PTQ}), stage({"teacher": BASE, "cut": CUT}, "later")]
    gate = figure_gates.parse("robustness.noise_10.drop<=1")
    for ask in (figure_gates.outcomes, lambda *given: figure_gates.check(*given, None)):
        with pytest.raises(UserError, match="known: check, later"):
            ask([gate], stages)
