"""What a worker does before anything is timed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.backends.openvino_static import OpenvinoStatic
from runtime_bench.measure.worker import Inside
from tests.helpers import irs, small

LENGTHS = (8, 24, 11, 8, 24)


def request(length: int) -> dict[str, np.ndarray]:
    ones = np.ones((1, length), dtype=np.int64)
    return {"input_ids": ones, "attention_mask": ones, "token_type_ids": 0 * ones}


@pytest.mark.parametrize("kind", [OpenvinoIr, OpenvinoStatic])
def test_every_stream_is_warmed_up_for_every_shape(
    kind: type[OpenvinoIr], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream prepares each shape by itself, which takes several times as long as an answer."""
    folder = irs.convert(small.model(), tmp_path / "small_ir")
    inside = Inside(kind(path=str(folder), threads=2, device="CPU"))
    inside.load()
    inside.prepare([request(length) for length in LENGTHS])
    asked: list[int] = []
    burst = inside.session.burst

    def note(indices: Sequence[int]) -> None:
        asked.extend(LENGTHS[index] for index in indices)
        burst(indices)

    monkeypatch.setattr(inside.session, "burst", note)
    streams = inside.open_queue().streams
    assert streams
    for length in LENGTHS:
        assert asked.count(length) >= 2 * streams
