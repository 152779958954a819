"""Changed copies of texts: a teacher reads them once, and every stage learns from the same ones."""

import shutil
from pathlib import Path

import pytest
import torch

from jpqd.data import batching
from tests.e2e.test_distill import attached
from tests.helpers.distill_place import ROWS, Place, asked_rows, same, weights

CHANGED = "augment: 0.5, variants: 3"


def test_what_is_kept_is_what_the_teacher_says_of_the_copy(place: Place) -> None:
    _, hooks, batch = attached(place.small(f"teacher: {place.teacher}, {CHANGED}"), place)
    _, alive, _ = attached(place.small(f"teacher: {place.teacher}, augment: 0.5"), place)
    torch.manual_seed(1)
    seen = set()
    for _ in range(8):
        changed = hooks.prepare(batch)
        seen |= {tuple(ids) for ids in changed["input_ids"].tolist()}
        said = alive.teacher.answer(batching.features(changed))
        assert hooks.known.of_rows(changed["row"]) == pytest.approx(said, abs=1e-5)
    assert len(seen) == 3 * len(batch["row"])


def test_a_copy_is_the_same_whatever_stands_beside_it(place: Place) -> None:
    _, hooks, batch = attached(place.small(f"teacher: {place.teacher}, {CHANGED}"), place)
    which = torch.tensor([2, 0, 1, 2])
    whole = hooks.variants.change(batch, which)["input_ids"]
    longer = {
        "input_ids": torch.nn.functional.pad(batch["input_ids"][:1], (0, 9)),
        "row": batch["row"][:1],
    }
    alone = hooks.variants.change(longer, which[:1])["input_ids"]
    assert alone[0, : whole.shape[1]].tolist() == whole[0].tolist()
    assert not alone[0, whole.shape[1] :].any()
    special = torch.isin(batch["input_ids"], torch.from_numpy(hooks.variants.special))
    assert (whole == batch["input_ids"])[special].all()
    assert 0.2 < (whole != batch["input_ids"])[~special].float().mean() < 0.8


def test_a_later_stage_does_not_ask_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_rows(monkeypatch)
    place.run(place.small(f"teacher: {place.teacher}, {CHANGED}"))
    train = int(ROWS * 0.95)
    assert asked.count(train) == 3
    place.run(place.small(f"teacher: {place.teacher}, {CHANGED}, temperature: 3.0"))
    assert asked.count(train) == 3
    place.run(place.small(f"teacher: {place.teacher}, augment: 0.5, variants: 4"))
    assert asked.count(train) == 4


def test_a_second_run_draws_the_same_copies(place: Place) -> None:
    path: Path = place.small(f"teacher: {place.teacher}, {CHANGED}")
    first = weights(place.run(path) / "small")
    shutil.rmtree(place.folder / "runs" / "small")
    shutil.rmtree(place.folder / "runs" / ".cache")
    assert same(first, weights(place.run(path) / "small"))
