"""Gates say which arm failed by how much; slower is only what the intervals cannot explain."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jpqd.core import bench_result
from jpqd.core.bench_result import Bench
from jpqd.core.errors import UserError
from runtime_bench import ci, gates
from tests.helpers import made_bench

ARMS = {"teacher:f32": 10.0, "ptq_ir": 4.0, "jpqd_ir": 2.0}
WORKLOAD = made_bench.WORKLOAD
NOTHING = "nothing was compared: no arm and workload is in both, over the same baseline"


@pytest.fixture
def bench() -> Bench:
    return made_bench.bench(ARMS, {"teacher:f32": 0.90, "ptq_ir": 0.895, "jpqd_ir": 0.88})


def outcomes(bench: Bench, *texts: str, old: Bench | None = None) -> list[gates.Outcome]:
    return gates.outcomes(bench, [gates.parse(text) for text in texts], old or bench)


def failed(bench: Bench, *texts: str, old: Bench | None = None) -> list[str]:
    return [str(found) for found in outcomes(bench, *texts, old=old) if not found.passed]


@pytest.mark.parametrize(
    "text",
    ["speedup>=4", "ptq_ir.speedup >= 2.4", "p95_ms<=2.7", "ptq_ir.accuracy_drop<=1.0",
     "rows_per_second>=400", "size_mb<=5", "teacher:f32.p50_ms>=9", "rss_mb<=100", "slower<=0"],
)  # fmt: skip
def test_what_holds_passes(bench: Bench, text: str) -> None:
    assert failed(bench, text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speedup>=6", "speedup>=6: jpqd_ir: 5 [4.90, 5.10]"),
        ("ptq_ir.p95_ms<=5", "ptq_ir.p95_ms<=5: ptq_ir: 5.2 [5.10, 5.30]"),
        ("accuracy_drop<=1.0", "accuracy_drop<=1.0: jpqd_ir: 2"),
        ("p99_ms<=100", "p99_ms<=100: jpqd_ir: not known (needs n >= 299)"),
    ],
)
def test_a_failure_names_arm_value_and_interval(bench: Bench, text: str, said: str) -> None:
    assert failed(bench, text, "speedup>=1") == [said]


def test_accuracy_that_nobody_measured_passes_no_gate() -> None:
    assert failed(made_bench.bench(ARMS), "accuracy_drop<=1") == [
        "accuracy_drop<=1: jpqd_ir: not known (not measured of the same rows)"
    ]


@pytest.mark.parametrize("other", [{"split": "test"}, {"n": 5}, {"metric": "f1"}])
def test_accuracies_of_other_rows_are_not_subtracted(bench: Bench, other: dict[str, Any]) -> None:
    arm = bench.arm("jpqd_ir")
    assert arm.accuracy is not None
    changed = arm.model_copy(update={"accuracy": arm.accuracy.model_copy(update=other)})
    arms = [changed if one.name == arm.name else one for one in bench.arms]
    of_others = bench.model_copy(update={"arms": arms})
    assert failed(of_others, "accuracy_drop<=9") == [
        "accuracy_drop<=9: jpqd_ir: not known (not measured of the same rows)"
    ]


def test_a_gate_is_of_what_is_deployed() -> None:
    """Static copies come after it, and nobody ships them."""
    measured = made_bench.bench({"teacher:f32": 10.0, "jpqd_ir": 2.0, "jpqd_ir:static": 1.0})
    measured.arms[-1].stage = "jpqd_ir"
    (said,) = failed(measured, "speedup>=8")
    assert said == "speedup>=8: jpqd_ir: 5 [4.90, 5.10]"


def test_a_baseline_is_not_set_against_itself() -> None:
    alone = made_bench.bench({"jpqd_ir": 2.0, "jpqd_ir:f32": 5.0})
    alone.arms[-1].stage = "jpqd_ir"
    (said,) = failed(alone, "speedup>=1")
    assert said == "speedup>=1: jpqd_ir: it is the baseline. Name an arm: ARM.speedup"
    assert failed(alone, "p50_ms<=3") == []


def test_an_arm_may_have_a_dot() -> None:
    assert gates.parse("v1.2/model.gguf.p50_ms<=10").arm == "v1.2/model.gguf"


def test_slower_counts_arms(bench: Bench) -> None:
    much = made_bench.bench({**ARMS, "jpqd_ir": 2.4, "ptq_ir": 5.0})
    assert failed(much, "slower<=0", old=bench) == ["slower<=0: 2 of 3 comparisons"]
    assert failed(much, "slower<=2", old=bench) == []


def test_a_gate_does_not_pass_where_nothing_was_compared(bench: Bench) -> None:
    other = made_bench.bench({"another": 1.0})
    (said,) = failed(other, "slower<=0", old=bench)
    assert said == f"slower<=0: {NOTHING}"


def test_a_gate_does_not_pass_where_intervals_decide_nothing(bench: Bench) -> None:
    """A speedup over too few blocks has a value and no interval."""
    few = made_bench.bench({**ARMS, "jpqd_ir": 9.0})
    figures = few.measurements[0].arms["jpqd_ir"]
    figures.speedup = bench_result.Estimate(value=10 / 9)
    (said,) = failed(few, "slower<=0", old=bench)
    assert said == f"slower<=0: not known for too few blocks: jpqd_ir, latency, {WORKLOAD}"


def test_a_gate_does_not_pass_where_only_the_baselines_throughput_is_in_both() -> None:
    results = [made_bench.bench({"teacher:f32": 10.0, name: 2.0}) for name in ("old_ir", "new_ir")]
    for result in results:
        (measured,) = result.measurements
        measured.mode = "throughput"
        for figures in measured.arms.values():
            figures.latency_ms = None
    (said,) = failed(results[1], "slower<=0", old=results[0])
    assert said == f"slower<=0: {NOTHING}"


def test_speedups_over_another_baseline_or_on_other_texts_are_not_compared(bench: Bench) -> None:
    swapped = made_bench.bench({"ptq_ir": 4.0, "jpqd_ir": 3.9})
    assert failed(swapped, "slower<=0", old=bench) == [f"slower<=0: {NOTHING}"]
    assert [*gates.setup_differences(swapped, bench)] == [
        "baseline: teacher:f32 in the earlier result, ptq_ir in this one", NOTHING,
    ]  # fmt: skip
    others = made_bench.bench({**ARMS, "jpqd_ir": 2.4})
    others.workloads[0].source = "other texts"
    assert failed(others, "slower<=0", old=bench) == [f"slower<=0: {NOTHING}"]
    assert [*gates.setup_differences(others, bench)] == [
        "texts: made up in the earlier result, other texts in this one", NOTHING,
    ]  # fmt: skip


def test_a_gate_that_passes_says_by_how_much(bench: Bench) -> None:
    (passed,) = outcomes(bench, "speedup>=4")
    assert passed.passed and str(passed) == "speedup>=4: jpqd_ir: 5 [4.90, 5.10]"


def test_junit_holds_a_case_for_each_gate(bench: Bench, tmp_path: Path) -> None:
    ci.junit(outcomes(bench, "speedup>=4", "speedup>=6"), tmp_path / "gates.xml")
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    held, failure = suite.findall("testcase")
    assert held.attrib["name"] == "speedup>=4" and held.find("failure") is None
    message = failure.find("failure")
    assert message is not None and "jpqd_ir: 5 [4.90, 5.10]" in message.attrib["message"]


def test_github_gets_an_annotation_and_a_summary(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = outcomes(bench, "speedup>=4", "speedup>=6")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    ci.annotate(found)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ci.annotate(found)
    told = capsys.readouterr().err.splitlines()
    assert told == ["::error title=jpqd bench::speedup>=6: jpqd_ir: 5 [4.90, 5.10]"]
    summary = (tmp_path / "summary.md").read_text()
    assert "- passed: `speedup>=4" in summary and "- **failed**: `speedup>=6" in summary


@pytest.mark.parametrize(
    "text", ["", "speedup", "speedup=4", "speedup>=x", "speedup>=1.2.3", ">=4"]
)
def test_no_comparison_is_a_mistake(text: str) -> None:
    with pytest.raises(UserError, match="not a comparison"):
        gates.parse(text)


def test_an_unknown_figure_or_arm_is_named_with_what_there_is() -> None:
    with pytest.raises(UserError, match="did you mean 'speedup'"):
        gates.parse("speed_up>=4")
    with pytest.raises(UserError, match="did you mean 'jpqd_ir'"):
        gates.check_arms([gates.parse("jpqd_it.speedup>=4")], [*ARMS])


def test_an_arm_is_slower_beyond_the_intervals_only(bench: Bench) -> None:
    little = made_bench.bench({**ARMS, "jpqd_ir": 2.05})
    assert list(gates.slower(little, bench)) == []
    much = made_bench.bench({**ARMS, "jpqd_ir": 2.4})
    (line,) = gates.slower(much, bench)
    assert line.startswith("jpqd_ir, latency, real lengths, batch 1: 5x [4.90, 5.10] -> 4.17x")


def test_another_machine_changes_the_baseline_and_not_the_ratios(bench: Bench) -> None:
    slow = made_bench.bench({name: 2 * p50 for name, p50 in ARMS.items()})
    (line,) = gates.slower(slow, bench)
    assert line.startswith("teacher:f32") and "p50 10 ms" in line


def test_results_that_were_made_differently_say_so(bench: Bench) -> None:
    asked = bench.asked.model_copy(update={"threads": 4, "policy": "buckets"})
    other = made_bench.bench({"other": 1.0}).model_copy(update={"asked": asked})
    assert list(gates.setup_differences(bench, bench)) == []
    assert list(gates.setup_differences(other, bench)) == [
        "threads: 1 in the earlier result, 4 in this one",
        "policy: exact in the earlier result, buckets in this one",
        "baseline: teacher:f32 in the earlier result, other in this one",
        NOTHING,
    ]


def test_what_is_no_result_is_refused(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "bench.json"
    path.write_text(bench.model_dump_json())
    assert bench_result.read(path) == bench == bench_result.read(tmp_path)
    path.write_text('{"format": 2}')
    with pytest.raises(UserError, match=r"bench.json is not a bench.json of format 1: format"):
        bench_result.read(path)
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        bench_result.read(tmp_path / "none.json")
