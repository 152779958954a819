"""What a description of a family promises, on a tiny model of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from jpqd.core import room
from jpqd.core.errors import SourceError, UserError
from jpqd.model import apart, described, families, loading, shrink, structure, table
from jpqd.model.student import layers_of, shorten
from jpqd.recipe.task import NewModel, Task
from tests.helpers import small
from tests.helpers.export_place import jpqd

KEPT = [((1, 3), (0, 3, 5, 9, 20)), ((), (1, 2, 4, 8)), ((0, 2, 3), ())]
"""Heads and neurons of three layers; one has no heads, one has no neurons."""


@pytest.fixture(params=described.ENCODERS)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """One that gives what every family takes."""
    task = Task(name="tiny", dataset="builtin:reviews")
    new = NewModel(new="bert", vocab_size=small.WORDS)
    words = loading.load_tokenizer(new, task, tmp_path_factory.mktemp("cache"))
    return PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, pad_token="[PAD]", model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def pruned(family: str, quantized: bool) -> tuple[PreTrainedModel, Any]:
    """A model with closed gates, and what cuts it."""
    model = small.model(family)
    structure: Any = small.pruning(model, 0.5).structure
    if quantized:
        small.quantize(model)
    arch = families.of(model)
    for index, members in enumerate(KEPT):
        paths = (arch.attention_out, arch.ffn_out)
        for path, kept in zip(paths, members, strict=True):
            gate = structure.gates[index, path].mask
            gate.zero_()
            gate[0, list(kept)] = 1
    return model, structure


def test_the_room_for_tokens_is_known_without_the_model(
    family: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = small.model(family)
    tokenizer.model_max_length = 10_000
    assert room.tokens(model.config.to_dict()) == families.longest(model, tokenizer)
    tokenizer.model_max_length = 32


def test_the_tiny_models_are_of_every_family() -> None:
    assert small.FAMILIES.keys() == described.ENCODERS.keys()


def test_every_path_leads_to_its_module(family: str) -> None:
    model = small.model(family)
    arch = families.of(model)
    paths = (arch.query, arch.key, arch.value, arch.attention_out,
             *arch.ffn_in, arch.ffn_out)  # fmt: skip
    for layer in families.layers(model):
        assert all(isinstance(families.part(layer, path), nn.Linear) for path in paths)
        assert families.part(layer, arch.attention) and families.part(layer, arch.ffn)
    if arch.positions is not None:
        assert isinstance(families.part(model.base_model, arch.positions), nn.Embedding)
    assert set(shrink.sizes(model)) == {families.whole_layer(model)}
    assert families.head_size(model) * small.HEADS == 32


def test_it_reads_as_many_tokens_as_it_says_and_no_more(
    family: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = small.model(family)
    assert families.longest(model, tokenizer) == tokenizer.model_max_length == 32
    most = families.longest(model, PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer))
    model(torch.full((1, most), 7))
    if families.of(model).positions is None:
        return  # angles of any length
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, most + 1), 7))


@pytest.mark.parametrize("quantized", [False, True])
def test_masked_cut_saved_and_exported_it_says_the_same(
    family: str, quantized: bool, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model, structure = pruned(family, quantized)
    given = small.batch(64)
    masked = small.logits(model, given)
    structure.cut()
    cut = small.logits(model, given)
    assert shrink.sizes(model) == [(len(heads), len(neurons)) for heads, neurons in KEPT]
    if quantized:  # a value between two levels may fall on either
        assert (cut - masked).abs().max() < 0.02 * masked.abs().max()
    else:
        torch.testing.assert_close(cut, masked, atol=1e-5, rtol=0)
    loading.save(model, tokenizer, tmp_path / "model")
    assert torch.equal(small.logits(loading.load(tmp_path / "model"), given), cut)
    done = jpqd("export", "--ir", tmp_path / "model", "--out", tmp_path / "ir", "--json")
    assert done.exit_code == 0, done.output
    (check,) = json.loads(done.stdout)["metrics"]["check"].values()
    assert check["same"] == 1.0
    assert any("8" in precision for precision in check["matmuls"]) == quantized


def test_a_whole_model_is_saved_as_transformers_reads_it(family: str, tmp_path: Path) -> None:
    model, batch = small.model(family), small.batch()
    structure.save(model, tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(small.logits(theirs, batch), small.logits(model, batch))


def test_a_family_that_is_not_described_is_shortened_and_compared_but_not_pruned() -> None:
    small_one: dict[str, Any] = {**small.SIZES, "pad_token_id": 0}
    model = small.of("camembert", **small_one)
    assert families.alike(model) == described.ENCODERS["bert"]
    shorten(model, (1, 3), "student")
    assert len(layers_of(model)) == model.config.num_hidden_layers == 2
    with pytest.raises(UserError, match="'camembert' cannot be pruned"):
        families.layers(model)
    with pytest.raises(UserError, match="'albert': their layers are not found"):
        layers_of(small.of("albert", **small_one))


def test_a_deberta_with_projections_of_its_own_for_distances_is_not_pruned() -> None:
    sizes = {**small.FAMILIES["deberta-v2"], "share_att_key": False}
    with pytest.raises(UserError, match="without share_att_key"):
        families.of(small.of("deberta-v2", **sizes))


def test_a_first_layer_that_others_cannot_stand_in_for_stays() -> None:
    for numbers in ((2, 3), (1,)):  # without the first one, and with one kind of attention
        with pytest.raises(UserError, match="Keep layer 1"):
            shorten(small.model("modernbert"), numbers, "student")
    by_size: Any = small.pruning(small.model("modernbert"), 0.4, structure="layers",
                                 score="magnitude").structure  # fmt: skip
    for weight in by_size.layers[0].parameters():
        weight.data.zero_()
    by_size.mask(0.1)
    assert [by_size.masks()[str(index)].item() for index in range(3)].count(1) == 2
    assert by_size.masks()["0"].item() == 1


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_layers_of_a_modernbert_are_some_that_it_can_do_with(
    count: int, tmp_path: Path
) -> None:
    model = small.model("modernbert")
    shorten(model, count, "student")
    assert len(layers_of(model)) == 2
    structure.save(model, tmp_path)
    batch = small.batch()
    assert torch.equal(small.logits(loading.load(tmp_path), batch), small.logits(model, batch))


def test_quantizers_of_joined_projections_are_refused(tmp_path: Path) -> None:
    """Earlier versions kept ModernBERT's in one matrix; their hooks would never be called."""
    model = small.quantize(small.model("modernbert"))
    structure.save(model, tmp_path)
    told = (tmp_path / "structure.json").read_text()
    (tmp_path / "structure.json").write_text(told.replace("/Wqkv/query/linear/", "/Wqkv/linear/"))
    with pytest.raises(SourceError, match="Make it anew"):
        loading.load(tmp_path)


def test_a_joined_matrix_of_another_size_is_not_read_as_if_it_were_missing() -> None:
    model = small.model("modernbert")
    state = model.state_dict()
    state["model.layers.0.attn.Wqkv.weight"] = torch.zeros(90, 32)
    with pytest.raises(RuntimeError, match=r"size mismatch for model.*Wqkv.weight"):
        model.load_state_dict(state)


def test_what_was_taken_apart_is_one_product_while_it_is_exported() -> None:
    model, batch = small.model("modernbert"), small.batch()
    expected = small.logits(model, batch)
    with apart.together(model):
        assert isinstance(model.get_submodule("model.layers.0.attn.Wqkv"), nn.Linear)
        torch.testing.assert_close(small.logits(model, batch), expected, atol=1e-5, rtol=0)
    assert isinstance(model.get_submodule("model.layers.0.attn.Wqkv"), apart.Apart)


def test_rows_of_the_table_of_words_can_be_left_out(family: str, tmp_path: Path) -> None:
    model, batch = small.model(family), small.batch()
    expected = small.logits(model, batch)
    kept = sorted({*table.fixed(model), *batch["input_ids"].flatten().tolist()})
    table.keep_rows(model, kept, "here")
    batch["input_ids"] = torch.searchsorted(torch.tensor(kept), batch["input_ids"])
    assert torch.equal(small.logits(model, batch), expected)
    structure.save(model, tmp_path)
    assert torch.equal(small.logits(loading.load(tmp_path), batch), expected)
    assert len(kept) < small.WORDS
