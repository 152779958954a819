"""What cannot be pruned or quantized is refused before training starts, with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jpqd.core.errors import RecipeError, SourceError, UserError
from jpqd.model import loading
from jpqd.recipe import recipes
from tests.e2e.test_distill_mistakes import make_regression
from tests.e2e.test_families import folder_of
from tests.helpers.distill_place import COMMON, Place, set_labels

QUANTIZE = "{use: quantize, samples: 4}"
PRUNE = "{use: prune, keep: 0.4, schedule: one_shot, start: 0.0, samples: 16}"
SHOT = COMMON.replace("epochs: 1", "epochs: 0")


def stage(methods: str, more: str = "", name: str = "small") -> str:
    return f"  {name}: {{{COMMON}{more}, methods: [{methods}]}}\n"


def from_folder(place: Place, folder: Path, stages: str) -> Path:
    """A recipe whose model is a folder."""
    path = place.recipe(stages)
    text = path.read_text()
    model_end = text.index("task:")
    path.write_text(f"model: {folder}\n" + text[model_end:])
    return path


def refused(place: Place, path: Path) -> str:
    with pytest.raises(UserError) as error:
        place.run(path)
    assert error.value.exit_code == 2
    assert not list((place.folder / "runs" / "small").glob(".work/small*/step-*"))
    assert not (place.folder / "runs" / "small" / "small").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ("{use: prune, keep: 0}", "must lie between 0 and 1"),
        ("{use: prune, keep: 1.0}", "must lie between 0 and 1"),
        ("{use: prune, keep: 0.5, start: 0.5, end: 0.3}", "is before start 0.5"),
        ("{use: prune, keep: 0.5, after: rewind}", "needs pruning in rounds"),
        ("{use: prune, keep: 0.5, norm: l1}", "Add score: magnitude, or leave it out"),
        ("{use: prune, keep: 0.5, rounds: 4}", "Add schedule: iterative, or leave it out"),
        ("{use: prune, keep: 0.5, threshold: 0.1}", "Add target: threshold, or leave it out"),
        ("{use: quantize, percentile: 99.0}", "Add range: percentile, or leave it out"),
        ("{use: distill, teacher: ./x, layers: [1, 2]}", "Give hidden or attention"),
        ("{use: prune, keep: 0.5, floor: 0.5, ceiling: 0.4}", "is below floor 0.5"),
        (
            "{use: prune, keep: 0.5, schedule: iterative, end: 1.0, after: reinit}",
            "steps after the last round",
        ),
        ("{use: prune, keep: 0.5, structure: layers, floor: 0.2}", "does not count"),
        ("{use: prune, keep: 0.5, structure: layers, scope: layer}", "nothing reads it"),
        ("{use: prune, keep: 0.5, structure: layers, round_ffn_to: 8}", "nothing reads it"),
        ("{use: prune, keep: 0.5, structure: unstructured, round_ffn_to: 8}", "nothing reads it"),
        ("{use: prune, keep: 0.5, structure: layers, refit: true}", "solved again with structure"),
        (
            "{use: prune, keep: 0.5, schedule: one_shot, after: rewind, refit: true}",
            "no projection is solved again with after: rewind",
        ),
        (
            "{use: prune, target: threshold, structure: block, refit: true}",
            "solved again with target: threshold",
        ),
        ("{use: prune, target: threshold, structure: block, start: 0.0}", "before the scores"),
        (
            "{use: prune, target: threshold, structure: block, schedule: linear}",
            "does not go with target: threshold",
        ),
        ("{use: quantize, percentile: 30.0}", "must be greater than 50"),
        (f"{QUANTIZE}, {QUANTIZE}", "'quantize' is listed twice"),
        (f"{PRUNE}, {QUANTIZE}, {PRUNE}", "'prune' is listed twice"),
    ],
)
def test_a_mistake_in_the_recipe_is_named(place: Place, methods: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.small\.methods") as error:
        recipes.load(place.recipe(stage(methods)))
    assert expected in str(error.value)


@pytest.mark.parametrize("limit", ["keep: 0.3, floor: 0.5", "keep: 0.9, ceiling: 0.5"])
def test_a_share_out_of_reach_is_refused_with_what_can_be_reached(place: Place, limit: str) -> None:
    message = refused(place, place.recipe(stage(f"{{use: prune, {limit}}}")))
    assert f"small: {limit.split(',')[0]} cannot be reached" in message
    assert "The floor and ceiling allow between" in message


def test_a_threshold_without_training_is_refused(place: Place) -> None:
    prune = "{use: prune, target: threshold, structure: block, score: movement}"
    path = place.recipe(stage(prune))
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 0"))
    assert "learns scores in training" in refused(place, path)


def test_a_refit_on_a_ramp_is_refused(place: Place) -> None:
    message = refused(place, place.recipe(stage("{use: prune, keep: 0.5, refit: true}")))
    assert "not with schedule: cubic. Give schedule: one_shot" in message


def test_a_share_that_is_gone_already_is_refused_with_what_is_left(place: Place) -> None:
    first = stage("{use: prune, keep: 0.4}", name="first")
    second = stage("{use: prune, keep: 0.6}", more=", needs: [first]")
    message = refused(place, place.recipe(first + second))
    assert "small: keep: 0.6 cannot be reached" in message
    assert "An earlier stage left 0.3" in message


def test_another_family_is_refused_with_those_that_can_be_pruned(place: Place) -> None:
    folder = folder_of("camembert", place.folder)
    message = refused(place, from_folder(place, folder, stage(PRUNE)))
    assert "'camembert' cannot be pruned" in message
    assert (
        "bert, deberta-v2, distilbert, electra, modernbert, mpnet, roberta, xlm-roberta" in message
    )


def test_a_part_that_no_module_has_is_refused(place: Place) -> None:
    path = place.recipe(stage("{use: quantize, samples: 4, ignore: [poler]}"))
    message = refused(place, path)
    assert "quantize: ignore 'poler' is not part of any module's name" in message


def test_a_quantized_stage_is_not_quantized_again(place: Place) -> None:
    first = f"  first: {{{SHOT}, methods: [{QUANTIZE}]}}\n"
    message = refused(place, place.recipe(first + stage(QUANTIZE, ", needs: [first]")))
    assert "quantize: the model is quantized already" in message


@pytest.fixture(scope="module")
def compressed(trained: Path) -> Path:
    """The folder of a model that is pruned and quantized."""
    place = Place(trained)
    text = f"  made: {{{SHOT}, methods: [{PRUNE}, {QUANTIZE}]}}\n"
    return place.run(place.recipe(text, name="made")) / "made"


@pytest.fixture
def folder(compressed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compressed, tmp_path / "compressed"))


def test_a_compressed_folder_is_a_model_to_start_from(place: Place, folder: Path) -> None:
    run = place.run(from_folder(place, folder, f"  small: {{{COMMON}}}\n"))
    structures = [json.loads((f / "structure.json").read_text()) for f in (folder, run / "small")]
    assert structures[0] == structures[1]


def other_names(place: Place, folder: Path) -> None:
    set_labels(folder, ["cat", "dog"])


def third_class(place: Place, folder: Path) -> None:
    path = place.folder / "data" / "train.csv"
    path.write_text(path.read_text() + "neither good nor bad,neutral\n" * 9)


def regression(place: Place, folder: Path) -> None:
    make_regression(place)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (other_names, "its classes are 'cat', 'dog', and the task's"),
        (third_class, "'neutral'"),
        (regression, "the task's are none (a regression)"),
    ],
)
def test_a_compressed_folder_with_other_labels_is_refused(
    place: Place, folder: Path, change: Any, expected: str
) -> None:
    change(place, folder)
    message = refused(place, from_folder(place, folder, f"  small: {{{COMMON}}}\n"))
    assert f"{folder}: its classes are" in message
    assert expected in message
    assert "for the same classes only" in message


def spoil(folder: Path, change: Any) -> None:
    path = folder / "structure.json"
    structure = json.loads(path.read_text())
    change(structure)
    path.write_text(json.dumps(structure))


def other_class(path: str, name: str) -> Any:
    def change(structure: dict[str, Any]) -> None:
        command = structure["quantization"]["compression_state"][0]
        command.update(module_path=path, module_cls_name=name)

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.update(version=2), "made by another version of jpqd"),
        (lambda s: s["layers"].pop(), "is damaged"),
        (lambda s: s["layers"][0].pop("heads"), "is damaged"),
        (lambda s: s["layers"][0].update(heads=list(range(50))), "is damaged"),
        (lambda s: s["layers"][0].update(neurons="many"), "is damaged"),
        (lambda s: s["layers"][0].update(neurons=61), "does not fit"),
        (lambda s: s["quantization"].pop("compression_state"), "is damaged"),
        (other_class("os", "system"), "is damaged"),
        (other_class("jpqd.quantizers", "Nothing"), "is damaged"),
        (other_class("jpqd.quantizers_of_others", "Symmetric"), "is damaged"),
        (other_class("jpqd.quantizers", "weakref"), "is damaged"),
    ],
)
def test_a_damaged_structure_is_named(folder: Path, change: Any, expected: str) -> None:
    spoil(folder, change)
    with pytest.raises(SourceError, match="structure") as error:
        loading.load(folder)
    assert expected in str(error.value)


def test_a_structure_that_is_no_json_is_named(folder: Path) -> None:
    (folder / "structure.json").write_text("{")
    with pytest.raises(SourceError, match=r"structure\.json cannot be read"):
        loading.load(folder)
