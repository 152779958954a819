"""Progress for a person: a live line on a terminal, and a line now and then elsewhere."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console

from jpqd.core.terminal import PlainConsole

LINE_EVERY_SECONDS = 10.0
_RECENT_SECONDS = 60.0


class Progress:
    """Messages on standard error, which keep standard output clean for `--json`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = PlainConsole(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.quiet = quiet

    def say(self, message: str) -> None:
        self.console.print(message)

    def warn(self, message: str) -> None:
        self.console.print(f"warning: {message}", style="yellow")

    def counting(self, what: str, things: str, total: int | None = None) -> Callable[[int], None]:
        """Return a counter of what is done, which says a line now and then."""
        started = spoke = time.monotonic()
        done, of = 0, "" if total is None else f" of {total:,}"

        def count(more: int) -> None:
            nonlocal done, spoke
            done, now = done + more, time.monotonic()
            if now - spoke >= LINE_EVERY_SECONDS:
                spoke = now
                self.say(f"{what} {done:,}{of} {things}, {_pace(done / (now - started))}")

        return count

    def training(self, stage: str, steps: int, done: int) -> "TrainingProgress":
        return TrainingProgress(self, stage, steps, done)


def _pace(each_second: float) -> str:
    return (
        f"{each_second:,.0f} in a second" if each_second >= 1 else f"{1 / each_second:.0f} s each"
    )


class TrainingProgress:
    """The progress of a training: epoch, step, samples per second, loss and time left."""

    def __init__(self, parent: Progress, stage: str, steps: int, done: int) -> None:
        self.parent, self.stage, self.steps = parent, stage, steps
        self.first, self.spoke = done, 0.0
        self.marks = deque([(time.monotonic(), done, 0)])
        """Times, with the steps and samples that were done by then, over the last minute or so."""
        self.loss: float | None = None
        self.bars = _bars(parent.console)
        self.task = self.bars.add_task(stage, total=steps, completed=done, facts="")
        self.bars.start()

    def stop(self) -> None:
        self.bars.stop()

    def update(self, step: int, epoch: float, samples: int) -> None:
        """Show the step; `samples` is the number trained on since this process started."""
        now = time.monotonic()
        facts = self._facts(epoch, samples, now)
        self.bars.update(self.task, completed=step, facts=facts)
        if not self.parent.console.is_terminal and now - self.spoke >= LINE_EVERY_SECONDS:
            self.spoke = now
            left = self._time_left(step, now)
            self.parent.say(f"{self.stage}: step {step}/{self.steps}, {facts}, {left} left")
        self._mark(now, step, samples)

    def _mark(self, now: float, step: int, samples: int) -> None:
        """Forget what is long ago: what a method did once says nothing about the next steps."""
        self.marks.append((now, step, samples))
        while len(self.marks) > 2 and now - self.marks[1][0] > _RECENT_SECONDS:
            self.marks.popleft()

    def _facts(self, epoch: float, samples: int, now: float) -> str:
        since, _, before = self.marks[0]
        pace = (samples - before) / max(now - since, 1e-6)
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"epoch {epoch:.2f}, {pace:.0f} samples/s{loss}"

    def _time_left(self, step: int, now: float) -> str:
        since, before, _ = self.marks[0]
        pace = (now - since) / max(step - before, 1)
        minutes, seconds = divmod(int(pace * (self.steps - step)), 60)
        return f"{minutes}:{seconds:02d}"


def _bars(console: Console) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[facts]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or console.quiet,
    )
