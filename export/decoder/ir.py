"""The folder of a decoder's IR: convert, read back, compare; a model that differs is not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from export.decoder import ask, convert, measure, room, server
from export.decoder.measure import Windows
from export.decoder.tally import Tally, in_logs
from export.names import MODEL
from export.options import Options
from export.origin import Origin
from jpqd import tasks
from jpqd.core.errors import RunError, UserError
from jpqd.core.progress import Progress
from jpqd.model import loading, size

_COMPARED = 8
"""The windows that PyTorch reads too."""
NEAR, SAME = 1e-4, 0.999
"""The relative difference of perplexities that is allowed, and the share of the same best token."""
_LEARNT = {"format": "int4", "method": "qlora"}
"""The way that weights got four bits before the export."""
_ONLY = ("shape", "precision", "embedding", "fuse_tokenizer", "layout")
"""Keys of `use: ov_ir` that are for encoders."""


def write(
    spec: Options, origin: Origin, out: Path, progress: Progress, beside: Path | None
) -> dict[str, Any]:
    """Write an export to `out` and return its metrics."""
    _refuse_keys(spec)
    origin.refuse_unusable()
    room.refuse_too_large(origin.folder)
    loading.quiet()
    network = loading.load(origin.folder)
    if origin.task:
        loading.refuse_long_windows(network, origin.task, origin.folder)
    tokenizer = loading.tokenizer_from(origin.folder)
    if beside:
        measure.refuse_other(beside, tokenizer)
    kind = tasks.of_network(network)
    progress.say("    converting the model")
    refused = convert.write(network, tokenizer, kind, out)
    convert.write_tokenizer(tokenizer, out, progress)
    server.write(out)
    if refused and not spec.check:
        raise UserError(
            f"optimum-intel does not export {network.config.model_type!r} with this version of "
            "transformers. It is tried all the same, but only compared with its model: leave "
            "`check` as it is."
        )
    windows = (
        measure.of_task(origin.task, tokenizer, origin.cache, progress)
        if origin.task
        else measure.at_random(tokenizer, kind)
    )
    facts = size.facts(network)
    return {
        "check": _checked(network, windows, out, progress) if spec.check else None,
        "model": facts.model_dump(exclude_unset=True),
        "ir": {MODEL.partition(".")[0]: room.of_ir(out)},
        "texts": 1,
        "task": kind.use,
        **({"weights": _LEARNT} if facts.precision == "INT4" else {}),
        **windows.facts,
        **(measure.figures(out, windows, beside, out, progress) if origin.task else {}),
    }


def _refuse_keys(spec: Options) -> None:
    defaults = type(spec).model_fields
    given = [name for name in _ONLY if getattr(spec, name) != defaults[name].default]
    if given:
        raise UserError(
            f"{', '.join(given)}: for models that classify. A decoder's IR takes any length; "
            "its weights get smaller with `use: compress_weights`."
        )


def _checked(
    network: PreTrainedModel, windows: Windows, out: Path, progress: Progress
) -> dict[str, Any]:
    """Compare the IR, read back from disk, with the PyTorch model, in f32."""
    some = windows.some(_COMPARED)
    tally, base = Tally(some.kind), Tally(some.kind)
    model, ir = ask.pytorch(network), ask.openvino(out, ask.ACCURATE)
    for ids, labels in zip(some.ids, some.labels, strict=True):
        expected = model(ids)
        base.add(expected, labels, None)
        tally.add(ir(ids), labels, in_logs(expected))
    found, wanted = tally.figures(), base.figures()
    gap = abs(found["perplexity"] / wanted["perplexity"] - 1)
    told = (
        f"perplexity {wanted['perplexity']:.4f} in PyTorch and {found['perplexity']:.4f} in the "
        f"IR, the same best token for {found['same_top1']:.2%} of {found['n']:,}"
    )
    if not (gap <= NEAR and found["same_top1"] >= SAME):
        raise RunError(
            f"{MODEL} differs from its model: {told} (required: within {NEAR:.2%}, "
            f"{SAME:.1%}).\nNothing was written. To export it anyway, switch the check off: "
            "--no-check, or `check: false` in a recipe."
        )
    progress.say(f"    {MODEL}: {told}")
    return {
        MODEL: {
            "rows": found["windows"],
            "answers": found["n"],
            "same": found["same_top1"],
            "same_asked": SAME,
            "kl": found["kl"],
        }
    }
