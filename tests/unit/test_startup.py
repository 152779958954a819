"""Commands that compute nothing start at once: no heavy import, well under half a second."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = [str(path) for path in sorted((ROOT / "recipes").rglob("*.yaml"))]
HEAVY = {
    "accelerate", "datasets", "huggingface_hub", "jinja2", "matplotlib", "nncf", "numpy",
    "openvino", "optimum", "pandas", "safetensors", "scipy", "sklearn", "tokenizers", "torch",
    "transformers",
}  # fmt: skip
COMMANDS = {
    "help": ["--help"],
    "help of run": ["run", "--help"],
    "help of shrink": ["shrink", "--help"],
    "help of compare": ["compare", "--help"],
    "help of export": ["export", "--help"],
    "help of evaluate": ["evaluate", "--help"],
    "help of bench": ["bench", "--help"],
    "help of report": ["report", "--help"],
    "version": ["--version"],
    "validate": ["validate", *RECIPES],
    "ls": ["ls", "--runs", "no-such-folder"],
    "rm": ["rm", "--cache", "--runs", "no-such-folder"],
}
SCRIPT = """
import json, sys
sys.argv = ["jpqd", *json.loads(sys.argv[1])]
from cli import app
try:
    app()
except SystemExit as end:
    print(json.dumps({"code": end.code or 0, "modules": sorted(sys.modules)}))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_no_heavy_import(command: str) -> None:
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS[command])]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    assert found["code"] == 0, output
    assert "typer" in found["modules"]
    assert HEAVY.intersection(found["modules"]) == set()


def seconds(command: list[str]) -> float:
    """Of a processor: another program's turn in between does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("command", [["--help"], ["validate", "recipes/bert_sst2.yaml"]])
def test_under_four_tenths_of_a_second(command: list[str]) -> None:
    """Or, on a slower machine, four times what the libraries of a command line take there."""
    jpqd = str(Path(sys.executable).with_name("jpqd"))
    libraries = [sys.executable, "-c", "import typer, pydantic, rich.console, yaml"]
    least = min(seconds(libraries) for _ in range(5))
    ours = min(seconds([jpqd, *command]) for _ in range(5))
    assert ours < max(0.4, 4 * least)
