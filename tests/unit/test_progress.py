"""What a person reads while a training runs."""

import pytest

from jpqd.core.progress import Progress


def test_without_a_terminal_there_is_a_plain_line_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = Progress().training("teacher", steps=100, done=40)
    bar.loss = 0.25
    bar.update(step=50, epoch=1.5, samples=320)
    bar.update(step=51, epoch=1.51, samples=352)
    bar.stop()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("teacher: step 50/100, epoch 1.50, ")
    assert "samples/s, loss 0.2500, " in line
    assert line.endswith(" left")


def test_the_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=True)
    progress.say("hello")
    progress.warn("careful")
    bar = progress.training("teacher", steps=2, done=0)
    bar.update(step=1, epoch=0.5, samples=1)
    bar.stop()
    assert capsys.readouterr().err == ""


def test_names_with_brackets_are_text_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().say("[red]folder[/red]")
    assert capsys.readouterr().err == "[red]folder[/red]\n"


def test_the_time_left_is_that_of_the_last_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that took five minutes once does not slow the steps that follow."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    bar = Progress().training("small", steps=1000, done=0)
    now = 300.0
    bar.update(step=1, epoch=0.0, samples=10)
    for step in range(2, 203):
        now += 1
        bar.update(step=step, epoch=0.1, samples=10 * step)
    bar.stop()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("small: step 201/1000") and "10 samples/s" in last
    assert last.endswith("13:19 left"), "799 steps of a second each"
