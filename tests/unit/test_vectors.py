"""Figures of vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jpqd.model import loading, pooling
from jpqd.model.pooling import Pooling
from jpqd.recipe.task import NewModel, Task
from jpqd.scores import vectors
from jpqd.tasks.embedding import Embedding


def sizes(found: np.ndarray) -> list[int]:
    return [found.shape[1]]


def test_neighbours_of_the_same_vectors_are_the_same() -> None:
    some = np.random.default_rng(0).normal(size=(50, 8))
    assert vectors.neighbours(some, some) == pytest.approx((1.0, 1.0))
    assert vectors.neighbours(3 * some, some) == pytest.approx((1.0, 1.0))


def test_other_vectors_have_other_neighbours_and_the_order_counts() -> None:
    draw = np.random.default_rng(0)
    some = draw.normal(size=(200, 16))
    near, far = some + 0.3 * draw.normal(size=some.shape), draw.normal(size=some.shape)
    found = [vectors.neighbours(one, some) for one in (near, far)]
    assert found[0][0] > 0.5 > 0.2 > found[1][0]
    assert found[0][1] > found[1][1]


def test_a_text_that_comes_twice_is_not_its_own_neighbour() -> None:
    some = np.random.default_rng(0).normal(size=(12, 4))
    assert vectors.neighbours(np.tile(some, (2, 1)), np.tile(some, (2, 1)))[0] == 1


def test_pairs_are_scored_and_texts_without_a_score_are_not() -> None:
    some = np.array([[1, 0], [1, 0.1], [1, 0], [0, 1], [1, 0], [1, 1], [5, 5]], float)
    labels = np.array([5, 5, 0, 0, 3, 3, np.nan])
    found = vectors.figures(some, labels, sizes)
    assert found["n"] == 3
    assert found["spearman"] == pytest.approx(1)


def test_two_models_are_compared_by_pairs_or_else_by_cosine() -> None:
    draw = np.random.default_rng(0)
    whole = draw.normal(size=(80, 8))
    rough = whole + 0.8 * draw.normal(size=whole.shape)
    labels = np.repeat(vectors.alike(whole, np.arange(0, 80, 2)), 2)
    middle, low, high = vectors.compare([rough], [whole], labels)["difference"]
    assert low <= middle <= high and middle < 0


def test_without_scores_vectors_are_compared_by_how_near_they_are_to_the_models() -> None:
    draw = np.random.default_rng(0)
    whole = draw.normal(size=(80, 8))
    rough, near = (whole + much * draw.normal(size=whole.shape) for much in (0.8, 0.2))
    labels = np.column_stack([np.full(80, np.nan), whole])
    middle, low, high = vectors.compare([near], [rough], labels)["difference"]
    assert 0 < low < middle < high
    figures = [vectors.figures(one, labels, lambda _: [8])["cosine"] for one in (near, rough)]
    assert middle == pytest.approx(figures[0] - figures[1])
    down = vectors.compare([rough], [near], labels)["difference"]
    assert down[0] == pytest.approx(-middle)
    middle, low, high = vectors.compare([near], [near], labels)["difference"]
    assert low < middle == 0 < high, "what never differs here may differ elsewhere"


@pytest.mark.parametrize(("mode", "expected"), [("cls", 1.0), ("mean", 2.0), ("last", 3.0)])
def test_padding_is_no_part_of_a_vector(mode: str, expected: float) -> None:
    hidden = np.array([[[1.0], [2.0], [3.0], [99.0]]])
    mask = np.array([[1, 1, 1, 0]])
    pooled = Pooling(mode, normalize=False).vectors(hidden, mask)  # type: ignore[arg-type]
    assert pooled[0, 0] == expected


def test_an_ir_may_be_as_far_off_as_the_model_from_itself_and_no_further() -> None:
    """In INT8 a nudge of the input tips roundings over; vectors move, some of them far."""
    draw = np.random.default_rng(0)
    own = draw.normal(size=(2000, 16))

    def moved(by: float) -> np.ndarray:
        return own + by * draw.normal(size=own.shape) * draw.exponential(size=(len(own), 1))

    nudged, kind = [moved(0.1) for _ in range(3)], Embedding()
    assert kind.tips(own, moved(0.08), nudged, False).mean() > 0.995
    assert not kind.tips(own, moved(0.12), nudged, False).any(), "further off on average"
    wrong = own.copy()
    wrong[:5] = draw.normal(size=(5, 16))
    found = kind.tips(own, wrong, nudged, False)
    assert not found[:5].any() and found[5:].all(), "some vectors that are simply wrong"


def test_the_words_of_a_folder_become_small_letters_once(tmp_path: Path) -> None:
    task = Task(name="tiny", dataset="builtin:reviews")
    new = NewModel(new="bert", vocab_size=200)
    loading.load_tokenizer(new, task, tmp_path / "cache").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    save_file({"w": np.zeros(1)}, tmp_path / "model.safetensors")
    tokens = json.loads((tmp_path / "tokenizer.json").read_text())
    tokens["normalizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokens))
    pooling.save(Pooling("mean", similarity="dot"), tmp_path, 8)
    path = tmp_path / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_lower_case": True}))
    tokenizer = loading.tokenizer_from(tmp_path)
    assert tokenizer("A Good FILM")["input_ids"] == tokenizer("a good film")["input_ids"]
    found = pooling.read(tmp_path)
    assert found is not None and found.similarity == "dot"
    pooling.save(found, tmp_path, 8)
    tokenizer.save_pretrained(tmp_path)
    again = loading.tokenizer_from(tmp_path)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert again("A Good FILM")["input_ids"] == tokenizer("a good film")["input_ids"]


def test_the_interval_of_a_rank_correlation_holds_it_in_19_of_20_draws() -> None:
    """Pairs of normal numbers, whose true rank correlation is known."""
    draw, rho, rows = np.random.default_rng(0), 0.95, 200
    truth, hits = 6 / np.pi * np.arcsin(rho / 2), 0
    for _ in range(600):
        one, other = draw.standard_normal((2, rows))
        other = rho * one + np.sqrt(1 - rho**2) * other
        cosine = 0.5 + 0.3 * one / np.abs(one).max()
        found = np.zeros((2 * rows, 2))
        found[::2, 0], found[1::2] = 1, np.stack([cosine, np.sqrt(1 - cosine**2)], 1)
        low, high = vectors.figures(found, np.repeat(other, 2), sizes)["spearman_95"]
        hits += low <= truth <= high
    assert 0.93 < hits / 600 < 0.98
