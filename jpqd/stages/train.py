"""The training stage: plain fine-tuning, or joint compression with methods."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.training.options import TrainOptions


class Train(TrainOptions):
    """Training of the recipe's model, or of the model of the stage in `needs`."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.train import train

        return train(self, ctx)
