"""The shapes that an IR takes: any, any up to a length, or a fixed one."""

import re
from dataclasses import dataclass

from jpqd.recipe.schema import mistake

FORMS = (
    "auto, buckets, buckets:LENGTH,LENGTH,..., dynamic, bounded, bounded:LENGTH, "
    "or static:BATCH,LENGTH such as static:1,128"
)
_FORM = re.compile(
    r"(?P<kind>auto|dynamic|bounded|buckets)|bounded:(?P<most>\d{1,5})"
    r"|buckets:(?P<lengths>\d{1,5}(,\d{1,5})*)|static:(?P<batch>\d{1,5}),(?P<length>\d{1,5})"
)


@dataclass(frozen=True)
class Shape:
    """Rows and tokens of a request; None allows any number."""

    batch: int | None = None
    length: int | None = None
    most: int | None = None
    """The largest number of tokens, where it may vary."""
    lengths: tuple[int, ...] | None = None
    """The lengths that one row is filled up to; none yet where the task's texts shall say them."""

    def cut(self, length: int) -> int:
        """Return the length of texts that have up to `length` tokens."""
        return min(length, self.length or self.most or length)


def parse(text: str, longest: int, *, compressed: bool = True) -> Shape:
    """Parse a shape; without a number it is bounded by `longest`."""
    match = _FORM.fullmatch(text.replace(" ", ""))
    if match is None:
        raise mistake("is not a shape", f"Write {FORMS}.")
    if match["batch"]:
        return Shape(batch=int(match["batch"]), length=int(match["length"]))
    if match["most"]:
        return Shape(most=int(match["most"]))
    if match["lengths"]:
        lengths = sorted({int(length) for length in match["lengths"].split(",")})
        return Shape(most=max(longest, lengths[-1]), lengths=tuple(lengths))
    if match["kind"] == "dynamic":
        return Shape()
    if match["kind"] == "buckets" or (match["kind"] == "auto" and compressed):
        return Shape(most=longest, lengths=())
    return Shape(most=longest)


def checked(text: str) -> str:
    """Validate the text of a shape and return it unchanged."""
    shape = parse(text, 1)
    if 0 in (shape.batch, shape.length, shape.most, *(shape.lengths or ())):
        raise mistake("must not contain a zero", f"Write {FORMS}.")
    return text
