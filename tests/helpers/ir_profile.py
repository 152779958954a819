"""Where the time of an IR goes, operation by operation, and how much of the INT8 peak it reaches.

    python -m tests.helpers.ir_profile DIR [LENGTH]

One row of LENGTH tokens (128) at a time, on a quiet machine. The peak is that of one
large INT8 product in the same runtime with the same threads.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
import typer
from openvino import opset13 as opset

REQUESTS, ROWS, SIDE = 200, 1024, 2048


def main(folder: Path, length: int) -> None:
    times, kinds = profile(folder, length)
    whole, work, peak = sum(times.values()), operations(folder, length), int8_peak()
    typer.echo(f"{folder.name}, one row of {length} tokens: {whole / 1e3:.3f} ms in operations")
    for kind, micros in times.most_common():
        typer.echo(f"| {kind} | {kinds[kind]} | {micros / 1e3:.3f} ms | {micros / whole:.1%} |")
    rate = work / whole / 1e3
    typer.echo(f"products: {work / 1e9:.3f} G operations, {rate:.0f} Gop/s over the whole time,")
    products = sum(us for kind, us in times.items() if kind.startswith("FullyConnected"))
    typer.echo(f"{work / products / 1e3:.0f} Gop/s in the products with weights alone;")
    typer.echo(f"one large INT8 product reaches {peak:.0f} Gop/s: {rate / peak:.1%} of it")


def profile(folder: Path, length: int) -> tuple[Counter[str], Counter[str]]:
    """Microseconds of a request by kind and precision of operation, and how many there are."""
    compiled = ov.compile_model(
        folder / "openvino_model.xml", "CPU", {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": "YES"}
    )
    random = np.random.default_rng(0)
    request = compiled.create_infer_request()
    inputs = {port.get_any_name(): np.ones((1, length), np.int64) for port in compiled.inputs}
    inputs["input_ids"] = random.integers(5, 2000, (1, length))
    if "token_type_ids" in inputs:
        inputs["token_type_ids"][:] = 0
    times: Counter[str] = Counter()
    for number in range(-20, REQUESTS):
        request.infer(inputs)
        for node in request.profiling_info if number >= 0 else ():
            kind = f"{node.node_type} {node.exec_type.rpartition('_')[2]}"
            times[kind] += node.real_time.total_seconds() * 1e6 / REQUESTS
    kinds = Counter(
        f"{node.node_type} {node.exec_type.rpartition('_')[2]}"
        for node in request.profiling_info
        if node.real_time.total_seconds()
    )
    return Counter({kind: spent for kind, spent in times.items() if spent}), kinds


def operations(folder: Path, length: int) -> float:
    """Multiplications and additions of the products with weights."""
    total = 0.0
    for node in ov.Core().read_model(folder / "openvino_model.xml").get_ops():
        if node.get_type_name() == "MatMul":
            shape = node.input_value(1).get_partial_shape()
            if shape.is_static and len(shape) == 2:
                rows = length if "encoder" in node.get_friendly_name() else 1
                total += 2.0 * rows * np.prod(shape.to_shape())
    return total


def int8_peak() -> float:
    """Gop/s of a product of 8-bit activations and 8-bit weights."""
    given = opset.parameter([ROWS, SIDE], np.float32)
    left = opset.fake_quantize(given, -1.0, 1.0, -1.0, 1.0, 256)
    weights = np.random.default_rng(0).uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    right = opset.fake_quantize(opset.constant(weights), -1.0, 1.0, -1.0, 1.0, 255)
    model = ov.Model([opset.matmul(left, right, False, True)], [given])
    compiled = ov.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request, data = compiled.create_infer_request(), np.zeros((ROWS, SIDE), np.float32)
    best = np.inf
    for _ in range(30):
        begun = time.perf_counter()
        request.infer([data])
        best = min(best, time.perf_counter() - begun)
    return 2 * ROWS * SIDE * SIDE / best / 1e9


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 128)
