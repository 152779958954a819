"""The stage that asks decoders' IRs questions of multiple choice."""

from typing import Any

from export.decoder.options import QuestionsOptions
from jpqd.recipe.contracts import Context


class Questions(QuestionsOptions):
    """The share of questions that each IR answers right, beside the first one's."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export.decoder import questions

        return questions.run(self, ctx)
