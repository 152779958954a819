"""Nobody is told that jpqd is used: no library that it loads can send anything."""

import subprocess
import sys

from tests.helpers import tiny

SCRIPT = """
import jpqd
import nncf.torch, openvino
from nncf.telemetry.wrapper import telemetry
from openvino.tools.ovc import telemetry_utils
from huggingface_hub import constants
print(type(telemetry).__module__, telemetry_utils.tm.__name__, constants.HF_HUB_DISABLE_TELEMETRY)
"""


def test_no_library_sends_usage_data() -> None:
    arguments = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        arguments, env=tiny.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["unittest.mock", "openvino.tools.ovc.telemetry_stub", "True"]
