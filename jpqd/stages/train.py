"""The training stage: plain fine-tuning, and with methods every kind of joint compression."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.training.options import TrainOptions


class Train(TrainOptions):
    """Trains the recipe's model, or the model of the stage that it needs."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.train import train

        return train(self, ctx)
