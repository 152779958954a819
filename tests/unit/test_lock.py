"""One folder, one process: whoever seals it, and until the clean-up has ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jpqd.core import lock
from jpqd.core.errors import BusyError, RunError

HOLD = """
import sys, time
from pathlib import Path
from jpqd.core import lock
with lock.sealing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    final, who = tmp_path / "ir", f"process {os.getpid()} on"
    with lock.sealing(final), pytest.raises(BusyError, match=who), lock.sealing(final):
        pass
    with lock.hold(tmp_path), pytest.raises(BusyError), lock.hold(tmp_path):
        pass


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock.sealing(tmp_path / "ir") as partial:
        (partial / "half").write_text("written")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_free(tmp_path: Path) -> None:
    with lock.sealing(tmp_path / "a") as a, lock.sealing(tmp_path / "b") as b:
        assert a != b


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    final = tmp_path / "ir"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(final)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=f"process {holder.pid} on"), lock.sealing(final):
        pass
    (tmp_path / "ir.partial" / "of_a_kill").mkdir()
    holder.kill()
    holder.wait()
    assert (tmp_path / ".ir.lock").exists()
    with lock.sealing(final) as partial:
        assert list(partial.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_not_followed_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / ".ir.lock").symlink_to(target)
    with pytest.raises((OSError, RunError)), lock.sealing(tmp_path / "ir"):
        pass
    assert target.read_text() == "mine"
