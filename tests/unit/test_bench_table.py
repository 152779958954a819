"""What the terminal shows of a benchmark: a line for each arm, also in 80 columns."""

import io

from rich.console import Console

from jpqd.report import bench_tables
from tests.helpers import made_bench

P50 = {"teacher:f32": 7.01, "teacher:onnx_int8": 1.19, "jpqd_30_ir:static": 0.6508}


def shown(width: int) -> list[str]:
    out = io.StringIO()
    for found in bench_tables.tables(made_bench.bench(P50, {"teacher:f32": 0.9})):
        Console(file=out, width=width).print(found)
    return out.getvalue().splitlines()


def test_every_arm_is_whole_in_80_columns() -> None:
    for arm in P50:
        facts, memory, speeds = (line.split() for line in shown(80) if line.startswith(arm))
        assert facts[0] == memory[0] == speeds[0] == arm
        assert memory[1:4] == ["90", "50", "100"]
        assert speeds[-1].endswith("]") or arm == "teacher:f32"


def test_three_digits_are_shown() -> None:
    (speeds,) = [line for line in shown(80) if line.startswith("jpqd_30_ir:static")][2:]
    assert " 0.651 " in speeds and " n<299 " in speeds
    assert "10.8x [10.6, 11.0]" in speeds
