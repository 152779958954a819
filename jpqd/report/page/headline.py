"""The main result in words and tiles, and the notes that a reader must know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jpqd.core.bench_result import Estimate
from jpqd.report import words
from jpqd.report.page import deployed, tables, weights
from jpqd.report.page.deployed import Deployed
from jpqd.report.page.gather import Page


@dataclass(frozen=True)
class Tile:
    label: str
    value: str
    note: str


def sentences(page: Page) -> list[str]:
    """Say what was gained, what it cost, how certain that is, and what it is owed to."""
    main, base = deployed.main(page), deployed.baseline(page)
    quality = weights.sentence(main.stage) or _quality(page, main)
    said = [_smaller_and_faster(page, main, base), quality, _owed(page, main, base)]
    return [sentence for sentence in said if sentence]


def _smaller_and_faster(page: Page, main: Deployed, base: Deployed) -> str:
    parts = []
    if main.bytes and base.bytes and main.bytes != base.bytes:
        than = _than(base.bytes / main.bytes, base.stage.stage)
        sizes = f"{words.megabytes(main.bytes)} instead of {words.megabytes(base.bytes)} MB"
        parts.append(f"is {than} ({sizes}{_left(main)})")
    ratio = deployed.speed(page, main, base)
    if ratio and ratio.value:
        parts.append(f"is {words.ratio_in_words(ratio)} as fast as {_spoken(base)}")
    return f"{main.name} {' and '.join(parts)}." if parts else ""


def _left(main: Deployed) -> str:
    kept = tables.share(main.stage)
    return (
        f"; {words.share(kept)} of the {words.body(main.stage)}'s weights are left"
        if kept < 1
        else ""
    )


def _than(ratio: float, base: str) -> str:
    """Compare a size with the baseline's, given how many times it fits into it."""
    if 0.95 < ratio < 1.05:
        return f"as large as {base}"
    how = f"{ratio:.1f} times smaller" if ratio > 1 else f"{1 / ratio:.1f} times larger"
    return f"{how} than {base}"


def _spoken(one: Deployed) -> str:
    """Name a model with the runtime and precision in which it runs."""
    return f"{one.stage.stage} in {words.arm(one.arm)}" if one.arm else one.stage.stage


def _quality(page: Page, main: Deployed) -> str:
    if main.accuracy is None:
        return ""
    has = f"{main.name} has {words.sentence(page.metric, main.accuracy.value)}"
    row = page.difference(main.stage.stage) or page.difference(page.main.stage)
    if row is None or row.difference is None:
        return f"{has} on {main.accuracy.split} (n {main.accuracy.n:,})."
    middle, low, high = row.difference
    base, unit = page.baseline.stage, words.unit(page.metric)
    certain = f"95%: {words.signed(page.metric, low)} to {words.signed(page.metric, high)}, "
    certain += f"n {row.n:,}"
    if low <= 0 <= high:
        return (
            f"{has}, which cannot be told from that of {base}: the difference is "
            f"{words.signed(page.metric, middle)} {unit} ({certain})."
        )
    size = words.score(page.metric, abs(middle))
    return f"{has}, {size} {unit} {'above' if low > 0 else 'below'} {base} ({certain})."


def _owed(page: Page, main: Deployed, base: Deployed) -> str:
    """Tell the gain of the runtime and of INT8 from what compression adds to them."""
    if not deployed.speed(page, main, base):
        return ""
    whole, quantized = deployed.whole(page, "FP32"), deployed.whole(page, "INT8")
    if quantized is None:
        return (
            "How much of the speed is owed to the runtime and to INT8 alone is not known: this run "
            f"has no measured INT8 IR of the whole {page.baseline.stage}."
        )
    parts = [f"OpenVINO INT8 of the whole model alone gives {_gain(page, quantized, base)}"]
    if whole:
        parts.insert(0, f"OpenVINO {whole.precision} alone gives {_gain(page, whole, base)}")
    if main.name == quantized.name:
        return f"Of the speed: {', '.join(parts)}."
    return f"Of the speed: {', '.join(parts)}, and compression {_added(page, main, quantized)}."


def _gain(page: Page, one: Deployed, base: Deployed) -> str:
    return f"{words.ratio(deployed.speed(page, one, base))} ({one.name})"


def _added(page: Page, main: Deployed, quantized: Deployed) -> str:
    ratio = deployed.speed(page, main, quantized) or Estimate()
    if ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high:
        return f"adds no speed that can be told from chance: {words.ratio(ratio)}"
    return f"multiplies that by {words.ratio(ratio)}"


def tiles(page: Page) -> list[Tile]:
    """Return size, speed and accuracy of the main result, at a glance."""
    main, base = deployed.main(page), deployed.baseline(page)
    quality = _divergence(main) or _accurate(page, main)
    found = [_size(main, base), _fast(page, main, base), quality]
    return [tile for tile in found if tile]


def _size(main: Deployed, base: Deployed) -> Tile | None:
    if not main.bytes or not base.bytes:
        return None
    than = _than(base.bytes / main.bytes, base.stage.stage)
    note = f"{than} ({words.megabytes(base.bytes)} MB)"
    return Tile("size", f"{words.megabytes(main.bytes)} MB", note)


def _fast(page: Page, main: Deployed, base: Deployed) -> Tile | None:
    ratio = deployed.speed(page, main, base)
    if ratio is None:
        return None
    value, _, interval = words.ratio(ratio).partition(" ")
    note = f"as fast as {_spoken(base)} {interval}".strip()
    quantized = deployed.whole(page, "INT8")
    if quantized and quantized.name != main.name:
        note += (
            f"; {words.ratio(deployed.speed(page, main, quantized))} as fast as {quantized.name}"
        )
    return Tile("speed", value, note)


def _divergence(main: Deployed) -> Tile | None:
    figures = weights.deployed(main.stage)
    if "kl" not in figures:
        return None
    note = f"perplexity {figures['ratio']:.3f} times the whole IR's, n {figures['n']:,} tokens"
    return Tile("KL", f"{figures['kl']:#.3g}", note)


def _accurate(page: Page, main: Deployed) -> Tile | None:
    if main.accuracy is None:
        return None
    percent = "%" if words.is_percent(page.metric) else ""
    value = f"{words.score(page.metric, main.accuracy.value)}{percent}"
    difference = deployed.points(page, main)
    note = f"n {main.accuracy.n:,}"
    if difference[:1] in "+-" and difference != words.NONE:
        note = f"{difference} {words.unit(page.metric)} to {page.baseline.stage}, {note}"
    return Tile(page.metric, value, note)


_AGREEMENT = (
    "The labels are the model's own answers. Agreement is the share of texts that get the same "
    "class as from the model before compression, whether that is right or wrong."
)


def notes(page: Page) -> Iterator[str]:
    """Yield the notes that qualify the page's figures."""
    if page.recipe["task"].get("use") == "agreement":
        yield _AGREEMENT
    yield from _different_irs(page)
    if page.no_comparison:
        yield f"No differences to a baseline: {page.no_comparison}"
    for entry in page.comparison.skipped if page.comparison else []:
        name = Path(entry.folder).name
        if not entry.expected and name not in page.run.unsealed:
            yield f"No difference of {name}: {entry.why}."
    if page.bench is None:
        yield f"Speed and memory have not been measured. {missing_bench(page)}"


def _different_irs(page: Page) -> Iterator[str]:
    """Yield notes on IRs whose figures differ from their models' on the same rows."""
    for stage in page.stages:
        for split, figures in stage.splits.items():
            model = figures.get("pytorch", {})
            mine, its = (side.get(page.metric) for side in (figures, model))
            same_rows = stage.kind == "ir" and model.get("n") == figures["n"]
            if same_rows and mine is not None and its not in (None, mine):
                its = words.sentence(page.metric, its)
                mine = words.sentence(page.metric, mine)
                yield f"{stage.stage}: {mine} on {split}, its model {its} (n {figures['n']})."


def missing_bench(page: Page) -> str:
    return f"Run jpqd bench {page.name}, then jpqd report {page.name} again."
