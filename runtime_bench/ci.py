"""The outcome of gates for a CI server: JUnit, and GitHub's annotations and summary."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from jpqd.core import files
from runtime_bench.gates import Outcome


def junit(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write a test case for each gate."""
    failed = sum(not outcome.passed for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite", name="jpqd bench", tests=str(len(outcomes)), failures=str(failed)
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(suite, "testcase", name=outcome.gate, classname="jpqd.bench")
        if not outcome.passed:
            ElementTree.SubElement(case, "failure", message=str(outcome))
        else:
            ElementTree.SubElement(case, "system-out").text = str(outcome)
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
    files.write_text(path, text + "\n")


def annotate(outcomes: Sequence[Outcome]) -> None:
    """Mark failed gates on GitHub's page of the run, and add all gates to its summary."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for outcome in outcomes:
        if not outcome.passed:
            sys.stderr.write(f"::error title=jpqd bench::{_escaped(str(outcome))}\n")
    if (summary := os.environ.get("GITHUB_STEP_SUMMARY")) and outcomes:
        marks = {True: "passed", False: "**failed**"}
        lines = [f"- {marks[outcome.passed]}: `{outcome}`" for outcome in outcomes]
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write("\n".join(["### jpqd bench", "", *lines, ""]))


def _escaped(text: str) -> str:
    """Write the characters that a workflow command reads as its own end."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
