"""Sessions that write: their requests are prompts, after each of which some tokens follow."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jpqd.core.errors import UserError
from runtime_bench.backend import Session

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request

    Tokens = np.ndarray
    """The next token of each prompt: [prompts]."""

NEW_TOKENS = "new_tokens"
"""The array of a request that holds the number of tokens to write."""


class WritingSession(Session):
    """A decoder that writes after all prompts of a request at once.

    It takes the likeliest token each time, and does not stop before the last one. `call` notes the
    number of new tokens and the time of the first one.
    """

    count = 1
    first_ns = 0
    """The time until the first token of the last request."""

    def prepare(self, requests: Sequence[Request]) -> None:
        self.prompts = [(request["input_ids"], int(request[NEW_TOKENS][0])) for request in requests]

    def took(self, spent_ns: int) -> int:
        """Return the time of the first token where it is the only one, else of each next one."""
        if self.count == 1:
            return spent_ns
        return (spent_ns - self.first_ns) // (self.count - 1)

    def logits(self, index: int) -> np.ndarray:
        raise UserError("--accuracy is for models that classify: an IR's stage has its perplexity.")


class StepSession(WritingSession):
    """A decoder that is asked for one token after the other."""

    def call(self, index: int) -> np.ndarray:
        """Return the new tokens of each prompt: [prompts, tokens]."""
        import numpy as np

        ids, self.count = self.prompts[index]
        begun = time.perf_counter_ns()
        tokens = [self.first(ids)]
        self.first_ns = time.perf_counter_ns() - begun
        for _ in range(self.count - 1):
            tokens.append(self.next(tokens[-1]))
        return np.stack(tokens, 1)

    @abstractmethod
    def first(self, ids: np.ndarray) -> Tokens:
        """Forget all that was read, read prompts and return the token after each."""

    @abstractmethod
    def next(self, tokens: Tokens) -> Tokens:
        """Read one more token of each prompt and return the one after it."""
