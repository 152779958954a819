"""Weights in formats that can run code are refused, with the command that converts them."""

import shlex

from jpqd.core.errors import SourceError

_UNSAFE = ("pytorch_model.bin", "model.ckpt", "tf_model.h5", "flax_model.msgpack")
_CONVERT = """only safetensors are read, because the other formats can run code. To convert it:
python -c '
import sys, torch; from safetensors.torch import save_file
weights = torch.load(sys.argv[1], weights_only=True, map_location="cpu")
save_file({{name: w.clone() for name, w in weights.items()}}, sys.argv[2],
          metadata={{"format": "pt"}})' {old} {new}"""


def refuse(model: str, files: set[str]) -> None:
    unsafe = sorted(name for name in files if _can_run_code(name, files))
    if unsafe:
        places = (f"{model}/{name}" for name in (unsafe[0], "model.safetensors"))
        old, new = map(shlex.quote, places)
        command = _CONVERT.format(old=old, new=new)
        raise SourceError(f"model {model!r} holds {unsafe[0]}: {command}")


def _can_run_code(name: str, files: set[str]) -> bool:
    """Return whether a file may be pickled. The weights of an IR lie beside its graph."""
    if f"{name.removesuffix('.bin')}.xml" in files:
        return False
    return name in _UNSAFE or name.endswith((".bin", ".pt"))
