"""Static INT8 by optimum-intel with its defaults: python -m runtime_bench.rivals.optimum.

Arguments: the model's folder, the folder to write to, the file of rows that calibrate.
"""

import json
import sys
from pathlib import Path
from typing import Any

from jpqd import tasks
from jpqd.model import pooling

_OTHER = {"OVModelModel": "OVModelForFeatureExtraction"}


def export(folder: Path, out: Path, calibration: Path) -> None:
    import optimum.intel as intel
    from datasets import Dataset

    name = _OTHER.get(name := f"OVModel{tasks.of_folder(folder).head}", name)
    model: Any = getattr(intel, name).from_pretrained(folder, export=True, local_files_only=True)
    rows = json.loads(calibration.read_text())
    taken = {port.any_name for port in model.model.inputs}
    settings = intel.OVQuantizationConfig(bits=8, num_samples=len(rows["input_ids"]))
    intel.OVQuantizer.from_pretrained(model).quantize(
        calibration_dataset=Dataset.from_dict({k: v for k, v in rows.items() if k in taken}),
        ov_config=intel.OVConfig(quantization_config=settings),
        save_directory=out,
    )
    if tasks.pools(folder) and (found := pooling.read(folder)):
        pooling.save(found, out, model.config.hidden_size)


if __name__ == "__main__":
    export(*(Path(argument) for argument in sys.argv[1:]))
