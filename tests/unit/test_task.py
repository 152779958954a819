"""A task's keys: which names are paths, and which kinds have classes to name."""

import pytest
from pydantic import ValidationError

from jpqd.recipe.task import build, looks_local


@pytest.mark.parametrize("path", ["data/reviews.csv", "data/glue/sst2", "texts.TXT", "./x", "~/x"])
def test_what_can_be_no_hub_id_is_a_path(path: str) -> None:
    assert looks_local(path)


@pytest.mark.parametrize("name", ["owner/name", "name", "owner/name@refs/pr/1"])
def test_what_may_be_a_hub_id_is_one(name: str) -> None:
    assert not looks_local(name)


@pytest.mark.parametrize("use", ["regression", "embedding", "reranking", "causal_lm"])
def test_names_of_classes_are_refused_where_there_are_none(use: str) -> None:
    text = ["query", "text"] if use == "reranking" else ["text"]
    data = {"name": "n", "dataset": "builtin:reviews", "text": text}
    with pytest.raises(ValidationError, match=f"use: {use} has no classes to name"):
        build({**data, "use": use, "labels": ["a", "b"]})
