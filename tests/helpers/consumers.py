"""What Python adds to an IR: the same texts through OpenVINO's own call and through optimum-intel.

    python -m tests.helpers.consumers TEXTS DIR [DIR ...]

One text at a time, on a quiet machine; every text goes through all of them before the next one.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import typer
from optimum.intel import OVModelForSequenceClassification
from transformers import AutoTokenizer

Way = Callable[[dict[str, Any]], Any]
ROUNDS = 3


def main(texts: list[str], folders: list[Path]) -> None:
    ways = [(folder, name, way) for folder in folders for name, way in ways_of(folder)]
    tokens = {folder: tokenized(folder, texts) for folder in folders}
    order = np.random.default_rng(0)
    times: dict[tuple[Path, str], list[float]] = {(folder, name): [] for folder, name, _ in ways}
    for round_ in range(ROUNDS):  # the first warms up
        for text in order.permutation(len(texts)):
            for folder, name, way in ways:
                given = tokens[folder][text]
                begun = time.perf_counter()
                way(given)
                if round_:
                    times[folder, name].append(time.perf_counter() - begun)
    for (folder, name), spent in times.items():
        p50, p95 = np.percentile(spent, [50, 95]) * 1000
        typer.echo(f"{folder.name}, {name}: p50 {p50:.3f} ms, p95 {p95:.3f} ms, n = {len(spent)}")


def tokenized(folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [
        dict(tokenizer(text, truncation=True, max_length=128, return_tensors="pt"))
        for text in texts
    ]


def ways_of(folder: Path) -> list[tuple[str, Way]]:
    """Return the ways to run one folder, each given tensors of PyTorch."""
    compiled = ov.Core().compile_model(folder / "openvino_model.xml", "CPU")
    names = [port.any_name for port in compiled.inputs]
    optimum: Any = OVModelForSequenceClassification.from_pretrained(folder, device="CPU")

    def plain(given: dict[str, Any]) -> Any:
        return compiled({name: given[name].numpy() for name in names})[0]

    def wrapped(given: dict[str, Any]) -> Any:
        return optimum(**given).logits

    return [("openvino", plain), ("optimum-intel", wrapped)]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).read_text().splitlines(), [Path(name) for name in sys.argv[2:]])
