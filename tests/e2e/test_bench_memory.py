"""The memory of a process that serves, and its growth over many requests."""

from pathlib import Path

import numpy as np
import pytest

from jpqd.core import bench_result
from jpqd.core.bench_result import Soak
from runtime_bench.job.arms import Arm
from runtime_bench.measure.crew import Crew
from runtime_bench.stages.bench import Bench
from tests.helpers import irs, small, tiny
from tests.helpers.leaking import Leaking

REQUESTS = 1000
ONES = np.ones((1, 8), dtype=np.int64)


def soaked(kept: int, stop: int = 0) -> dict[str, object]:
    arm = Arm("arm", "arm", Leaking(path="nowhere", threads=1, kept=kept))
    with Crew() as crew:
        crew.start(arm, [{"input_ids": ONES}])
        assert crew.soak("arm", np.zeros(REQUESTS, np.int64), lambda: stop) == (not stop)
    return crew.facts["arm"]


def test_a_leak_of_a_known_size_is_found_and_its_absence_too() -> None:
    found, tight = soaked(20_000)["soak"], soaked(1)["soak"]
    assert isinstance(found, Soak) and isinstance(tight, Soak)
    assert found.requests == REQUESTS
    assert found.growth_mb == pytest.approx(20, abs=2)
    assert found.late_growth_mb == pytest.approx(10, abs=1)
    assert abs(tight.growth_mb) < 1


def test_memory_is_told_with_and_without_the_model() -> None:
    facts = soaked(1)
    before, serving, peak = (
        float(str(facts[key])) for key in ("rss_before_mb", "rss_serving_mb", "peak_rss_mb")
    )
    assert serving - before == pytest.approx(40, abs=4)  # its weights, 8 bytes each
    assert peak >= serving


def test_a_soak_that_is_stopped_has_no_figure() -> None:
    assert "soak" not in soaked(1, stop=2)


def test_the_growth_of_real_arms_is_in_the_file_and_the_table(tmp_path: Path) -> None:
    ir = irs.convert(small.model(), tmp_path / "small_ir")
    options = ("--length", 8, "--mode", "latency", "--seconds", "1", "--blocks", "4")
    done = tiny.run(
        "bench", ir, *options, "--threads", "1", "--soak", "300", "--out", tmp_path / "out",
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = bench_result.read(tmp_path / "out")
    assert made.asked.soak == 300 and made.complete
    for arm in made.arms:
        assert arm.soak and arm.soak.requests == 300
        assert abs(arm.soak.growth_mb) < 5
        assert arm.rss_before_mb and arm.rss_serving_mb
        assert 0 < arm.rss_serving_mb - arm.rss_before_mb < arm.peak_rss_mb
    assert "growth over 300 requests" in " ".join(done.stdout.split())


def test_a_benchmark_without_a_soak_is_settled_as_before_there_was_one() -> None:
    stage = Bench(use="bench", needs=("teacher",))
    assert "soak" not in stage.plain()
    assert stage.model_copy(update={"soak": 5}).plain()["soak"] == 5
