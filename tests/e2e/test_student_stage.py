"""A stage that starts from some layers of an earlier one."""

import json

import pytest
import torch

from jpqd.core.errors import RecipeError, UserError
from jpqd.model import loading
from jpqd.model.student import layers_of
from jpqd.recipe import recipes
from jpqd.run.plan import plan
from tests.helpers.distill_place import COMMON, Place

CHAIN = f"""\
  dense: {{{COMMON}}}
  half:
    {{use: train, epochs: 1, precision: f32, student: {{from: dense, layers: 1}},
     methods: [{{use: distill, teacher: dense}}]}}
"""


def test_a_student_of_an_earlier_stage_learns_from_it(place: Place) -> None:
    path = place.recipe(CHAIN)
    run = place.run(path)
    assert loading.load(run / "half").config.num_hidden_layers == 1
    loaded = recipes.load(path)
    dense, half = plan(loaded, run)
    assert (dense.status, half.status) == ("sealed", "sealed")
    assert "model" not in half.inputs
    assert half.inputs["parents"] == {"dense": dense.fingerprint}
    assert half.inputs["stage"]["student"] == {"from": "dense", "layers": 1}
    assert recipes.Recipe.model_validate(loaded.plain()) == loaded


def test_a_student_starts_with_its_teachers_weights(place: Place) -> None:
    untrained = ("epochs: 1, precision: f32, student", "epochs: 0, precision: f32, student")
    run = place.run(place.recipe(CHAIN, untrained))
    dense, half = (loading.load(run / stage) for stage in ("dense", "half"))
    ids = torch.arange(5, 15).reshape(2, 5)
    states = dense(ids, output_hidden_states=True).hidden_states
    expected = dense.classifier(dense.bert.pooler(layers_of(dense)[1](states[0])))
    torch.testing.assert_close(half(ids).logits, expected)


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ("{from: dense, layers: 1}, needs: [dense]", "both `needs` and `student`"),
        ("{from: nothing, layers: 1}", "'nothing' is no stage"),
        ("{from: dense, layers: [2, 1]}", "the numbers do not go up"),
        ("{from: dense, layers: 0}", "must be greater than 0"),
        ("{layers: 1}", "is missing"),
    ],
)
def test_a_mistake_about_the_student_is_named(place: Place, student: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.half\.student") as error:
        recipes.load(place.recipe(CHAIN, ("{from: dense, layers: 1}", student)))
    assert expected in str(error.value)


def test_a_student_of_a_pruned_stage_has_the_heads_of_its_layers(place: Place) -> None:
    pruned = f"""\
  cut: {{{COMMON}, methods: [{{use: prune, keep: 0.4}}]}}
  half: {{{COMMON}, student: {{from: cut, layers: 1}}}}
"""
    run = place.run(place.recipe(pruned))
    cut, half = (
        json.loads((run / stage / "structure.json").read_text()) for stage in ("cut", "half")
    )
    assert half["layers"] == cut["layers"][1:]
    assert loading.load(run / "half").config.num_hidden_layers == 1


def test_a_quantized_stage_cannot_be_shortened(place: Place) -> None:
    quantized = f"""\
  quantized: {{{COMMON}, methods: [{{use: quantize, samples: 16}}]}}
  half: {{{COMMON}, student: {{from: quantized, layers: 1}}}}
"""
    with pytest.raises(UserError, match=r"half: student\.layers: the model is quantized"):
        place.run(place.recipe(quantized))
