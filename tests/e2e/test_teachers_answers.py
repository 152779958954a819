"""What a teacher says of train: kept in parts, where it is read and where there is room for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from jpqd.core import cached, memory
from jpqd.core.errors import SourceError
from jpqd.core.progress import Progress
from jpqd.methods.distill import likeliest, teachers
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.e2e.test_distill import attached
from tests.e2e.test_imitate import HEAD as LANGUAGE
from tests.helpers.distill_place import (
    ROWS,
    Place,
    asked_rows,
    change_labels,
    losses,
    same,
    weights,
)


def test_a_kill_costs_one_part_of_what_the_teacher_predicts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.small(f"teacher: {place.teacher}")
    _, whole, batch = attached(path, place)
    shutil.rmtree(place.folder / "runs" / ".cache")
    monkeypatch.setattr(teachers, "_PART", 50)
    keep, kept = cached.put, []

    def die_in_the_third(entry: Path, make: Any) -> None:
        if entry.name.startswith("logits-"):
            kept.append(entry)
            if len(kept) == 3:
                raise KeyboardInterrupt
        keep(entry, make)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cached, "put", die_in_the_third)
        attached(path, place)
    asked = asked_rows(monkeypatch)
    _, parts, _ = attached(path, place)
    assert asked == [50, 2]
    rows = batch["row"]
    torch.testing.assert_close(parts.known.of_rows(rows), whole.known.of_rows(rows))
    torch.testing.assert_close(parts.known.logits, whole.known.logits)


def test_likeliest_tokens_are_kept_in_parts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "{use: distill, teacher: whole, weight: 1.0, top: 4}"
    small = f"  small: {{use: train, epochs: 0.1, batch_size: 8, methods: [{told}]}}\n"
    path = tmp_path / "lm.yaml"
    path.write_text(LANGUAGE + small)
    made = []
    for size in (2_000, 40):
        monkeypatch.setattr(likeliest, "_PART", size)
        runs = tmp_path / str(size)
        runner.execute(recipes.load(path), runs, Progress(quiet=True))
        made.append(weights(runs / "lm" / "small"))
        count = len(list((runs / ".cache").glob("likeliest-*/")))
        assert (count > 2) == (size == 40)
    assert same(*made)


def test_nobody_is_asked_where_nothing_trains(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_rows(monkeypatch)
    path = place.small(f"teacher: {place.teacher}", ("epochs: 1", "epochs: 0"))
    place.run(path)
    assert not list((place.folder / "runs" / ".cache").glob("logits-*"))
    assert ROWS * 0.95 not in asked
    change_labels(place, ["cat", "dog"])
    with pytest.raises(SourceError, match="its classes are 'cat'"):
        place.run(path)


@pytest.mark.parametrize("more", ["", ", augment: 0.5, variants: 3"])
def test_answers_that_do_not_fit_into_memory_are_given_live(
    place: Place, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    path = place.small(f"teacher: {place.teacher}{more}", ("epochs: 1", "epochs: 0.2"))
    expected = losses(place.run(path))
    shutil.rmtree(place.folder / "runs" / "small")
    monkeypatch.setattr(memory, "free_bytes", lambda: 2_000)
    said: list[str] = []
    monkeypatch.setattr(Progress, "say", lambda _, text: said.append(text))
    assert losses(place.run(path)) == pytest.approx(expected, rel=1e-4)
    assert any("of 0.0 that are free, so it answers in every step" in text for text in said)
