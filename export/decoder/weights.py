"""The weights of a decoder's IR in fewer bits, by NNCF."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export import convert
from export.decoder import ask, given, measure, room
from export.decoder.measure import Windows
from export.decoder.options import Options, WeightsTarget
from export.decoder.tally import Tally, in_logs
from export.names import MODEL
from jpqd.core import artifact, files
from jpqd.core.errors import RunError, UserError
from jpqd.core.names import MANIFEST, PREDICTIONS
from jpqd.data import splits, texts
from jpqd.recipe.contracts import Context
from jpqd.tasks.causal_lm import RunningText, windows_of

_MODES = {
    ("int8", False): nncf.CompressWeightsMode.INT8_ASYM,
    ("int8", True): nncf.CompressWeightsMode.INT8_SYM,
    ("int4", False): nncf.CompressWeightsMode.INT4_ASYM,
    ("int4", True): nncf.CompressWeightsMode.INT4_SYM,
    ("nf4", False): nncf.CompressWeightsMode.NF4,
    ("cb4", False): nncf.CompressWeightsMode.CB4,
    ("mxfp4", False): nncf.CompressWeightsMode.MXFP4,
}
_WORDS = {
    "awq": ("awq",),
    "scale_estimation": ("scale_estimation",),
    "awq_se": ("awq", "scale_estimation"),
    "gptq": ("gptq",),
    "awq_gptq": ("awq", "gptq"),
}
_HALVINGS = 5
_LEAST = 1e-6
"""NNCF takes a ratio of 0 for 1."""
_CHOSEN_ON = 16
"""Windows of train on which a divergence is measured."""
_NOT_COPIED = (MANIFEST, PREDICTIONS, MODEL, MODEL.replace(".xml", ".bin"))


def write(stage: Options, ctx: Context) -> dict[str, Any]:
    """Compress the IR of the stage before into `ctx.out`, and measure both."""
    base = ctx.inputs[stage.needs[0]]
    before = artifact.open_sealed(base).manifest.metrics
    if before.get("task") != "causal_lm" or "weights" in before:
        raise UserError(
            f"{ctx.stage}: {stage.needs[0]} is no IR of a decoder with whole weights. Give a stage "
            "of `use: ov_ir` of a task with `use: causal_lm`."
        )
    beside = ctx.inputs[stage.beside] if stage.beside else base
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    if stage.beside:
        measure.refuse_other(beside, tokenizer)
    work = _Work(stage, ctx, base, tokenizer)
    ratio = work.found() if stage.target else stage.ratio
    work.compress(ratio, ctx.out)
    for path in base.iterdir():
        if path.name not in _NOT_COPIED and path.is_file():
            shutil.copyfile(path, ctx.out / path.name)
    windows = measure.of_task(ctx.task, tokenizer, ctx.cache, ctx.progress)
    return {
        "weights": {"format": stage.format, "method": stage.how, "ratio": ratio},
        "check": None,
        "ir": {MODEL.partition(".")[0]: room.of_ir(ctx.out)},
        "texts": 1,
        "task": windows.kind.use,
        "model": {**before["model"], "precision": stage.format.upper()},
        **windows.facts,
        **measure.figures(ctx.out, windows, beside, ctx.out, ctx.progress),
    }


class _Work:
    """The compression of one IR, again and again where a target is to be met."""

    def __init__(
        self, stage: Options, ctx: Context, base: Path, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.stage, self.ctx, self.base, self.tokenizer = stage, ctx, base, tokenizer

    def compress(self, ratio: float | None, out: Path) -> None:
        """Write the IR with this share of four bits."""
        stage = self.stage
        self.ctx.progress.say(f"    {stage.format}, {stage.how}" + _share(ratio))
        out.mkdir(parents=True, exist_ok=True)
        model = convert.read(self.base / MODEL)
        words = self._keywords(ratio, {port.get_any_name() for port in model.inputs})
        nncf.set_log_level(logging.ERROR)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # bars belong with what else is said
                made = nncf.compress_weights(model, mode=_MODES[stage.format, stage.sym], **words)
        except nncf.InvalidGroupSizeError as error:
            remedy = "Give one that does, such as a smaller power of two."
            if stage.format == "mxfp4":
                remedy = "mxfp4 has no other: choose another format."
            raise UserError(
                f"{self.ctx.stage}: group_size {words.get('group_size', 32)} does not divide the "
                f"width of every layer. {remedy}"
            ) from error
        except (RuntimeError, ValueError, nncf.ValidationError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"{self.ctx.stage}: NNCF could not compress it: {reason}") from error
        ov.save_model(made, out / MODEL, compress_to_fp16=False)

    def _keywords(self, ratio: float | None, inputs: set[str]) -> dict[str, Any]:
        stage = self.stage
        if stage.format == "int8":
            return {}
        words: dict[str, Any] = dict.fromkeys(_WORDS.get(stage.how, ()), True)
        if words or stage.metric:
            inputs_of = (given.tokens(ids) for ids in self.windows())
            items = [{name: one[name] for name in inputs} for one in inputs_of]
            words["dataset"] = nncf.Dataset(items)
            words["subset_size"] = stage.samples
            words["advanced_parameters"] = _that_read(stage.samples)
        if stage.metric:
            words["sensitivity_metric"] = nncf.SensitivityMetric(stage.metric)
        if stage.format != "mxfp4":
            words["group_size"] = stage.group_size or 64
        share = None if ratio is None else max(ratio, _LEAST)
        return {**words, "ratio": share, "all_layers": stage.embedding == "int4" or None}

    def windows(self) -> list[list[int]]:
        """Return windows of the calibration texts, drawn without order."""
        found = self._of_files() if self.stage.calibration else self._train().ids
        count = min(self.stage.samples, len(found))
        chosen = np.random.default_rng(self.ctx.seed).choice(len(found), count, replace=False)
        return [list(found[row]) for row in chosen.tolist()]

    def _of_files(self) -> list[list[int]]:
        task = self.ctx.task
        assert isinstance(task, RunningText)
        lines = [line for file in self.stage.calibration or () for part in texts.lines(file)
                 for line in part]  # fmt: skip
        ids = self.tokenizer("\n".join(lines), add_special_tokens=False, verbose=False)["input_ids"]
        return [one.ids for one in windows_of(task, ids, self.tokenizer.bos_token_id)]

    def _train(self) -> Windows:
        ctx = self.ctx
        data = splits.prepare(ctx.task, self.tokenizer, ctx.cache, ctx.progress)
        table = data.split("train")
        labels = [np.array(row) for row in table["labels"][:]]
        return Windows("train", table["input_ids"][:], labels, data.kind, {})

    # A target.

    def found(self) -> float:
        """Return the share of four bits that meets the target and gives up the least for it."""
        target = self.stage.target
        assert target is not None
        place = self.ctx.work / "tried"
        share = self._small(target, place) if target.size_mb else self._near(target, place)
        files.remove(place)
        return share

    def _small(self, target: WeightsTarget, place: Path) -> float:
        """Find the least share with which the IR is small enough."""
        limit = target.size_mb or 0.0

        def size(share: float) -> float:
            self.compress(share, place)
            found = room.of_ir(place) / 1e6
            self.ctx.progress.say(f"    {found:.4g} MB")
            return found

        if size(0.0) <= limit:
            return 0.0
        if (least := size(1.0)) > limit:
            raise UserError(
                f"{self.ctx.stage}: target size_mb: {limit:g} cannot be reached: with four bits "
                f"for all layers it is {least:.4g} MB. Set embedding: int4, or raise it."
            )
        return _last(lambda share: size(1 - share) <= limit, lambda share: 1 - share)

    def _near(self, target: WeightsTarget, place: Path) -> float:
        """Find the largest share with which predictions stay near enough."""
        limit, windows = target.kl or 0.0, self._train().some(_CHOSEN_ON)
        model = ask.openvino(self.base, ask.ACCURATE)

        def near(share: float) -> bool:
            self.compress(share, place)
            tally, tried = Tally(windows.kind), ask.openvino(place, ask.ACCURATE)
            for ids, labels in zip(windows.ids, windows.labels, strict=True):
                tally.add(tried(ids), labels, in_logs(model(ids)))
            kl = float(tally.figures()["kl"])
            self.ctx.progress.say(f"    KL {kl:.4f} on {len(windows.ids)} windows of train")
            return kl <= limit

        if near(1.0):
            return 1.0
        share = _last(near, lambda share: share)
        if not share and not near(0.0):
            self.ctx.progress.warn(f"target kl: {limit:g} is missed even with eight bits")
        return share


def _that_read(samples: int) -> nncf.AdvancedCompressionParameters:
    """Let every method read all windows: NNCF stops at 32, 64 or 128 by itself."""
    return nncf.AdvancedCompressionParameters(
        awq_params=nncf.AdvancedAWQParameters(subset_size=samples),
        scale_estimation_params=nncf.AdvancedScaleEstimationParameters(subset_size=samples),
        gptq_params=nncf.AdvancedGPTQParameters(subset_size=samples),
    )


def _last(holds: Callable[[float], bool], value: Callable[[float], float]) -> float:
    """Halve the range from 0 to 1 and return the value of the last share that holds."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return value(low)


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f", {ratio:.0%} of the weights"
