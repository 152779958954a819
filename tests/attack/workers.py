"""A search on three machines: network namespaces, PostgreSQL, one worker killed, one cut off.

    python -m tests.attack.workers FOLDER        (as root, with Debian's postgresql and psycopg)

Each worker has a copy of the run's folder of its own. Prints who ran how many structures; each
must have been counted once, and the plan must be that of a search without workers.
"""

import collections
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna

from jpqd.core import compression_plan
from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, HEAD

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
NETWORK, LEADER = "10.77.0", "10.77.0.1"
STAGES = f"""\
stages:
  dense: {{{COMMON.replace("epochs: 1", "epochs: 6")}}}
  table: {{use: made_table, needs: [dense]}}
  found: {{use: search, needs: [dense, table], target: {{speedup: 1.5}}, samples: 32,
          strategy: random, evaluations: 40, together: 10}}
"""


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL that other machines reach with a password."""
    data = folder / "postgres"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    (folder / "password").write_text("secret\n")
    shell(f"chmod a+rx {folder} && chown -R postgres {data} {folder / 'password'}")
    as_postgres = "runuser -u postgres --"
    shell(f"{as_postgres} {BINARIES}/initdb -D {data} -A scram-sha-256 --pwfile={folder}/password")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK}.0/24 scram-sha-256\n")
    options = f"-c listen_addresses={LEADER} -c unix_socket_directories={data}"
    shell(f"{as_postgres} {BINARIES}/pg_ctl -w -D {data} -l {data}/log -o '{options}' start")
    try:
        yield f"postgresql+psycopg://postgres:secret@{LEADER}/postgres"
    finally:
        shell(f"{as_postgres} {BINARIES}/pg_ctl -m immediate -D {data} stop")


@contextmanager
def machines(names: list[str]) -> Iterator[None]:
    """Make network namespaces that reach this one by a bridge, and nothing else."""
    shell(
        f"ip link add jpqd type bridge && ip addr add {LEADER}/24 dev jpqd && ip link set jpqd up"
    )
    try:
        for number, name in enumerate(names, 2):
            shell(
                f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name}"
            )
            shell(f"ip link set {name} master jpqd up && ip -n {name} link set eth0 up")
            shell(f"ip -n {name} addr add {NETWORK}.{number}/24 dev eth0")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        shell("ip link del jpqd")


def start(store: str, gate: Path, *arguments: object, within: str = "") -> "subprocess.Popen[str]":
    command = [tiny.PYTHON, "-m", "tests.helpers.gated", str(gate), *map(str, arguments)]
    if within:
        command = ["ip", "netns", "exec", within, *command]
    environment = {**tiny.environment(), "JPQD_STORE": store}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def trials(store: str) -> list[Any]:
    names = optuna.get_all_study_names(store)
    return optuna.load_study(study_name=names[0], storage=store).trials if names else []


def count(store: str, state: str) -> int:
    return sum(trial.state.name == state for trial in trials(store))


def searched(folder: Path, store: str) -> None:
    """Search with a worker that is killed, one that is cut off, and one that helps."""
    never, later, now = folder / "never", folder / "later", folder
    path, runs = folder / "tiny.yaml", folder / "runs"
    leader = start(store, later, "run", path, "--runs", runs)
    wait(lambda: count(store, "RUNNING") == 1)
    copies = [Path(shutil.copytree(runs, folder / name)) / "tiny" for name in ("a", "b")]
    killed, lost = (
        start(store, gate, "search", "worker", "--run", copy, within=name)
        for gate, copy, name in ((never, copies[0], "jpqd_a"), (later, copies[1], "jpqd_b"))
    )
    wait(lambda: count(store, "RUNNING") == 3)
    killed.kill()
    shell("ip link set jpqd_b down")
    helper = start(store, now, "search", "worker", "--run", copies[0], within="jpqd_a")
    wait(lambda: count(store, "FAIL") == 2)
    print("the killed and the lost worker's structures were given out again")
    later.touch()
    time.sleep(2)
    shell("ip link set jpqd_b up")
    for name, process in (("leader", leader), ("helper", helper), ("cut off", lost)):
        said = process.communicate(timeout=300)[0].strip().splitlines()
        print(f"{name}: exit {process.returncode}: {said[-1]}")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.pop("JPQD_STORE", None)
    tiny.write_recipe(folder, rows=160, text=HEAD + STAGES)
    start("", folder, "run", folder / "tiny.yaml", "--runs", folder / "alone").wait()
    alone = compression_plan.load(folder / "alone" / "tiny" / "found")
    with machines(["jpqd_a", "jpqd_b"]), database(folder) as store:
        searched(folder, store)
        found = compression_plan.load(folder / "runs" / "tiny" / "found")
        done = [trial for trial in trials(store) if trial.state.name == "COMPLETE"]
        print(collections.Counter(trial.user_attrs["by"] for trial in done))
        structures = {str(trial.user_attrs["structure"]) for trial in done}
        print(f"{len(done)} results of {len(structures)} structures, {found.evaluations} counted; "
              f"the same plan as alone: {found.chosen.layers == alone.chosen.layers}")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
