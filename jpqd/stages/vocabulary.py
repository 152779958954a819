"""The stage that leaves pieces of the vocabulary out which no text of the task needs."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.training.options import VocabularyOptions


class Vocabulary(VocabularyOptions):
    """An earlier stage's model and tokenizer, with the pieces that the task's texts use."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.vocabulary import shorten

        return shorten(self, ctx)
