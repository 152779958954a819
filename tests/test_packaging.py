"""What is installed: four names, as ADR 1 says, and the version that the code has."""

import subprocess
import zipfile
from pathlib import Path

from jpqd import __version__
from tests.helpers import tiny

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_exactly_the_four_names_and_every_module(tmp_path: Path) -> None:
    build = [tiny.PYTHON, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob(f"jpqd-{__version__}-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} - {f"jpqd-{__version__}.dist-info"} == {
        "jpqd",
        "export",
        "runtime_bench",
        "cli.py",
    }
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "jpqd").rglob("*.py")}
    assert sources <= set(names)
    assert {"jpqd/report/page/page.html.j2", "jpqd/report/page/page.css"} <= set(names)
