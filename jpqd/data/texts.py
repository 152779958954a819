"""Plain texts in a file, one in each line."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from jpqd.core.errors import DataError
from jpqd.data import sources
from jpqd.recipe.schema import Text, mistake
from jpqd.recipe.task import TEXTS

_LINES = 1000


def _all_texts(files: tuple[str, ...]) -> tuple[str, ...]:
    for file in files:
        if not file.lower().endswith(TEXTS):
            ending = ", ".join(TEXTS)
            remedy = f"Give a file that ends in {ending}, with a text in each line."
            raise mistake(f"{file!r} is no file of texts", remedy)
    return files


Files = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    AfterValidator(_all_texts),
]
"""A key of a recipe: one file, or several."""
File = Annotated[Text, AfterValidator(lambda file: _all_texts((file,))[0])]
"""The same, and one file only."""


def lines(place: str) -> Iterator[list[str]]:
    """Read the texts of a file, some at a time; empty lines are none."""
    path = sources.local_file(place, TEXTS)
    try:
        with path.open(encoding="utf-8-sig") as file:
            texts = (line.strip() for line in file)
            yield from _some(text for text in texts if text)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from None


def _some(texts: Iterator[str]) -> Iterator[list[str]]:
    while part := list(islice(texts, _LINES)):
        yield part
