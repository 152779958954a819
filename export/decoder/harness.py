"""The harness of lm-eval on decoders' IRs."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.decoder import ask
from export.decoder.options import HarnessOptions
from jpqd.core import files
from jpqd.core.errors import RunError, UserError
from jpqd.recipe.contracts import Context
from jpqd.scores.metrics import Z95

_SETTINGS = "openvino.json"


def run(stage: HarnessOptions, ctx: Context) -> dict[str, Any]:
    """Let the harness measure each IR; return its figures by stage and task."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(f"{ctx.stage}: lm-eval is not installed. Try: pip install 'jpqd[lm_eval]'")
    files.write_json(ctx.work / _SETTINGS, dict(ask.SETTINGS[stage.settings]))
    found: dict[str, Any] = {}
    for name in stage.needs:
        ctx.progress.say(f"    {name}: lm-eval asks {', '.join(stage.tasks)}")
        for task, figures in _figures(_results(stage, ctx, ctx.inputs[name])):
            found[f"{name}, {task}"] = figures
    return found


def _results(stage: HarnessOptions, ctx: Context, folder: Path) -> dict[str, Any]:
    with contextlib.redirect_stdout(sys.stderr):
        import lm_eval

        model = {
            "pretrained": str(folder),
            "ov_config": str(ctx.work / _SETTINGS),
            "max_length": ctx.task.max_length,
        }
        try:
            results: dict[str, Any] = lm_eval.simple_evaluate(
                model="openvino", model_args=model, tasks=list(stage.tasks), limit=stage.limit,
                device="cpu", batch_size=1, random_seed=ctx.seed, numpy_random_seed=ctx.seed,
                torch_random_seed=ctx.seed, fewshot_random_seed=ctx.seed, log_samples=False,
                bootstrap_iters=1000,
            )  # fmt: skip
        except Exception as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
            raise RunError(f"{ctx.stage}: lm-eval failed on {folder.name}: {reason}") from error
    return results


def _figures(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each task with its figures, and an interval where the harness knows an error."""
    asked = results["n-samples"]
    for task, each in results["results"].items():
        if task not in asked and "sample_len" not in each:
            continue  # the heading of a group
        count = asked[task]["effective"] if task in asked else each["sample_len"]
        figures: dict[str, Any] = {"n": int(count)}
        numbers = {key: value for key, value in each.items() if isinstance(value, int | float)}
        for key, value in numbers.items():
            name, _, how = key.partition(",")
            if name.endswith("_stderr") or name in ("sample_len", "sample_count"):
                continue
            figures[_plain(name, how)] = float(value)
            error = numbers.get(f"{name}_stderr,{how}")
            if error is not None:
                half = Z95 * float(error)
                figures[f"{_plain(name, how)}_95"] = [value - half, value + half]
        yield task, figures


def _plain(name: str, how: str) -> str:
    return name if how in ("", "none") else f"{name} ({how})"
