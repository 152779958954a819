"""What a worker does before anything is timed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
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


@pytest.mark.parametrize("kind", [OpenvinoIr, OpenvinoStatic])
def test_a_static_ir_answers_rows_of_any_length(kind: type[OpenvinoIr], tmp_path: Path) -> None:
    """Alone it takes two rows of 24 tokens; the answers are those of the IR with any shape."""
    folder = irs.convert(small.model(), tmp_path / "small_ir")
    inside = Inside(OpenvinoIr(path=str(folder), threads=2, device="CPU", precision="f32"))
    inside.load()
    requests = [request(length) for length in LENGTHS]
    expected = inside.logits(requests)

    graph = ov.Core().read_model(folder / "openvino_model.xml")
    graph.reshape({port: [2, 24] for port in graph.inputs})
    fixed = tmp_path / "static"
    shutil.copytree(folder, fixed)
    ov.save_model(graph, fixed / "openvino_model.xml", compress_to_fp16=False)
    static = Inside(kind(path=str(fixed), threads=2, device="CPU", precision="f32"))
    static.load()
    for one, other in zip(static.logits(requests), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


def test_static_copies_answer_requests_as_they_come(tmp_path: Path) -> None:
    folder = irs.convert(small.model(), tmp_path / "small_ir")
    inside = Inside(OpenvinoStatic(path=str(folder), threads=2, device="CPU"))
    inside.load()
    inside.prepare([request(length) for length in LENGTHS])
    inside.open_queue()
    late, _ = inside.serve(range(len(LENGTHS)), 200.0, seed=1)
    assert (late > 0).all()
    assert (late < 2000).all()
