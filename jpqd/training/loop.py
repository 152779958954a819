"""The training loop: the order of rows, and after each step what to log, choose, save, and stop."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, set_seed

from jpqd.core import artifact, interrupts, memory, processes
from jpqd.core.errors import RunError, UserError
from jpqd.data import batching, splits
from jpqd.training import evaluation, journal, randomness, steps
from jpqd.training.checkpoints import Checkpoints
from jpqd.training.journal import Journal
from jpqd.training.learner import Learner
from jpqd.training.method import Hooks, Training
from jpqd.training.options import TrainOptions
from jpqd.training.trackers import Trackers

EVAL_BATCH = 64


class Loop:
    """Decisions fall between two steps, and all processes decide alike."""

    def __init__(
        self,
        stage: TrainOptions,
        training: Training,
        network: PreTrainedModel,
        hooks: list[Hooks],
        micro_batch: int,
    ) -> None:
        """Start anew, or go on from the newest whole checkpoint."""
        self.stage, self.training, self.ctx = stage, training, training.ctx
        self.micro_batch = micro_batch
        self.steps = steps.of(stage, len(training.data.splits["train"]))
        self.checkpoints = Checkpoints(self.ctx.work)
        self.checkpoint = self._newest()
        self.journal = journal.load(self.checkpoint) if self.checkpoint else Journal()
        self.learner = Learner(stage, training, network, hooks, self.steps, self.checkpoint)
        self.learner.loss_sum.fill_(self.journal.loss_sum)
        self.trackers = Trackers(stage, self.ctx, network, self.steps)
        self.chooser = training.kind.chooser(self.ctx.task)
        if training.kind.follows:  # else all rows have all metrics
            self._check_metric(evaluation.by_chance(training.data, network))
        self.trainable = sum(one.numel() for one in network.parameters() if one.requires_grad)
        self.counts_memory = memory.forget_peak()
        self.stopped_by = 0
        """The signal that ended the loop before its last step."""

    def _newest(self) -> Path | None:
        if processes.is_main():  # sets aside what cannot be used, so that all see the same ones
            self.checkpoints.newest(self.ctx.progress)
        processes.barrier()
        found = self.checkpoints.steps()
        if not found:
            return None
        self.ctx.progress.say(f"    goes on from checkpoint {self.checkpoints.at(found[0]).name}")
        return self.checkpoints.at(found[0])

    def run(self) -> None:
        """Train to the end, or to the first step after which a signal waits."""
        done = self.journal.step
        self.bar = self.ctx.progress.training(self.ctx.stage, self.steps.total, done)
        try:
            self.trackers.begin(self.journal.history)
            self._seed()
            self.mark = self.saved = time.monotonic()
            for micro_batches in self._shares():
                self.learner.step(micro_batches, self.journal.step)
                self.journal.step += 1
                self._between_steps()
            self.trackers.end(self.journal.step, self.epoch)
        finally:
            self.bar.stop()

    def _seed(self) -> None:
        """Dropout draws the same, whatever methods and trackers drew when they began."""
        set_seed(self.ctx.seed)
        if self.checkpoint:
            randomness.load(self.checkpoint)

    @property
    def epoch(self) -> float:
        return self.steps.epoch(self.journal.step)

    def _shares(self) -> Iterator[np.ndarray]:
        """Draw this process's rows for every step that is left, a line for each micro-batch."""
        lengths = splits.column(self.training.data.splits["train"], "length")
        while not self._is_over():
            epoch, done = divmod(self.journal.step, self.steps.per_epoch)
            if not done:
                # DataLoader draws a number at the start of an epoch, and so did this loop when it
                # stood on one: without it, dropout would give other weights than before.
                torch.empty((), dtype=torch.int64).random_()
            batches = batching.order(lengths, self.stage.batch_size, self.ctx.seed, epoch)
            # Process p takes the micro-batches p, p + N, ... of a batch.
            turns = batches.reshape(len(batches), -1, processes.world_size(), self.micro_batch)
            for mine in turns[done:, :, processes.rank()]:
                yield mine
                if self._is_over():
                    return

    def _is_over(self) -> bool:
        return self.journal.step == self.steps.total or bool(self.stopped_by)

    # Between two steps.

    def _between_steps(self) -> None:
        """Evaluate before the checkpoint of the same step, so that no kill can skip it."""
        self._count()
        step = self.journal.step
        overdue = time.monotonic() - self.saved > self.ctx.checkpoint_minutes * 60
        # One number for all processes: the signal in the tens, "save" in the ones.
        wish = processes.agree(interrupts.pending() * 10 + overdue)
        self.stopped_by = wish // 10
        is_due = step in self.steps.evaluations
        if is_due or step % self.steps.log_every == 0:  # no figures of weights that are no numbers
            self._log_loss()
        if is_due:
            self._evaluate()
        if is_due or wish:
            self._save()

    def _count(self) -> None:
        now = time.monotonic()
        self.journal.seconds += now - self.mark
        self.mark = now
        here = self.journal.step - self.bar.first
        self.bar.update(self.journal.step, self.epoch, here * self.stage.batch_size)

    def _log_loss(self) -> None:
        """Note the mean since the last entry. A loss that is not a number ends the run."""
        step, learner = self.journal.step, self.learner
        loss = processes.mean(learner.loss_sum) / (step - self.journal.logged)
        what = "loss" if not math.isfinite(loss) else "gradient"
        if not math.isfinite(loss + float(learner.grad_norm)):
            raise RunError(
                f"{self.ctx.stage}: the {what} is no finite number at step {step}. "
                "Try a lower learning_rate, or precision: f32."
            )
        learner.loss_sum.zero_()
        self.journal.logged, self.bar.loss = step, loss
        how = {"grad_norm": learner.grad_norm.item(), "learning_rate": learner.rate}
        self._log({"loss": loss, **how, **learner.metrics})

    def _log(self, figures: dict[str, float]) -> None:
        figures = {**figures, "epoch": self.epoch}
        self.journal.history.append({**figures, "step": self.journal.step})
        self.trackers.log(figures, self.journal.step, self.epoch)

    def _evaluate(self) -> None:
        """Score the averaged weights if there are any, in f32, on the split that chooses."""
        training, step = self.training, self.journal.step
        split = training.data.splits["select"]
        with self.learner.averaged():
            found = evaluation.predict(
                self.learner.network, split, training.kind, self.learner.collate, EVAL_BATCH
            )
        figures = training.kind.score(found)
        self._check_metric(figures)
        value = figures[self.chooser]
        if self.learner.ready and value > self.journal.best_value:
            self.journal.best_step, self.journal.best_value = step, value
        self._log({f"select_{k}": v for k, v in figures.items() if isinstance(v, int | float)})
        told = f"    step {step}: {self.chooser} {value:.4f} on {found.count} rows that choose"
        self.ctx.progress.say(told)
        self.mark = time.monotonic()

    def _check_metric(self, figures: dict[str, Any]) -> None:
        """Refuse a metric that the rows that choose do not have."""
        if self.chooser not in figures:
            known = [name for name in figures if name in self.training.kind.metrics]
            raise UserError(
                f"{self.ctx.stage}: task.metric {self.chooser!r} is not known of these rows, which "
                f"have {', '.join(known)}. Choose one of them."
            )

    def _save(self) -> None:
        """Write into a staging folder; only a whole checkpoint gets its name."""
        self.journal.loss_sum = processes.mean(self.learner.loss_sum)
        written = self.checkpoints.staging / str(self.journal.step)
        try:
            saved = self.checkpoints.steps()
            kept = "The earlier checkpoint is intact." if saved else "There was no checkpoint yet."
            with artifact.disk_full_is_clear(self.ctx.work, kept):
                written.mkdir(parents=True, exist_ok=True)
                randomness.save(written)
                processes.barrier()
                if processes.is_main():
                    self._commit(written)
        except Exception:
            shutil.rmtree(self.checkpoints.staging, ignore_errors=True)
            raise
        processes.barrier()
        self.mark = self.saved = time.monotonic()

    def _commit(self, written: Path) -> None:
        self.learner.save(written)
        self.journal.save(written)
        self.checkpoints.commit(written, self.journal.step, self.journal.best_step)

    # After the last step.

    def load_best(self) -> None:
        """Give the model the weights of the checkpoint that was chosen."""
        step = self.journal.best_step or self.journal.step
        self.learner.load_weights(self.checkpoints.at(step))

    def _peak(self) -> int | None:
        """Return the most memory that this process took since the loop began, in MB."""
        found = memory.peak_mb() if self.counts_memory else None
        return None if found is None else round(found)

    def facts(self) -> dict[str, Any]:
        """Facts of the training itself, for the manifest."""
        done = self.journal
        samples = done.step * self.stage.batch_size
        return {
            "steps": done.step,
            "best_step": done.best_step,
            f"select_{self.chooser}": done.best_value if done.best_step else None,
            "samples_per_second": round(samples / max(done.seconds, 1e-9), 1),
            "training_seconds": round(done.seconds, 1),
            "trainable_parameters": self.trainable,
            "peak_memory_mb": self._peak(),
            "precision": "bf16" if self.training.bf16 else "f32",
        }
