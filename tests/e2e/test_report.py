"""`jpqd report` as a command, and its page in a real browser."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import made_run, tiny
from tests.helpers.pages import Reader

DEPLOYED = "Accuracy, speed and size of the same thing"
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two stages that were really trained, and its report."""
    folder = tmp_path_factory.mktemp("report")
    recipe = tiny.write_recipe(folder, rows=160)
    assert tiny.run("run", recipe, "--runs", folder / "runs").returncode == 0
    return folder / "runs" / "tiny"


def test_a_real_run_and_its_report(reported: Path) -> None:
    runs = reported.parent
    done = tiny.run("report", "--runs", runs, "--json")
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert files == [str(reported / "report.html"), str(reported / "report.md")]
    page = Reader((reported / "report.html").read_text())
    for stage, split in (("teacher", "validation"), ("check", "select")):
        figures = tiny.manifest(runs, stage)["metrics"][split]
        row = page.row("Stages", stage)
        assert row["n"] == str(figures["n"])
        low, high = figures["accuracy_95"]
        assert row["accuracy, % [95%]"] == (
            f"{100 * figures['accuracy']:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        )
    assert "No differences to a baseline: no other stage to compare" in page.text
    assert tiny.run("verify", "--runs", runs).returncode == 0
    assert "teacher" in tiny.run("ls", "--runs", runs).stdout


def test_a_report_into_another_folder(reported: Path, tmp_path: Path) -> None:
    done = tiny.run("report", reported, "--out", tmp_path / "new" / "pages")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "new" / "pages").iterdir()) == [
        "report.html",
        "report.md",
    ]


def test_no_such_run(tmp_path: Path) -> None:
    made_run.make(tmp_path / "made")
    done = tiny.run("report", "other", "--runs", tmp_path)
    assert done.returncode == 2
    assert "there is no run 'other'" in done.stderr and "made" in done.stderr


@pytest.fixture
def browser(tmp_path: Path) -> Any:
    """Opens a file from disk: its tables as the browser has them, its console, its requests."""
    assert CHROMIUM, "the page is tested in a browser: apt-get install chromium"

    def opened(page: Path) -> tuple[Reader, list[str], list[str]]:
        log = tmp_path / "net.json"
        arguments = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--enable-logging=stderr",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={log}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return Reader(done.stdout), console, _requests(log)

    return opened


def _requests(log: Path) -> list[str]:
    """Every address that the page asked for. A browser's own requests have no origin."""
    asked = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    mine = [facts for facts in asked if facts.get("initiator", "not an origin") != "not an origin"]
    return [facts["url"] for facts in mine if not facts["url"].startswith(("file:", "data:"))]


def test_the_page_opens_in_a_browser(browser: Any, tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made", task="<script>console.error('run')</script>")
    assert tiny.run("report", "made", "--runs", run.parent).returncode == 0
    page, console, requests = browser(run / "report.html")
    assert console == []
    assert requests == []
    assert page.row("Stages", "jpqd")["accuracy, % [95%]"] == "91.00 [85.00, 95.00]"
    assert page.row(DEPLOYED, "jpqd_ir")["speed ratio [95%]"] == "11.20x [10.98, 11.42]"
    assert page.tags.count("svg") == 5 and "script" not in page.tags


def test_the_browser_would_have_told(browser: Any, tmp_path: Path) -> None:
    """What the test above looks for is found on a page that does it."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><img src='http://asked.invalid/x.png'><script>console.error('bad')</script>"
    )
    _, console, requests = browser(page)
    assert any("bad" in line for line in console)
    assert any("asked.invalid" in url for url in requests)
