"""At the shell: what others wrote steers no terminal; each ending has its code and its words."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.models import CommandInfo
from typer.testing import CliRunner

from cli import app
from jpqd.core import terminal
from jpqd.core.progress import Progress
from tests.helpers import made_run, reseal, tiny

CLEAR, MARKUP = "\x1b[2J\x1b]0;owned\x07", "q[/b][red]"


def jpqd(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / MARKUP / "made")


def test_markup_in_a_path_is_printed_as_it_is(run: Path) -> None:
    for command in ("ls", "verify", "compare"):
        done = jpqd(command, "made", "--runs", run.parent)
        assert done.exit_code == 0, done.output
    listed = " ".join(jpqd("ls", "--runs", run.parent).stdout.replace("\n", "").split())
    assert MARKUP in listed.replace(" ", "")


def test_what_a_manifest_says_steers_no_terminal(run: Path) -> None:
    def write(manifest: dict[str, Any]) -> None:
        manifest["use"] = CLEAR + MARKUP
        manifest["metrics"][CLEAR] = manifest["metrics"].pop("validation")

    reseal.edit(run / "teacher" / "manifest.json", write)
    shown = jpqd("ls", "--runs", run.parent).output
    assert "\x1b" not in shown and "\x07" not in shown
    assert "\\x1b[2J" in shown.replace("\n", "")


@pytest.mark.parametrize("text", [CLEAR, "\u202egnp.exe", "\x9b2J", "\ud800", "\r\x00"])
def test_control_characters_become_codes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Progress().say(f"label {text} [bold]!")
    said = capsys.readouterr().err
    assert said.strip().isprintable() and said.strip().endswith("[bold]!")
    written = terminal.json_line({"label": text, "ko": "한국어"})
    assert written.isprintable() and "한국어" in written
    assert json.loads(written)["label"] == text


def test_a_line_and_a_tab_stay_in_a_message() -> None:
    assert terminal.plain("a\n\tb") == "a\n\tb"


def test_help_has_a_short_name() -> None:
    assert jpqd("-h").exit_code == 0
    assert "--runs" in jpqd("ls", "-h").output


def test_debug_adds_a_traceback_and_keeps_the_code(tmp_path: Path) -> None:
    done = tiny.run("ls", "nothing", "--runs", tmp_path, "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr and done.stderr.rstrip().splitlines()[-1].startswith("error:")


@pytest.mark.parametrize("metrics", [
    {"validation": {"n": "x", "accuracy": "y"}}, {"validation": {"n": 3}}, {"validation": 7},
    {"model": {"parameters": "many"}}, {"model": []}, {"train": 5}, {"check": "all"}, {},
])  # fmt: skip
def test_malformed_metrics_are_named_or_left_out(run: Path, metrics: dict[str, Any]) -> None:
    for stage in ("jpqd", "jpqd_ir"):
        reseal.edit(run / stage / "manifest.json", lambda kept: kept["metrics"].update(metrics))
    for command in ("ls", "compare", "report"):
        done = jpqd(command, "made", "--runs", run.parent)
        assert done.exit_code in (0, 2), done.output
        assert "More with --debug" not in done.output, done.output


def test_a_slip_in_a_stage_s_name_is_corrected() -> None:
    done = jpqd("validate", "recipes/demo.yaml", "--set", "stages.teecher.epochs=1")
    assert done.exit_code == 2
    assert "there is no 'teecher'; did you mean 'teacher'?" in done.stderr


@pytest.mark.parametrize("command", [
    ("run", "recipes/demo.yaml", "--runs", "/proc/none"),
    ("report", "made", "--out", "/proc/none"),
])  # fmt: skip
def test_a_place_that_cannot_be_written_is_a_failure(run: Path, command: tuple[str, ...]) -> None:
    more = () if "--runs" in command else ("--runs", run.parent)
    done = jpqd(*command, *more)
    assert done.exit_code == 1, done.output
    assert ("/proc/none" in done.stderr and "with --" in done.stderr) or "--out" in done.stderr
    assert "More with --debug" not in done.stderr


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.4, 0.9, 1.6, 2.4])
def test_ctrl_c_during_the_start_is_quiet(tmp_path: Path, moment: float) -> None:
    recipe = tiny.write_recipe(tmp_path)
    process = tiny.start("run", recipe, "--runs", tmp_path / "runs")
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    # Python itself may lose a signal that comes within its own imports, before any line of ours.
    lost = moment < 0.1 and "Exception ignored in: <function _get_module_lock" in error
    assert lost or process.returncode in (130, -signal.SIGINT), error  # a shell calls both 130
    if "Fatal Python error" not in error and moment > 0.1:  # Python's own start is not ours
        assert "Traceback" not in error


def test_a_signal_within_an_import_waits_for_its_end(tmp_path: Path) -> None:
    # torch imports modules from C++, which ends the process when an exception comes through.
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(0.3)\n"
        "print('whole', flush=True)\n"
    )
    script = (
        "import time; from jpqd.core import interrupts; interrupts.install()\n"
        "import slow\n"
        "time.sleep(30); print('lost')"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [tiny.PYTHON, "-c", script], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode != 0 and done.stdout == "whole\n"
    assert "Interrupted" in done.stderr


def test_a_signal_within_a_destructor_is_not_lost() -> None:
    script = (
        "import os, signal, time; from jpqd.core import interrupts; interrupts.install()\n"
        "class Ends:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(1)\n"
        "ends = Ends(); del ends\n"
        "time.sleep(30); print('lost')"
    )
    done = subprocess.run([tiny.PYTHON, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and not done.stdout
    assert "Exception ignored" not in done.stderr


def test_a_closed_terminal_saves_like_a_request_to_end(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path)
    long = ("--set", "stages.teacher.epochs=60")  # or it may be over before the signal comes
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, children would ignore it
    process = tiny.start("run", recipe, "--runs", tmp_path / "runs", *long)
    signal.signal(signal.SIGHUP, ours)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/tiny/.work/teacher-*/step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 129, error
    assert "saved at step" in error


def test_a_run_that_must_survive_its_terminal_does() -> None:
    script = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from jpqd.core import interrupts; interrupts.install()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_reader_that_has_gone_is_no_error(run: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = subprocess.run(tiny.command("ls", "--runs", run.parent, "--json"), stdout=gone,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 141
    assert done.stderr == ""


def _below_groups() -> list[CommandInfo]:
    groups = [group.typer_instance for group in app.registered_groups]
    return [command for group in groups if group for command in group.registered_commands]


def test_version_and_help_of_every_command_with_an_example() -> None:
    assert jpqd("--version").stdout.startswith("jpqd 0.")
    said = {
        "run": "The recipe", "plan": "The recipe", "validate": "Recipes", "ls": "A run",
        "verify": "A run", "compare": "Runs or their folders", "export": "A stage of the run",
        "predict": "An exported folder", "bench": "A run", "report": "A run",
        "rm": "A run", "evaluate": "A stage of the run",
    }  # fmt: skip
    for command, argument in said.items():
        shown = jpqd(command, "--help").stdout
        assert argument in shown, shown
    for given in [*app.registered_commands, *_below_groups()]:
        assert "Example:" in (given.epilog or ""), given
