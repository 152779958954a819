"""PyTorch that writes, with its key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime_bench.backends.eager import Eager, EagerSession
from runtime_bench.writing import StepSession

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request
    from runtime_bench.writing import Tokens


class EagerWriter(Eager):
    """PyTorch: the model's own forward pass, token by token."""

    def open(self) -> EagerWriterSession:
        return EagerWriterSession(self)


class EagerWriterSession(StepSession, EagerSession):
    def prepare(self, requests: Sequence[Request]) -> None:
        StepSession.prepare(self, requests)

    def first(self, ids: np.ndarray) -> Tokens:
        self.cache: Any = None
        return self._after(self.torch.from_numpy(ids))

    def next(self, tokens: Tokens) -> Tokens:
        return self._after(self.torch.from_numpy(tokens[:, None]))

    def _after(self, ids: Any) -> Tokens:
        """Read tokens after those in the cache; only the last one's logits are computed."""
        with self.torch.inference_mode():
            found = self.run(
                input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
        self.cache = found.past_key_values
        tokens: Tokens = found.logits[:, -1].argmax(-1).numpy()
        return tokens
