"""How many steps a stage has, and what comes after which."""

from jpqd.stages.train import Train
from jpqd.training import steps


def of(rows: int = 320, **options: object) -> steps.Steps:
    return steps.of(Train.model_validate({"use": "train", **options}), rows)


def test_an_epoch_has_a_step_for_every_batch_begun() -> None:
    assert of(320, batch_size=32, epochs=3).total == 30
    assert of(321, batch_size=32, epochs=3).total == 33


def test_a_fraction_of_an_epoch_ends_in_its_middle() -> None:
    found = of(320, batch_size=32, epochs=1.45, warmup=0.5)
    assert (found.total, found.warmup) == (15, 7)
    assert found.epoch(15) == 1.5


def test_the_last_evaluation_comes_after_the_last_step() -> None:
    assert of(320, batch_size=32, epochs=1.5).evaluations == {10, 15}
    assert of(320, batch_size=32, epochs=2, evals_per_epoch=2).evaluations == {5, 10, 15, 20}


def test_more_evaluations_than_steps_are_one_after_each() -> None:
    assert of(64, batch_size=32, epochs=1, evals_per_epoch=9).evaluations >= {1, 2}
