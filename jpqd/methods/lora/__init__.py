"""Low-rank adapters: few weights train, and become part of the others at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jpqd.recipe.schema import Count, Fraction, Positive
from jpqd.training.method import Hooks, Method, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Lora(Method):
    """Trains adapters beside the projections, and the head. All else stands still."""

    use: Literal["lora"]
    rank: Count = 8
    alpha: Positive | None = None
    """Adapters are multiplied by alpha / rank; twice the rank if not given."""
    dropout: Annotated[Fraction, Field(lt=1)] = 0.0
    """The share of an adapter's inputs that a step leaves out."""
    targets: Literal["all", "attention", "ffn"] = "all"
    """The projections of the layers that get an adapter."""
    dora: bool = False
    """Learn the length of each row of the weights by itself (DoRA)."""

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.lora import adapters

        def config(peft: Any) -> Any:
            return peft.LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha or 2 * self.rank,
                lora_dropout=self.dropout,
                target_modules=adapters.targets(self.targets, model),
                use_dora=self.dora,
            )

        return adapters.attach(self.use, config, model, training)
