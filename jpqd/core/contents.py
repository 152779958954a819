"""Typed contents of a sealed folder's JSON files: read with a message, written as they are."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from jpqd.core.errors import UserError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


Contents = TypeVar("Contents", bound=Part)


def save(contents: Part, path: Path) -> None:
    path.write_text(contents.model_dump_json(indent=1), encoding="utf-8")


def load(path: Path, schema: type[Contents], what: str) -> Contents:
    try:
        return schema.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read as {what}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"{path} cannot be read as {what}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Name the first place that does not fit, and why."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
