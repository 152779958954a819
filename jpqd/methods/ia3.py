"""Adapters of three vectors in each layer, which become part of the weights at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jpqd.core.errors import UserError
from jpqd.training.method import Hooks, Method, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Ia3(Method):
    """Learns how much each key, value and neuron counts, and the head. All else stands still."""

    use: Literal["ia3"]

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.lora import adapters
        from jpqd.model import families

        if not families.knows(model):
            raise UserError(
                f"{training.stage}: ia3: the layers of a {model.config.model_type} are not "
                "described here. `use: lora` adapts models of more families."
            )

        def config(peft: Any) -> Any:
            family = families.of(model)
            neurons = adapters.named(model, family.ffn_out)
            others = adapters.named(model, family.key, family.value)
            return peft.IA3Config(target_modules=[*others, *neurons], feedforward_modules=neurons)

        return adapters.attach(self.use, config, model, training)
