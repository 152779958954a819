"""Every error that reaches a user, and its exit code.

JpqdError                     1
├── UserError                 2   a mistake that the user can correct
│   ├── RecipeError           2   all problems of a recipe
│   ├── SourceError           2   a model or a dataset that cannot be loaded
│   ├── DataError             2   rows, columns or labels that cannot be used
│   └── BusyError             2   another process holds the run folder
└── RunError                  1   a run that failed
    └── DiskFullError         1

Interrupted         129/130/143   Ctrl-C, a closed terminal or a request to terminate
"""

from dataclasses import dataclass


class JpqdError(Exception):
    """An error whose message says what happened, where, the value given and what to do."""

    exit_code = 1


class UserError(JpqdError):
    exit_code = 2


class SourceError(UserError):
    pass


class DataError(UserError):
    pass


class BusyError(UserError):
    pass


class RunError(JpqdError):
    pass


class DiskFullError(RunError):
    pass


class Interrupted(KeyboardInterrupt):
    """An interruption, raised after the work that can be kept is on disk.

    Like Ctrl-C it is no Exception: libraries turn exceptions during their import into others.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


@dataclass(frozen=True)
class Problem:
    """One mistake in a recipe: its place, the value given and how to correct it."""

    source: str
    path: str
    message: str
    remedy: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        where = f"{place}: {self.path}" if self.path else place
        return f"{where}: {self.message}" + (f"\n    {self.remedy}" if self.remedy else "")


class RecipeError(UserError):
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
