"""The machine, the versions and the recipe of a run, as tables of two columns."""

from __future__ import annotations

from typing import Any

import yaml

from jpqd.core.bench_result import Bench
from jpqd.report import words
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table


def environment(page: Page) -> Table:
    """Make a table of the stages' environments; it lists every value that differs."""
    facts: dict[str, list[str]] = {}
    for stage in page.stages:
        for name, value in _flat(stage.environment).items():
            facts.setdefault(name, []).append(value)
    rows = [[name, ", ".join(dict.fromkeys(values))] for name, values in facts.items()]
    made = sorted(stage.created for stage in page.stages)
    rows += [["stages made", f"{made[0]} to {made[-1]}"]]
    return Table("Stages were made on", ["", " "], rows, texts={" "})


def _flat(environment: dict[str, Any]) -> dict[str, str]:
    facts = {k: v for k, v in environment.items() if not isinstance(v, dict)}
    facts |= environment.get("packages") or {}
    return {name: str(value) for name, value in facts.items() if value is not None}


def host(bench: Bench) -> Table:
    host = bench.host
    governor = host.governor or "not known"
    rows = [
        ["processor", host.processor],
        ["its flags", ", ".join(host.flags) or words.NONE],
        ["cores", f"{host.cores}, of which {len(host.affinity)} may be used"],
        ["control group", f"{host.cgroup_cpus:g} processors" if host.cgroup_cpus else "no limit"],
        ["governor", governor],
        ["memory", f"{host.memory_gb:.1f} GB" if host.memory_gb else words.NONE],
        ["load before, after", f"{_load(host.before.load_1min)}, {_load(host.after.load_1min)}"],
        ["asked", _settings(bench)],
        ["measured", f"{bench.created}, in {bench.seconds:.0f} s"],
        *([name, value] for name, value in _flat(host.environment).items()),
    ]
    return Table("Benchmark ran on", ["", " "], rows, texts={" "})


def _load(value: float | None) -> str:
    return words.NONE if value is None else f"{value:.2f}"


def _settings(bench: Bench) -> str:
    asked = bench.asked
    batches = ", ".join(map(str, asked.batches))
    length = asked.length or "real lengths"
    return (
        f"{asked.device}, {asked.threads} threads, batch {batches}, {length}, policy "
        f"{asked.policy}, {asked.blocks} blocks in {asked.seconds:g} s, seed {asked.seed}"
    )


def recipe(page: Page) -> str:
    """Return the recipe as YAML, without keys that are not set."""
    return yaml.safe_dump(
        _without_none(page.recipe),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=96,
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(entry) for entry in value]
    return value
