"""The loss that makes a student follow its teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.core import processes
from jpqd.core.errors import UserError
from jpqd.data import batching
from jpqd.methods.distill import likeliest, teachers
from jpqd.methods.distill.inside import Inside
from jpqd.methods.distill.known import KnownAnswers, have_room
from jpqd.methods.distill.likeliest import Likeliest
from jpqd.methods.distill.options import Options
from jpqd.methods.distill.teachers import Teacher
from jpqd.methods.distill.variants import Variants
from jpqd.tasks import Kind
from jpqd.training.method import Hooks, Training


def attach(
    method: Options, network: PreTrainedModel, training: Training
) -> tuple[PreTrainedModel, Hooks]:
    """Find here, before the first step, everything that can be wrong with a teacher."""
    kind = training.kind
    if method.predictions is not None:
        given = teachers.predictions(method, training)
        return network, Following(method, kind, known=given)
    teacher = teachers.load(method, training, network.config.hidden_size)
    if method.variants and not kind.fits_in_memory:
        raise UserError(
            f"{training.stage}: distill: variants: the answers of a {kind.title} to all of train "
            "do not fit into memory. Leave it out: the teacher answers in every step."
        )
    if kind.rows_are_text:
        teacher.follow_words(network.config.vocab_size)
    if method.top and kind.fits_in_memory:
        raise UserError(
            f"{training.stage}: distill: top: for language models. The answers of a "
            f"{kind.title} are kept whole. Leave it out."
        )
    if not training.trains:  # it fits, and nobody reads what it says
        return network, Hooks()
    return network, _following(method, network, teacher, training)


def _following(
    method: Options, network: PreTrainedModel, teacher: Teacher, training: Training
) -> Following:
    """Ask the teacher for all of train where its answers can be kept; else it answers live."""
    kind = training.kind
    if method.top:
        best = likeliest.of_train(teacher, training, method.top, method.temperature)
        return Following(method, kind, best=best)
    variants = Variants(method, training) if method.variants else None
    is_inside = method.hidden or method.attention
    is_live = is_inside or not kind.fits_in_memory or (method.augment and not variants)
    if is_live or not have_room(training, teacher.width, method.variants or 1):
        nn.Module.to(teacher.network, processes.device())
        inside = Inside(method, network, teacher, training.stage) if is_inside else None
        return Following(method, kind, teacher=teacher, inside=inside, variants=variants)
    if variants:
        known = teacher.answers_to_variants(training, variants)
        return Following(method, kind, known=known, variants=variants)
    return Following(method, kind, known=teacher.answers_to_train(training))


class Following(Hooks):
    """Adds what separates the student from its teacher to the loss."""

    def __init__(
        self,
        method: Options,
        kind: Kind,
        known: KnownAnswers | None = None,
        teacher: Teacher | None = None,
        inside: Inside | None = None,
        variants: Variants | None = None,
        best: Likeliest | None = None,
    ) -> None:
        self.method, self.kind, self.variants = method, kind, variants
        self.known, self.teacher, self.inside = known, teacher, inside
        self.best = best
        self.task_weight = 1 - method.weight
        self.last = torch.tensor(math.nan)

    def prepare(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.variants:
            return self.variants.choose(batch)
        if not self.method.augment:
            return batch
        assert self.teacher is not None
        special = self.teacher.tokenizer.all_special_ids
        ids = exchanged(batch["input_ids"], special, self.method.augment)
        return {**batch, "input_ids": ids}

    def loss(self, batch: Mapping[str, Tensor], out: Any) -> Tensor:
        term = out.logits.new_zeros((), dtype=torch.float32)
        logits = None
        if self.inside:
            logits, term = self.inside.compare(batch, out)
        elif self.teacher:
            logits = self.teacher.answer(batch)
        student = self.kind.answers(out.logits.float(), batch["labels"])
        # The mean over no answers is no number, and their sum is 0.
        distance = self._distance(student, batch, logits) if len(student) else student.sum()
        weight = self.method.weight * batch.get(batching.WEIGHT, 1.0)
        total: Tensor = term + weight * distance
        self.last = total.detach()
        return total

    def _distance(
        self, student: Tensor, batch: Mapping[str, Tensor], logits: Tensor | None
    ) -> Tensor:
        temperature = self.method.temperature
        if self.best:
            return self.best.divergence(student, batch["row"], temperature)
        answers = (
            self.known.of_rows(batch["row"])
            if self.known
            else self.kind.answers(logits, batch["labels"])
        )
        return self.kind.distance(student, answers, temperature)

    def step(self, progress: float) -> dict[str, float]:
        value = self.last.item()
        return {} if math.isnan(value) else {"distill_loss": round(value, 6)}

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        if self.inside:
            self.inside.remove(model)
        return model

    def state_dict(self) -> dict[str, Tensor]:
        return {"last": self.last}

    def load_state_dict(self, state: dict[str, Tensor], model: PreTrainedModel) -> None:
        self.last = state["last"]


def exchanged(ids: Tensor, special: list[int], share: float) -> Tensor:
    """Some tokens become others of the same batch; what separates and pads stays in its place."""
    words = ~torch.isin(ids, torch.tensor(special, device=ids.device))
    pool = ids[words]
    chosen = words & (torch.rand(ids.shape, device=ids.device) < share)
    others = torch.randint(max(1, len(pool)), (int(chosen.sum()),), device=ids.device)
    return ids.masked_scatter(chosen, pool[others])
