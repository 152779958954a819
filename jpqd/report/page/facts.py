"""What a run was made on and asked for, as tables of two columns."""

from __future__ import annotations

from typing import Any

import yaml

from jpqd.core.bench_result import Bench
from jpqd.report import words
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table


def environment(page: Page) -> Table:
    """Of the stages; one that was made elsewhere is named."""
    found: dict[str, list[str]] = {}
    for stage in page.stages:
        for name, value in _flat(stage.environment).items():
            found.setdefault(name, []).append(value)
    rows = [[name, ", ".join(dict.fromkeys(values))] for name, values in found.items()]
    made = sorted(stage.created for stage in page.stages)
    rows += [["stages made", f"{made[0]} to {made[-1]}"]]
    return Table("Stages were made on", ["", " "], rows, texts={" "})


def _flat(environment: dict[str, Any]) -> dict[str, str]:
    facts = {k: v for k, v in environment.items() if not isinstance(v, dict)}
    facts |= environment.get("packages") or {}
    return {name: str(value) for name, value in facts.items() if value is not None}


def host(bench: Bench) -> Table:
    found = bench.host
    governor = found.governor or "not known"
    rows = [
        ["processor", found.processor],
        ["its flags", ", ".join(found.flags) or words.NONE],
        ["cores", f"{found.cores}, of which {len(found.affinity)} may be used"],
        ["control group", f"{found.cgroup_cpus:g} processors" if found.cgroup_cpus else "no limit"],
        ["governor", governor],
        ["memory", f"{found.memory_gb:.1f} GB" if found.memory_gb else words.NONE],
        ["load before, after", f"{_load(found.before.load_1min)}, {_load(found.after.load_1min)}"],
        ["asked", _asked(bench)],
        ["measured", f"{bench.created}, in {bench.seconds:.0f} s"],
        *([name, value] for name, value in _flat(found.environment).items()),
    ]
    return Table("Benchmark ran on", ["", " "], rows, texts={" "})


def _load(value: float | None) -> str:
    return words.NONE if value is None else f"{value:.2f}"


def _asked(bench: Bench) -> str:
    asked = bench.asked
    batches = ", ".join(map(str, asked.batches))
    length = asked.length or "real lengths"
    return (
        f"{asked.device}, {asked.threads} threads, batch {batches}, {length}, policy "
        f"{asked.policy}, {asked.blocks} blocks in {asked.seconds:g} s, seed {asked.seed}"
    )


def recipe(page: Page) -> str:
    """As YAML, without what was left at nothing."""
    return yaml.safe_dump(
        _without_nothing(page.recipe),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=96,
    )


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nothing(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nothing(entry) for entry in value]
    return value
