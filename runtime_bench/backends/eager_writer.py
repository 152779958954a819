"""PyTorch that writes, with its key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime_bench.backends.eager import Eager, EagerSession
from runtime_bench.writing import WritingSession

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request


class EagerWriter(Eager):
    """PyTorch: the model's own forward pass, token by token."""

    def open(self) -> EagerWriterSession:
        return EagerWriterSession(self)


class EagerWriterSession(WritingSession, EagerSession):
    def prepare(self, requests: Sequence[Request]) -> None:
        WritingSession.prepare(self, requests)

    def first(self, ids: np.ndarray) -> int:
        self.cache: Any = None
        return self._after(self.torch.from_numpy(ids))

    def next(self, token: int) -> int:
        return self._after(self.torch.tensor([[token]]))

    def _after(self, ids: Any) -> int:
        """Read tokens after those in the cache; only the last one's logits are computed."""
        with self.torch.inference_mode():
            found = self.run(
                input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
        self.cache = found.past_key_values
        return int(found.logits[0, -1].argmax())
