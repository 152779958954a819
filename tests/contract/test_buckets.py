"""An IR that is static inside answers as its model does: every family, length, size and mask."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13
from transformers import (
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from export import check, convert
from export.graph import buckets, embedding
from export.shapes import Shape
from jpqd import tasks
from jpqd.model import families, loading, shrink
from jpqd.recipe.task import NewModel, Task
from tests.helpers import small

LENGTHS, LONGEST = (8, 16, 24), 32
KEPT = [((), (0, 3, 5, 9, 20)), ((1, 3), ()), ((0, 2, 3), (1, 2, 4, 8, 16, 17, 23))]
CASES = [
    *((family, what) for family in small.FAMILIES for what in ("f32", "jpqd")),
    ("bert", "tokens"), ("mpnet", "tokens"), ("bert", "regression"), ("roberta", "pads with 1"),
]  # fmt: skip


@functools.cache
def network(family: str, what: str) -> PreTrainedModel:
    if what == "tokens":
        return of_tokens(family)
    more: dict[str, Any] = {"num_labels": 1, "problem_type": "regression"}
    if what == "pads with 1":
        sizes = {**small.FAMILIES[family], "pad_token_id": 1}
        return small.of(family, **sizes, max_position_embeddings=65)
    made = small.model(family, **(more if what == "regression" else {}))
    if what == "jpqd":
        small.quantize(made)
        shrink.cut(made, [shrink.Kept(*kept) for kept in KEPT])
    return made


def of_tokens(family: str) -> PreTrainedModel:
    made: PreTrainedModel = AutoModelForTokenClassification.from_config(
        small.model(family).config, dtype=torch.float32
    )
    made.config.architectures = [type(made).__name__]
    made.train(False)
    return made


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    task = Task(name="small", dataset="builtin:reviews")
    new = NewModel(new="bert", vocab_size=small.WORDS)
    return loading.load_tokenizer(new, task, tmp_path_factory.mktemp("words"))  # type: ignore[return-value]


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def both(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: Any
) -> tuple[PreTrainedModel, ov.CompiledModel, float]:
    """The model, its IR as read back from disk, and how far apart they may be."""
    family, what = request.param
    model = network(family, what)
    shape = Shape(most=LONGEST, lengths=LENGTHS)
    path = ir(model, tokenizer, shape, tmp_path_factory.mktemp("ir"))
    return model, check.compiled(path), 0.05 if what == "jpqd" else 1e-4


def ir(
    model: PreTrainedModel, tokenizer: Any, shape: Shape, folder: Path, bits: Any = None
) -> Path:
    plain = convert.convert(model, tokenizer, tasks.of_network(model), shape)
    made = convert.prepare(plain, shape, bits, model.config.pad_token_id or 0)
    convert.save(made, folder / "openvino_model.xml")
    return folder / "openvino_model.xml"


def answers(compiled: ov.CompiledModel, given: dict[str, np.ndarray]) -> np.ndarray:
    zeros = np.zeros_like(given["input_ids"])
    names = [port.get_any_name() for port in compiled.inputs]
    found: np.ndarray = compiled({name: given.get(name, zeros) for name in names})["logits"]
    return found.copy()


def request(rows: int, length: int, seed: int) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    ids = chance.integers(5, small.WORDS, (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def assert_same(
    both: tuple[PreTrainedModel, ov.CompiledModel, float], given: dict[str, np.ndarray]
) -> None:
    model, compiled, close = both
    tensors = {name: torch.from_numpy(values) for name, values in given.items()}
    expected = small.logits(model, tensors).numpy()
    found = answers(compiled, given)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= close * max(1.0, float(np.abs(expected).max()))


def test_one_row_of_every_length(both: tuple[PreTrainedModel, ov.CompiledModel, float]) -> None:
    """Also of two texts, where the model tells them apart."""
    names = {port.get_any_name() for port in both[1].inputs}
    for length in range(1, LONGEST + 1):
        given = request(1, length, length)
        if "token_type_ids" in names:
            given["token_type_ids"] = (np.arange(length) > length // 2).astype(np.int64)[None]
        assert_same(both, given)


def test_several_rows(both: tuple[PreTrainedModel, ov.CompiledModel, float]) -> None:
    for rows in range(2, 10):
        given = request(rows, 3 * rows, rows)
        given["attention_mask"][::2, -2:] = 0  # padding at the end, as a tokenizer leaves it
        given["input_ids"][given["attention_mask"] == 0] = both[0].config.pad_token_id or 0
        assert_same(both, given)


def test_a_mask_with_padding_and_with_holes(
    both: tuple[PreTrainedModel, ov.CompiledModel, float],
) -> None:
    padding = both[0].config.pad_token_id or 0
    family = both[0].config.model_type
    # The heads of these read the first token. Where it is masked, a DeBERTa's looks at nothing, and
    # so at all padding alike, and in an IR a ModernBERT's sees itself.
    for holes in ([9, 10], [2], [4, 5] if family in ("deberta-v2", "modernbert") else [0, 5]):
        given = request(1, 11, 3)
        given["attention_mask"][0, holes] = 0
        given["input_ids"][0, holes] = padding
        assert_same(both, given)


def test_there_is_one_choice_and_all_products_are_behind_it(
    both: tuple[PreTrainedModel, ov.CompiledModel, float],
) -> None:
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in
             both[1].get_runtime_model().get_ops()]  # fmt: skip
    assert kinds.count("If") == 1
    assert "FullyConnected" not in kinds


@pytest.mark.parametrize("what", ["f32", "jpqd"])
@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_a_table_in_few_bits(
    what: str, bits: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """What is looked up is the model's own table, rounded to half a step of so many bits."""
    model = network("bert", what)
    (tmp_path / "whole").mkdir()
    found = convert.read(ir(model, tokenizer, Shape(), tmp_path, bits))
    tables = [node for node in found.get_ops() if node.get_type_name() == "Constant"
              and list(node.get_output_shape(0))[:1] == [small.WORDS]]  # fmt: skip
    types = {node.get_element_type().get_type_name() for node in tables}
    assert types == ({"i8", "f32"} if bits == "int8" else {"u8", "f16"})  # values and scales
    whole = convert.read(ir(model, tokenizer, Shape(), tmp_path / "whole"))
    steps = 2 ** (3 if bits == "int4" else 7) - 1
    exact, rounded = looked_up(whole), looked_up(found)
    most = np.abs(exact).max(axis=1, keepdims=True)
    assert (np.abs(rounded - exact) <= 0.501 * most / steps).all()
    assert np.abs(rounded - exact).max() > 0 or (what, bits) == ("jpqd", "int8")


def looked_up(model: ov.Model) -> np.ndarray:
    """The rows of all words."""
    ids = next(port.get_node() for port in model.inputs if port.get_any_name() == "input_ids")
    found = next(node for node in model.get_ops() if node.get_friendly_name() == embedding.NAME)
    rows = ov.Model([opset13.result(found)], [ids], "rows")
    every = np.arange(small.WORDS)[None]
    table: np.ndarray = ov.Core().compile_model(rows, "CPU", check.F32)(every)[0][0]
    return table.copy()


def test_without_its_bodies_it_is_the_graph_that_it_was(tokenizer: PreTrainedTokenizerFast) -> None:
    model = network("bert", "f32")
    shape = Shape(most=LONGEST, lengths=LENGTHS)
    plain = convert.convert(model, tokenizer, tasks.of_network(model), shape)
    made = buckets.any_shape(convert.prepare(plain, shape, None, 0))
    runs = ov.Core().compile_model(made, "CPU").get_runtime_model().get_ops()
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in runs]
    assert kinds.count("FullyConnected") >= 6 * len(families.layers(model))
    assert "If" not in kinds


def test_query_and_key_become_one_product(tokenizer: PreTrainedTokenizerFast) -> None:
    """The same answers, bit for bit, in one product less for each layer that has heads."""
    model = small.quantize(small.model("bert"))
    kind = tasks.of_network(model)
    before = convert.convert(model, tokenizer, kind, Shape())
    after = convert.prepare(before.clone(), Shape(), None, 0)
    given = request(3, 12, 0)
    apart, together = (ov.Core().compile_model(one, "CPU", check.F32) for one in (before, after))
    np.testing.assert_array_equal(answers(apart, given), answers(together, given))
    assert products(before) - products(after) == small.LAYERS


def products(model: ov.Model) -> int:
    return sum(node.get_type_name() == "MatMul" for node in model.get_ops())


def test_no_body_is_as_long_as_a_layer_has_heads(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The CPU plugin takes heads for tokens there, and only in a body, and only in INT8."""
    sizes = {**small.SIZES, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 64}
    model = small.quantize(small.of("bert", **sizes))
    path = ir(model, tokenizer, Shape(most=LONGEST, lengths=(8,)), tmp_path)
    whole = convert.read(path)
    given = [request(1, 8, seed) for seed in range(6)]
    bodies, dynamic = (
        np.concatenate([answers(ov.Core().compile_model(one, "CPU", check.F32), g) for g in given])
        for one in (whole, buckets.any_shape(whole))
    )
    assert np.median(np.abs(bodies - dynamic).max(1)) < 1e-3 * np.abs(dynamic).max()
