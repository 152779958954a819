"""The shapes that an IR takes: any, any up to a length, or one."""

import re
from dataclasses import dataclass

from jpqd.recipe.schema import mistake

FORMS = "dynamic, bounded, bounded:LENGTH, or static:BATCH,LENGTH such as static:1,128"
_FORM = re.compile(
    r"(?P<kind>dynamic|bounded)|bounded:(?P<most>\d{1,5})|static:(?P<batch>\d{1,5}),(?P<length>\d{1,5})"
)


@dataclass(frozen=True)
class Shape:
    """Rows and tokens of a request; None is any number of them."""

    batch: int | None = None
    length: int | None = None
    most: int | None = None
    """The largest number of tokens, where it may vary."""


def parse(text: str, longest: int) -> Shape:
    """`bounded` alone is bounded by the longest text that the model was trained for."""
    found = _FORM.fullmatch(text.replace(" ", ""))
    if found is None:
        raise mistake("is no shape", f"Write {FORMS}.")
    if found["batch"]:
        return Shape(batch=int(found["batch"]), length=int(found["length"]))
    if found["most"]:
        return Shape(most=int(found["most"]))
    return Shape(most=longest if found["kind"] == "bounded" else None)


def checked(text: str) -> str:
    """For a field: the text of a shape, as it was written."""
    shape = parse(text, 1)
    if 0 in (shape.batch, shape.length, shape.most):
        raise mistake("has a zero", f"Write {FORMS}.")
    return text
