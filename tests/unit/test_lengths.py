"""The lengths of static bodies: the least padding, and no body without a use."""

from itertools import combinations

import numpy as np
import pytest

from export import lengths
from export.rows import Rows
from jpqd.tasks.reranking import Reranking


def cost(tokens: np.ndarray, bodies: tuple[int, ...]) -> float:
    fits = [next((body for body in bodies if body >= one), one + 40) for one in tokens]
    return float(sum(fits))


@pytest.mark.parametrize("seed", range(4))
def test_no_other_choice_is_much_better(seed: int) -> None:
    chance = np.random.default_rng(seed)
    tokens = np.minimum(chance.geometric(0.05, 300) + 2, 60)
    found = lengths.of_texts(tokens, 60)
    ends = (8, 16, 24, 32, 40, 48, 56, 60)
    every = [some for count in range(1, lengths.MOST + 1) for some in combinations(ends, count)]
    every = [some for some in every if some[-1] >= np.quantile(tokens, 0.999)]
    assert cost(tokens, found) <= 1.025 * min(cost(tokens, some) for some in every)


def test_texts_of_one_length_need_one_body() -> None:
    assert lengths.of_texts([17] * 100, 128) == (24,)


def test_almost_all_texts_fit_in_the_last_body() -> None:
    """The few longest ones are what the slowest hundredth of requests is made of."""
    tokens = [*range(3, 40)] * 50 + [70] * 4
    assert lengths.of_texts(tokens, 128)[-1] == 72


def test_a_single_long_text_gets_no_body() -> None:
    found = lengths.of_texts([*range(3, 40)] * 50 + [128], 128)
    assert found[-1] == 40


def test_a_text_that_was_cut_fits_in_the_longest_body() -> None:
    assert lengths.of_texts([30, 300, 300], 63)[-1] == 63


def test_without_texts_they_end_where_the_model_does() -> None:
    assert lengths.without_texts(512) == lengths.UNKNOWN
    assert lengths.without_texts(63) == (16, 32, 48, 63)


def test_the_texts_of_a_query_are_drawn_together() -> None:
    queries = [f"query {row // 20}" for row in range(2000)]
    made = Rows([queries, ["text"] * 2000], [{"input_ids": [1]}] * 2000, None, Reranking(),  # type: ignore[arg-type]
                [0.0] * 2000, numbers=tuple(range(2000)))  # fmt: skip
    some = made.sample()
    counts = {query: some.texts[0].count(query) for query in some.texts[0]}
    assert set(counts.values()) == {20}
    assert 512 <= len(some.numbers) < 532
    assert [queries[number] for number in some.numbers] == some.texts[0]
