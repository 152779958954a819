"""What every part of a recipe is made of: frozen, strict about keys and types, explicit ranges."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""A name that becomes a folder's name: never a path."""

StageId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
"""A stage's name and folder. No dots: files such as `recipe.yaml` live beside it."""

Text = Annotated[StrictStr, Field(min_length=1, max_length=4096)]
Count = Annotated[StrictInt, Field(gt=0, lt=2**31)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Share = Annotated[StrictFloat, Field(gt=0, lt=1)]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1)]
Positive = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[StrictFloat, Field(ge=0, allow_inf_nan=False)]


class Spec(BaseModel):
    """A part of a recipe. Unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def plain(self) -> dict[str, Any]:
        """JSON types only, defaults included: what is written down and hashed."""
        return self.model_dump(mode="json")
