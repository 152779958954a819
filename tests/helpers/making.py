"""A backend whose model another program makes first, which takes a minute."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers.leaking import Leaking, LeakingSession


class Making(Leaking):
    def open(self) -> LeakingSession:
        with TemporaryDirectory(dir=self.path):
            subprocess.run(["sh", "-c", f"touch {Path(self.path) / 'begun'}; exec sleep 60"])
        return super().open()
