"""A transformers Trainer with the methods' hooks, averaging, whole checkpoints, a clean stop."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from jpqd.core import artifact, interrupts, processes
from jpqd.core.errors import RunError
from jpqd.core.progress import TrainingProgress
from jpqd.data import batching, splits
from jpqd.data.batching import LengthGrouped
from jpqd.model import shrink, structure
from jpqd.training import evaluation, resize
from jpqd.training.averaging import Average
from jpqd.training.checkpoints import Checkpoints
from jpqd.training.method import Hooks, Training
from jpqd.training.options import TrainOptions

_AVERAGE = "average.safetensors"
_LOOP = "loop.json"
EVAL_BATCH = 64


class Loop(Trainer):
    """The Trainer's own loop. What differs: order, loss, evaluation, checkpoints, stopping."""

    def __init__(
        self,
        *,
        stage: TrainOptions,
        training: Training,
        hooks: list[Hooks],
        **trainer: Any,
    ) -> None:
        self.stage, self.ctx, self.hooks = stage, training.ctx, hooks
        self.prepared, self.bf16, self.kind = training.data, training.bf16, training.kind
        self.checkpoints = Checkpoints(self.ctx.work)
        self.average = Average(stage.average) if stage.average else None
        self.chooser = self.kind.chooser(self.ctx.task)
        self.best: dict[str, Any] = {"step": None, "value": -math.inf}
        self.stopped_by = 0
        self.samples, self.seconds = 0, 0.0
        self.hook_metrics: dict[str, float] = {}
        super().__init__(train_dataset=self.prepared.splits["train"], **trainer)
        self.network: PreTrainedModel = trainer["model"]
        self.model_accepts_loss_kwargs = False  # our loss is a mean, also over micro-batches
        self.remove_callback(PrinterCallback)
        self.conductor = _Conductor(self)
        self.add_callback(self.conductor)

    def run(self) -> None:
        """Start, or go on from the newest whole checkpoint, to the end or to a signal."""
        if processes.is_main():  # sets aside what is not whole, so that all see the same newest one
            self.checkpoints.newest(self.ctx.progress)
        processes.barrier()
        steps = self.checkpoints.steps()
        folder = self.checkpoints.at(steps[0]) if steps else None
        if folder:
            self._restore(folder)
        elif self.average:
            self.average.start(self.network)
        try:
            self.train(resume_from_checkpoint=str(folder) if folder else None)
        finally:
            self.conductor.close()

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """Decay would pull the range of a quantizer together, whatever it holds."""
        found: list[str] = super().get_decay_parameter_names(model)
        return [name for name in found if shrink.HOOKS not in name]

    # The order of rows, the loss.

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        lengths = splits.column(self.prepared.splits["train"], "length")
        per_epoch = self.steps_per_epoch

        def epoch() -> int:
            return self.state.global_step // per_epoch

        return LengthGrouped(lengths, self.stage.batch_size, self.ctx.seed, epoch)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.prepared.splits["train"]) / self.stage.batch_size)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The task's loss, or the share of it that stays, plus what the methods add: row means."""
        for hook in self.hooks:
            inputs = hook.prepare(inputs)
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = model(**batching.features(inputs))
        share = math.prod(hook.task_weight for hook in self.hooks)
        labels = inputs["labels"]
        answers = self.kind.answers(outputs.logits.float(), labels)
        loss = share * self.kind.loss(answers, self.kind.targets(labels))
        for hook in self.hooks:
            term = hook.loss(inputs, outputs)
            loss = loss if term is None else loss + term
        return (loss, outputs) if return_outputs else loss

    def before_step(self, progress: float) -> None:
        """Methods may change the model here; what is kept beside its parameters follows."""
        for hook in self.hooks:
            self.hook_metrics.update(hook.step(progress))
            if (slices := hook.resized()) is not None:
                resize.optimizer(self.optimizer, slices, self.network)
                if self.average:
                    self.average.resize(slices, self.network)

    # Choosing a checkpoint.

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Figures on the split that chooses, in f32, of the averaged weights if there are any."""
        split = self.prepared.splits["select"]
        with self.average.applied(self.network) if self.average else nullcontext():
            found = evaluation.predict(
                self.network, split, self.kind, self.data_collator, EVAL_BATCH
            )
        figures = self.kind.score(found)
        ready = all(hook.ready for hook in self.hooks)
        if ready and figures[self.chooser] > self.best["value"]:
            self.best = {"step": self.state.global_step, "value": figures[self.chooser]}
        logs = {f"select_{k}": v for k, v in figures.items() if isinstance(v, int | float)}
        self.log(dict(logs))
        self.ctx.progress.say(
            f"    step {self.state.global_step}: {self.chooser} {figures[self.chooser]:.4f} "
            f"on {found.count} rows that choose"
        )
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logs)
        return logs

    def load_best(self) -> None:
        """The weights of the checkpoint that was chosen become the model's."""
        folder = self.checkpoints.at(self.best["step"] or self.state.global_step)
        if self.average:
            self.average.load(folder / _AVERAGE, self.network)
            self.average.swap(self.network)
        else:
            self._load_from_checkpoint(str(folder))

    def facts(self) -> dict[str, Any]:
        """What the manifest says about the training itself."""
        return {
            "steps": self.state.global_step,
            "best_step": self.best["step"],
            f"select_{self.chooser}": self.best["value"] if self.best["step"] else None,
            "samples_per_second": round(self.samples / max(self.seconds, 1e-9), 1),
            "training_seconds": round(self.seconds, 1),
            "precision": "bf16" if self.bf16 else "f32",
        }

    # What is written, and how it comes back.

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.checkpoints.staging)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """The Trainer writes into a staging folder; only a whole checkpoint gets its name."""
        processes.barrier()
        kept = "The earlier checkpoint is intact."
        try:
            with artifact.disk_full_is_clear(self.ctx.work, kept):
                super()._save_checkpoint(model, trial)
                processes.barrier()
                if processes.is_main():
                    self._commit(
                        self.checkpoints.staging
                        / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
                    )
        except Exception:
            shutil.rmtree(self.checkpoints.staging, ignore_errors=True)
            raise
        processes.barrier()

    def _commit(self, written: Path) -> None:
        order = resize.order(self.optimizer, self.network)
        progress = {"best": self.best, "samples": self.samples, "seconds": self.seconds}
        artifact.write_json(written / _LOOP, {**progress, "order": order})
        if self.average:
            self.average.save(written / _AVERAGE)
        for index, hook in enumerate(self.hooks):
            save_file(hook.state_dict(), written / f"method-{index}.safetensors")
        self.checkpoints.commit(written, self.state.global_step, self.best["step"])

    def _restore(self, folder: Path) -> None:
        """All that the Trainer does not know of; weights, optimizer and randomness are its own."""
        self.ctx.progress.say(f"    goes on from checkpoint {folder.name}")
        facts = json.loads((folder / _LOOP).read_text())
        self.best, self.samples, self.seconds = facts["best"], facts["samples"], facts["seconds"]
        for index, hook in enumerate(self.hooks):
            hook.load_state_dict(load_file(folder / f"method-{index}.safetensors"), self.network)
        if self.average:
            self.average.load(folder / _AVERAGE, self.network)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """The Trainer's own fails for several processes on CPUs: torch cannot load to `cpu:0`."""
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        order = json.loads((folder / _LOOP).read_text())["order"]
        state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        resize.load_optimizer(self.optimizer, state, order, self.network)
        state = torch.load(folder / "scheduler.pt", map_location="cpu", weights_only=True)
        assert self.lr_scheduler is not None
        self.lr_scheduler.load_state_dict(state)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """With the shape and the quantizers, which transformers does not know of."""
        structure.save_weights(self.network, Path(output_dir or self.ctx.work))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        structure.load_weights(self.network, Path(resume_from_checkpoint))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One entry of the history. A loss that is not a number ends the run."""
        if not math.isfinite(logs.get("loss", 0.0)):
            raise RunError(
                f"{self.ctx.stage}: the loss is {logs['loss']} at step {self.state.global_step}. "
                "Try a lower learning_rate, or precision: f32."
            )
        super().log({**logs, **self.hook_metrics} if "loss" in logs else logs, start_time)


class _Conductor(TrainerCallback):
    """Decides at every step boundary: hooks, average, evaluate, save, stop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.bar: TrainingProgress | None = None
        self.evals: set[int] = set()
        self.first = self.mark = self.saved = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        loop = self.loop
        every = loop.steps_per_epoch / loop.stage.evals_per_epoch
        count = math.ceil(state.max_steps / every)
        self.evals = {min(round(every * (i + 1)), state.max_steps) for i in range(count)}
        self.bar = loop.ctx.progress.training(loop.ctx.stage, state.max_steps, state.global_step)
        self.mark = self.saved = time.monotonic()
        self.first = loop.samples

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.before_step(state.global_step / state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        loop, now = self.loop, time.monotonic()
        loop.samples += loop.stage.batch_size
        loop.seconds += now - self.mark
        self.mark = now
        if loop.average:
            loop.average.update(loop.network, state.global_step)
        if self.bar:
            self.bar.update(state.global_step, state.epoch, loop.samples - int(self.first))
        evaluate = state.global_step in self.evals
        overdue = now - self.saved > loop.ctx.checkpoint_minutes * 60
        # One number for all processes: the signal in the tens, "save" in the ones.
        wish = processes.agree(interrupts.pending() * 10 + overdue)
        control.should_evaluate = evaluate
        control.should_save = evaluate or wish > 0
        if wish >= 10:
            loop.stopped_by = wish // 10
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.bar and "loss" in (logs or {}):
            self.bar.loss = logs["loss"]

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.mark = self.saved = time.monotonic()

    def on_evaluate(self, args: Any, state: Any, control: Any, *_: Any, **__: Any) -> None:
        self.mark = time.monotonic()

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
