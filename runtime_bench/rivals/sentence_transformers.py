"""Static INT8 by sentence-transformers: python -m runtime_bench.rivals.sentence_transformers.

Arguments: the model's folder, the folder to write to, the file of rows that calibrate. The library
reads texts from a data set, so rows become texts again.
"""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

_MADE = "openvino_model_qint8_quantized"


def export(folder: Path, out: Path, calibration: Path) -> None:
    from optimum.intel import OVQuantizationConfig
    from sentence_transformers import SentenceTransformer, export_static_quantized_openvino_model

    model: Any = SentenceTransformer(
        str(folder), backend="openvino", device="cpu", local_files_only=True,
        model_kwargs={"export": True},
    )  # fmt: skip
    rows = json.loads(calibration.read_text())["input_ids"]
    texts = [model.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    table = out / "texts"
    table.mkdir()
    with (table / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sentence"], *([text] for text in texts)])
    model.save_pretrained(str(out))
    export_static_quantized_openvino_model(
        model, OVQuantizationConfig(num_samples=len(texts)), str(out), dataset_name=str(table),
        dataset_config_name="default", dataset_split="train", column_name="sentence",
    )  # fmt: skip
    made = next(out.rglob(f"{_MADE}.xml")).with_suffix("")
    for end in (".xml", ".bin"):
        shutil.move(made.with_suffix(end), out / f"openvino_model{end}")
    shutil.rmtree(table)
    shutil.rmtree(out / "openvino", ignore_errors=True)


if __name__ == "__main__":
    export(*(Path(argument) for argument in sys.argv[1:]))
