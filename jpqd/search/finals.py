"""The finals of a search: its best few are trained a little, and one of them is chosen by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from jpqd.core import files, seals
from jpqd.core.compression_plan import Figures, Structure
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.search.candidates import Candidates
from jpqd.search.options import Finals
from jpqd.search.store import Store
from jpqd.training.method import Training
from jpqd.training.train import fit

_CUT = ".cut"
"""The name by which the training of a finalist knows its start. No stage can be called so."""
_STORE = "finals.jsonl"


@dataclass(frozen=True)
class Final:
    """The rules of the finals, and what they need."""

    rules: Finals
    tried: Candidates
    training: Training

    def run(self, finalists: Sequence[Figures]) -> list[Figures]:
        """Train each, and return all with what they say then, the nearest to the whole first."""
        ctx, done = self.training.ctx, []
        store = Store(ctx.work / _STORE, {})  # this folder is of one recipe and its inputs
        for number, found in enumerate(finalists, 1):
            ctx.progress.say(f"    final, {number} of {len(finalists)}")
            kl, score = store.once(found.layers, partial(self._trained, found.layers))
            ctx.progress.say(f"    KL {found.kl:.4f} before it, {kl:.4f} after it; {score:.4f}")
            done.append((kl, found.model_copy(update={"final_kl": kl, "final_score": score})))
        return [found for _, found in sorted(done, key=lambda pair: pair[0])]

    def _trained(self, structure: Structure) -> tuple[float, float]:
        """Train the model that is cut to this structure; after a kill, from a checkpoint on."""
        ctx = self._context(structure)
        tokenizer, data = self.training.tokenizer, self.training.data
        loading.save(self.tried.cut(structure), tokenizer, ctx.inputs[_CUT])
        stage = self.rules.model_copy(update={"needs": (_CUT,)})
        _, network, _ = fit(stage, ctx, tokenizer, data)
        result = self.tried.figures(network)
        files.remove(ctx.work)
        return result

    def _context(self, structure: Structure) -> Context:
        ctx = self.training.ctx
        work = ctx.work / f"final-{seals.digest(structure)[:12]}"
        return replace(
            ctx, inputs={**ctx.inputs, _CUT: work / _CUT}, out=work, work=work, report_to=()
        )
