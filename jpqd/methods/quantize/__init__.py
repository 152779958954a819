"""Quantization: INT8 weights and activations, simulated in training, stored by the export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpqd.core import advice, cpus
from jpqd.core.errors import UserError
from jpqd.methods.quantize.options import Options
from jpqd.training.method import Hooks, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_TOGETHER = 16
"""The rows that NNCF sees at once: it looks at every weight with every batch."""


class Quantize(Options):
    """INT8 by NNCF. `epochs: 0` is post-training quantization; otherwise the scales train."""

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.quantize import place
        from jpqd.model import families
        from jpqd.training import calibration

        if families.knows(model) and not families.of(model).reads_ahead:
            raise UserError(
                f"{training.stage}: quantize is for encoders. The weights of a decoder get fewer "
                "bits after the export: use: compress_weights."
            )
        if cpus.sums_overflow() and not self.overflow_fix:
            told = "    quantize: weights of 7 bits: sums of 8 overflow on a CPU without VNNI"
            training.ctx.progress.say(told)
        if self.range == "min_max":  # extremes are the same, however rows are put together
            given = calibration.unpadded(training, self.samples, model.device, _TOGETHER)
        else:
            given = calibration.batches(training, self.samples, model.device)
        batches = list(given)
        place.place(model, [features for features, _ in batches], self._advised(model, training))
        return model, Hooks()

    def _advised(self, model: PreTrainedModel, training: Training) -> Options:
        """Add the modules of an advice that this model has: a smaller one may lack some."""
        if self.advice is None:
            return self
        there = {name for name, _ in model.named_modules()}
        told = advice.load(training.ctx.inputs[self.advice]).ignore
        more = [name for name in told if name in there]
        named = ", ".join(more) or "nothing"
        training.ctx.progress.say(f"    quantize: leaves out {named}, as {self.advice} advises")
        return self.model_copy(update={"ignore": (*self.ignore, *more)})
