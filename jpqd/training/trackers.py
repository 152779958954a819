"""The trackers of `report_to`: callbacks of transformers, which get the curves from our loop."""

from __future__ import annotations

import math
import os
import shutil
from typing import Any

from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from jpqd.core import processes
from jpqd.recipe.contracts import Context
from jpqd.training.options import TrainOptions
from jpqd.training.steps import Steps


class Trackers:
    """Callbacks that hear what a Trainer would tell them."""

    def __init__(
        self, stage: TrainOptions, ctx: Context, model: PreTrainedModel, steps: Steps
    ) -> None:
        self.folder = ctx.out.parent / ".tracking" / ctx.stage
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(self.folder)
        kinds = get_reporting_integration_callbacks(list(ctx.report_to))  # type: ignore[no-untyped-call]
        self.callbacks = [kind() for kind in kinds]
        self.model, self.control = model, TrainerControl()
        self.arguments = _arguments(stage, ctx) if kinds else None
        self.state = TrainerState(
            max_steps=steps.total,
            num_train_epochs=math.ceil(stage.epochs),
            is_local_process_zero=processes.is_main(),
            is_world_process_zero=processes.is_main(),
        )

    def begin(self, history: list[dict[str, float]]) -> None:
        """Start the curves anew with what was logged up to here. Curves of an earlier training, or
        of steps that a kill took back, would stand among those of the stage that is sealed.
        """
        if processes.is_main():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._tell("on_init_end", 0, 0.0)
        self._tell("on_train_begin", 0, 0.0)
        for entry in history:
            figures = {name: value for name, value in entry.items() if name != "step"}
            self.log(figures, int(entry["step"]), entry["epoch"])

    def log(self, figures: dict[str, float], step: int, epoch: float) -> None:
        self._tell("on_log", step, epoch, logs=figures)

    def end(self, step: int, epoch: float) -> None:
        self._tell("on_train_end", step, epoch)

    def _tell(self, event: str, step: int, epoch: float, **facts: Any) -> None:
        self.state.global_step, self.state.epoch = step, epoch
        for callback in self.callbacks:
            hear = getattr(callback, event)
            hear(self.arguments, self.state, self.control, model=self.model, **facts)


def _arguments(stage: TrainOptions, ctx: Context) -> TrainingArguments:
    """The settings that trackers show beside the curves."""
    return TrainingArguments(
        output_dir=str(ctx.work),
        run_name=ctx.stage,
        num_train_epochs=stage.epochs,
        per_device_train_batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        lr_scheduler_type=stage.schedule,
        weight_decay=stage.weight_decay,
        max_grad_norm=stage.max_grad_norm,
        seed=ctx.seed,
        report_to=list(ctx.report_to),
        use_cpu=processes.device().type == "cpu",
    )
