"""Running text: cut into windows in which every token counts once, and what is said of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from pydantic import ValidationError
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from jpqd.core.errors import DataError, UserError
from jpqd.core.manifest import interval
from jpqd.data import cuts, splits
from jpqd.recipe.task import build
from jpqd.scores import predictions, tokens
from jpqd.tasks._tokens import SILENT
from jpqd.tasks.causal_lm import CausalLm
from runtime_bench.job import prepare
from runtime_bench.job.workload import Rows

COUNT = 23


@pytest.fixture(params=[True, False], ids=["with a start", "without"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Words are w0, w1, ..., and their numbers those plus ten."""
    words = {"<s>": 1, "[UNK]": 2, **{f"w{number}": 10 + number for number in range(COUNT)}}
    core = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    start = "<s>" if request.param else None
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=start, unk_token="[UNK]")


def encoded(tokenizer: Any, rows: list[str], **keys: Any) -> dict[str, list[Any]]:
    task = build({"name": "t", "dataset": "d", "use": "causal_lm", **keys})
    return CausalLm().encode(task, {"text": rows}, tokenizer)


TEXT = [f"w{number} w{number + 1}" for number in range(0, COUNT - 1, 2)] + [f"w{COUNT - 1}"]


@pytest.mark.parametrize("begin", ["start", "context"])
@pytest.mark.parametrize("stride", [None, 3, 8])
def test_every_token_counts_once_after_those_before_it(
    tokenizer: Any, begin: str, stride: int | None
) -> None:
    found = encoded(tokenizer, TEXT, max_length=8, begin=begin, stride=stride)
    counted = []
    for ids, labels in zip(found["input_ids"], found["labels"], strict=True):
        assert len(ids) == len(labels) <= 8
        for place, label in enumerate(labels):
            before = ids[place]
            assert label in (SILENT, before + 1) or before == 1
            counted += [label] if label != SILENT else []
    first = 10 if tokenizer.bos_token else 11  # nothing stands before it
    wanted = set(range(first, 10 + COUNT))
    assert len(counted) == len(set(counted))
    assert set(counted) == wanted


def test_a_stride_leaves_context(tokenizer: Any) -> None:
    found = encoded(tokenizer, TEXT, max_length=8, stride=2)
    later = found["labels"][-2]
    assert [label != SILENT for label in later] == [False] * (len(later) - 2) + [True] * 2


def test_an_unknown_word_is_read_and_does_not_count(tokenizer: Any) -> None:
    found = encoded(tokenizer, ["w1 strange w3"], max_length=8)
    assert 2 in found["input_ids"][0]
    assert 2 not in found["labels"][0]


def test_a_window_of_unknown_words_is_left_out(tokenizer: Any) -> None:
    found = encoded(tokenizer, ["w1 w2 w3 strange odd other"], max_length=4, stride=2)
    assert all(any(label != SILENT for label in labels) for labels in found["labels"])
    with pytest.raises(DataError, match="no token that the tokenizer knows"):
        encoded(tokenizer, ["strange odd other words"], max_length=4)


def test_the_end_of_a_text_is_no_unknown_word(tokenizer: Any) -> None:
    tokenizer.eos_token = "[UNK]"  # as GPT-2's
    found = encoded(tokenizer, ["w1 strange w3"], max_length=8)
    assert 2 in found["labels"][0]


def test_a_text_of_one_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="no text of two tokens"):
        encoded(tokenizer, ["w1"])


def test_a_text_is_cut_at_its_end() -> None:
    task = build({"name": "t", "dataset": "d", "use": "causal_lm", "holdout": 0.2,
                  "select_on": 0.25, "train_rows": 3})  # fmt: skip
    table = Dataset.from_dict({"text": [str(row) for row in range(10)]})
    found = cuts.cut(task, DatasetDict({"train": table}), in_order=True)
    assert [found[name]["text"][:] for name in ("validation", "select")] == [["8", "9"], ["6", "7"]]
    assert found["train"]["text"][:] == ["3", "4", "5"]


def test_another_column_and_a_wrong_key() -> None:
    task = build({"name": "t", "dataset": "d", "use": "causal_lm", "text": ["body"]})
    assert task.label == "body"
    with pytest.raises(ValidationError, match="begin"):
        build({"name": "t", "dataset": "d", "use": "causal_lm", "begin": "middle"})


def test_perplexity_is_of_tokens_and_its_interval_of_windows() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]] * 4 + [[0.25, 0.5, 0.25]] * 4))
    targets = torch.tensor([0, 0, 0, 0, 0, 0, 2, 2])
    kept = CausalLm().kept(logits, targets).numpy()
    found = CausalLm().score(predictions.joined(np.split(kept, 4), np.split(targets.numpy(), 4)))
    assert found["perplexity"] == pytest.approx(2 ** ((4 * 1 + 4 * 2) / 8))
    assert (found["n"], found["windows"], found["top1"]) == (8, 4, 0.5)
    low, high = found["perplexity_95"]
    assert low == pytest.approx(2) and high == pytest.approx(4)


def test_few_windows_are_drawn_in_pieces_and_one_piece_has_no_interval() -> None:
    assert tokens.mean(np.array([1.0, 2.0]), np.array([0, 0])) == (1.5, None, None)
    values = np.repeat([0.0, 1.0], 64)
    middle, low, high = tokens.mean(values, np.zeros(128, int))
    assert (middle, low, high) == (0.5, 0.0, 1.0)
    many = np.repeat(np.arange(20), 128)
    assert tokens.mean(np.tile(values, 20), many) == (0.5, 0.5, 0.5)


def test_a_model_beside_another() -> None:
    kind, targets = CausalLm(), torch.tensor([0, 1] * 40)
    mine = torch.tensor([[2.0, 0.0], [0.0, 1.0]] * 40)
    base = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 40)
    sides = [predictions.joined([kind.kept(x, targets).numpy()], [targets.numpy()])
             for x in (mine, base)]  # fmt: skip
    found = kind.compare(sides[:1], sides[1:])
    gain = (mine.log_softmax(-1) - base.log_softmax(-1))[0, 0].item() / 2
    assert found["difference"][0] == pytest.approx(gain)
    assert found["agreement"] == 1


def test_a_model_beside_itself_has_an_interval() -> None:
    kind, targets = CausalLm(), torch.tensor([0, 1] * 640)
    answers = torch.tensor([[2.0, 0.0], [0.0, 1.0]] * 640)
    rows = np.repeat(np.arange(10), 128)
    same = predictions.joined([kind.kept(answers, targets).numpy()], [targets.numpy()])
    same = dataclasses.replace(same, rows=rows)
    middle, low, high = kind.compare([same], [same])["difference"]
    assert low < middle == 0 < high


def test_another_beginning_makes_other_windows_in_the_cache(tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({"<s>": 1, "[UNK]": 2, "w": 3}, unk_token="[UNK]"))
    made = [
        PreTrainedTokenizerFast(tokenizer_object=words, bos_token=start, unk_token="[UNK]")
        for start in (None, "<s>", "<s>")
    ]
    (tmp_path / "train.txt").write_text("w w w\n")
    task = build({"name": "t", "dataset": str(tmp_path), "use": "causal_lm"})
    without, first, again = (splits.fingerprint(task, one) for one in made)
    assert without != first == again


def test_one_window_has_a_figure_and_no_interval() -> None:
    assert interval({"log_likelihood": -1.0, "log_likelihood_95": [None, None]},
                    "log_likelihood") is None  # fmt: skip
    assert interval({"f1_95": [0.1, 0.2]}, "f1") == (0.1, 0.2)
    assert interval({}, "f1") is None


def test_windows_of_other_tokens_are_not_measured_side_by_side() -> None:
    def rows(*ids: list[int]) -> Rows:
        given = [np.array(row) for row in ids]
        return Rows(given, given, 0, "made")

    same = rows([1, 2], [3, 4])
    prepare._refuse_other_windows({"a": same, "b": rows([1, 2], [3, 4])})
    for other in (rows([1, 2]), rows([1, 2], [3, 5]), rows([1, 2], [3])):
        with pytest.raises(UserError, match=r"b: with its vocabulary.*--texts FILE"):
            prepare._refuse_other_windows({"a": same, "b": other})
