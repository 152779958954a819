"""The base of every part of a recipe: frozen, strict about keys and types, with explicit ranges."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
STAGE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"

Name = Annotated[StrictStr, Field(pattern=NAME_PATTERN)]
"""A name that becomes a folder's name: never a path."""

StageId = Annotated[StrictStr, Field(pattern=STAGE_PATTERN)]
"""A stage's name and folder. No dots: files such as `recipe.yaml` live beside it."""

Text = Annotated[StrictStr, Field(min_length=1, max_length=4096)]
Count = Annotated[StrictInt, Field(gt=0, lt=2**31)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Threads = Annotated[StrictInt, Field(ge=1, le=1024)]
Share = Annotated[StrictFloat, Field(gt=0, lt=1, allow_inf_nan=False)]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[StrictFloat, Field(gt=0, lt=1e9, allow_inf_nan=False)]
NonNegative = Annotated[StrictFloat, Field(ge=0, lt=1e9, allow_inf_nan=False)]


class Spec(BaseModel):
    """A part of a recipe. It refuses unknown keys, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def plain(self) -> dict[str, Any]:
        """Return plain JSON types, defaults included: the form that is written down and hashed."""
        return self.model_dump(mode="json")


def is_stage(given: str) -> bool:
    """Return whether what may name a stage or a source names a stage. A folder has a `/`."""
    return re.match(STAGE_PATTERN, given) is not None


def increasing(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Validate that numbers go up, none of them twice."""
    if list(numbers) != sorted(set(numbers)):
        raise mistake("the numbers do not go up", "Write each number once, the lowest first.")
    return numbers


def mistake(message: str, remedy: str = "") -> PydanticCustomError:
    """Return the error that a validator raises: a message for the user, and the remedy."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "remedy": remedy})
