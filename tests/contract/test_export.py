"""Every family, what stages leave of it, every shape: the IR opens elsewhere and says the same."""

from __future__ import annotations

import functools
import json
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_tokenizers  # noqa: F401 - its operations, for an IR that takes texts
import pytest
import torch
from optimum.intel import OVModelForSequenceClassification
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from export import command
from export.names import FUSED, MODEL, TOKENIZER
from export.origin import Origin
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.model import loading, shrink
from jpqd.recipe.task import NewModel, Task
from tests.helpers import small

KEPT = [((), (0, 3, 5, 9, 20)), ((1, 3), ()), ((0, 2, 3), (1, 2, 4, 8, 16, 17, 23))]
"""Uneven, with a layer without heads and one without neurons."""
TEXTS = ["not good", "this was a very good film, and i would see it again at once", "bad " * 40]
KINDS = {
    "teacher": (False, False),
    "pruned": (True, False),
    "quantized": (False, True),
    "jpqd": (True, True),
}
SHAPES = {"bounded": (-1, 63), "dynamic": (-1, -1), "static:2,16": (2, 16)}
CASES = [
    *((family, kind, shape) for family in small.FAMILIES for kind in ("teacher", "jpqd")
      for shape in ("bounded", "static:2,16")
      # Its INT8 is held against PyTorch in test_families.py, by classes: it rounds twice as much.
      if family != "deberta-v2" or (kind, shape) == ("teacher", "bounded")),
    *(("bert", kind, "dynamic") for kind in KINDS),
]  # fmt: skip


@functools.cache
def network(family: str, kind: str) -> PreTrainedModel:
    pruned, quantized = KINDS[kind]
    made = small.model(family)
    if quantized:
        small.quantize(made)
    if pruned:
        shrink.cut(made, [shrink.Kept(*kept) for kept in KEPT])
    return made


@functools.cache
def words(folder: Path) -> Any:
    task = Task(name="small", dataset="builtin:reviews")
    new = NewModel(new="bert", vocab_size=small.WORDS)
    return loading.load_tokenizer(new, task, folder).backend_tokenizer


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a training stage leaves it."""
    family, kind, _ = request.node.callspec.params["case"]
    folder = tmp_path_factory.mktemp(family) / kind
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if family == "bert" else [])]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=deepcopy(words(tmp_path_factory.getbasetemp() / "words")),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=63, model_input_names=names,
    )  # fmt: skip
    loading.save(network(family, kind), tokenizer, folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_it_opens_elsewhere_and_says_the_same(case: tuple[str, str, str], stage: Path) -> None:
    _, kind, shape = case
    origin = Origin(stage, None, stage.parent)
    asked = command.spec(origin, shape=shape, fuse_tokenizer=True)
    sealed, folder = command.export(origin, asked, None, False, Progress(quiet=True))
    assert list(artifact.damage(folder, sealed.files)) == []
    quantized = KINDS[kind][1]
    assert {check["same"] >= (0.995 if quantized else 1) for check in
            sealed.metrics["check"].values()} == {True}  # fmt: skip

    core = ov.Core()
    ir = core.read_model(folder / MODEL)
    assert shape_of(ir) == SHAPES[shape]
    assert weights_in(ir) == ({"i8"} if quantized else {"f32"})
    assert matmul_sizes(ir) == linear_sizes(loading.load(stage))

    length = SHAPES[shape][1] if SHAPES[shape][1] > 0 else 63
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if shape.startswith("static") else True
    how = {"padding": padding, "truncation": True, "max_length": length, "return_tensors": "pt"}
    given = dict(tokenizer(TEXTS[:2], **how))
    expected = small.logits(loading.load(stage), given)
    opened = OVModelForSequenceClassification.from_pretrained(
        str(folder), ov_config={"INFERENCE_PRECISION_HINT": "f32"}
    )
    close = {"atol": (0.05 if quantized else 1e-4) * float(expected.std()), "rtol": 0}
    torch.testing.assert_close(opened(**given).logits, expected, **close)

    fused = core.compile_model(folder / FUSED, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [port.get_any_name() for port in fused.inputs] == ["text"]
    found = torch.from_numpy(fused({0: TEXTS[:2]})["logits"].copy())
    torch.testing.assert_close(found, expected, **close)

    encode = core.compile_model(folder / TOKENIZER, "CPU")
    texts = TEXTS[1:]  # one of them longer than the model takes
    np.testing.assert_array_equal(
        encode({0: texts})["input_ids"], tokenizer(texts, **how)["input_ids"]
    )


def shape_of(ir: ov.Model) -> tuple[int, int]:
    """Rows and the most tokens; -1 is any number."""
    rows, tokens = ir.input("input_ids").get_partial_shape()
    most = tokens.get_length() if tokens.is_static else tokens.get_max_length()
    return (rows.get_length() if rows.is_static else -1, most)


def weights_in(ir: ov.Model) -> set[str]:
    """Types in which matrices are stored, but for two token types and two labels."""
    constants = [op for op in ir.get_ops() if op.get_type_name() == "Constant"]
    large = [op for op in constants if len(op.shape) == 2 and min(op.shape) > 2]
    return {op.get_element_type().get_type_name() for op in large}


def matmul_sizes(ir: ov.Model) -> Counter[int]:
    """Of the products with weights: outputs by inputs. Query and key may be one product."""
    found: Counter[int] = Counter()
    for operation in ir.get_ops():
        if operation.get_type_name() == "MatMul":
            shape = operation.input_value(1).get_partial_shape()
            if shape.is_static and len(shape) == 2:
                outputs, inputs = shape.to_shape()
                found[inputs] += outputs
    return +found


def linear_sizes(network: PreTrainedModel) -> Counter[int]:
    found: Counter[int] = Counter()
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            found[module.in_features] += module.out_features
    return +found


def test_the_ids_of_labels_travel_along(tmp_path: Path) -> None:
    made = small.model(id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=deepcopy(words(tmp_path)), pad_token="[PAD]", model_max_length=63
    )
    loading.save(made, tokenizer, tmp_path / "named")
    origin = Origin(tmp_path / "named", None, tmp_path)
    _, folder = command.export(origin, command.spec(origin), None, False, Progress(quiet=True))
    opened = OVModelForSequenceClassification.from_pretrained(str(folder), compile=False)
    assert opened.config.id2label == {0: "bad", 1: "good"}
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
