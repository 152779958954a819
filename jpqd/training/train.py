"""The one training stage: a model, its methods, a loop, the best checkpoint, a folder to seal."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from jpqd.core import files, interrupts, processes
from jpqd.core.errors import Interrupted, UserError
from jpqd.core.names import HISTORY
from jpqd.data import completions, splits, unlabelled
from jpqd.data.splits import Data
from jpqd.model import loading, size, student
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import NewModel
from jpqd.training import evaluation, references
from jpqd.training.loop import Loop
from jpqd.training.method import Hooks, Training
from jpqd.training.options import TrainOptions


def train(stage: TrainOptions, ctx: Context) -> dict[str, Any]:
    """Train, keep the checkpoint that `select_on` prefers, report on a split that chose nothing."""
    loading.quiet()
    tokenizer = loading.load_tokenizer(_source(stage, ctx), ctx.task, ctx.cache)
    prepared = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    training, network, facts = fit(stage, ctx, tokenizer, prepared)
    found = size.facts(network)
    what = "decoder" if training.kind.rows_are_text else "encoder"
    if stage.methods and (summary := size.summary(found, what)):
        ctx.progress.say(f"    {summary}")
    report = _report(training, network)
    sizes = found.model_dump(exclude_unset=True)
    return {**report, **facts, "model": sizes, "data": training.data.facts()}


def _source(stage: TrainOptions, ctx: Context) -> str | NewModel:
    start = stage.start()
    return str(ctx.inputs[start]) if start else ctx.model


def fit(
    stage: TrainOptions, ctx: Context, tokenizer: PreTrainedTokenizerBase, prepared: Data
) -> tuple[Training, PreTrainedModel, dict[str, Any]]:
    """Train; return the model that was chosen, and what is known of the way to it."""
    source = _source(stage, ctx)
    files = [file for method in stage.methods for file in method.more_texts()]
    prepared = unlabelled.added(prepared, files, ctx.task, tokenizer, ctx.cache, ctx.progress)
    prepared = references.added(prepared, ctx, tokenizer)
    if stage.completions:
        prepared = _imitating(prepared, stage.completions, ctx, tokenizer)
    bf16, trains = _bf16(stage.precision), bool(stage.epochs)
    training = Training(ctx, tokenizer, prepared, bf16, trains)
    set_seed(ctx.seed)
    network, fresh = loading.load_for_training(source, prepared.kind, tokenizer, ctx.task)
    if fresh:
        ctx.progress.say(f"    starts at random: {', '.join(fresh)}")
    if stage.epochs or stage.methods or stage.student:
        size.refuse_four_bits(network, ctx.stage)
    if stage.student:
        student.shorten(network, stage.student.layers, f"{ctx.stage}: student.layers")
    _set_dropout(network, stage.dropout, ctx.stage)
    network, hooks = _attach(stage, network, training)
    facts: dict[str, Any] = {}
    if stage.epochs:
        _refuse_no_teacher(training, hooks)
        facts = _learn(stage, training, network, hooks)
    for hook in reversed(hooks):
        network = hook.finish(network)
    return training, network, facts


def _imitating(data: Data, stage: str, ctx: Context, tokenizer: PreTrainedTokenizerBase) -> Data:
    """Learn what another model wrote instead of train."""
    if not data.kind.rows_are_text:
        raise UserError(f"{ctx.stage}: completions: for language models. Leave it out.")
    found = completions.as_train(data, ctx.inputs[stage] / completions.FILE, ctx.task, tokenizer)
    ctx.progress.say(f"    train: {len(found.splits['train'])} texts of {stage} instead")
    return found


def _refuse_no_teacher(training: Training, hooks: list[Hooks]) -> None:
    unlabelled = training.kind.unlabelled(training.ctx.task)
    if unlabelled and all(hook.task_weight for hook in hooks):
        raise UserError(
            f"{training.stage}: this {training.kind.title} has no labels to learn from. Give it a "
            "teacher: "
            "methods: [{use: distill, teacher: STAGE, weight: 1.0}], or epochs: 0."
        )


def _set_dropout(network: PreTrainedModel, dropout: float | None, where: str) -> None:
    """Set the dropout of modules, and that which attention takes as a number."""
    if dropout is None:
        return
    places = 0
    for module in network.modules():
        for kind, name in ((torch.nn.Dropout, "p"), (torch.nn.Module, "attention_dropout")):
            if isinstance(module, kind) and isinstance(getattr(module, name, None), int | float):
                setattr(module, name, dropout)
                places += 1
    if dropout and not places:
        raise UserError(f"{where}: dropout: this model has no place for any. Leave it out.")


def _attach(
    stage: TrainOptions, network: PreTrainedModel, training: Training
) -> tuple[PreTrainedModel, list[Hooks]]:
    """Attach pruning first: quantize may move scales into weights by which a plan knows a model.

    Attach distillation last: what it adds learns beside adapters, which let nothing else learn.
    """
    hooks: dict[str, Hooks] = {}
    turns = {"prune": 0, "distill": 2}
    for method in sorted(stage.methods, key=lambda one: turns.get(one.use, 1)):
        network, hooks[method.use] = method.attach(network, training)
    return network, [hooks[method.use] for method in stage.methods]


def _learn(
    stage: TrainOptions, training: Training, network: PreTrainedModel, hooks: list[Hooks]
) -> dict[str, Any]:
    """Train to the end, or to the step boundary where a signal asks to stop."""
    ctx = training.ctx
    micro = _micro_batch(stage, ctx.stage)
    if micro == 1 and training.kind.pairs and any(hook.task_weight < 1 for hook in hooks):
        raise UserError(
            f"{ctx.stage}: a {training.kind.title} also learns how alike the texts of a "
            "micro-batch are, which takes two of them. Give a larger batch_size or micro_batch."
        )
    loop = Loop(stage, training, network, hooks, micro)
    with interrupts.deferred():
        loop.run()
    # One may also have come in the evaluation or the checkpoint of the last step.
    if signum := loop.stopped_by or processes.agree(interrupts.pending()):
        done = f"step {loop.journal.step} of {loop.steps.total}"
        raise Interrupted(
            f"{ctx.stage}: stopped and saved at {done}; run again to continue", signum
        )
    loop.load_best()
    if processes.is_main():
        files.write_json(ctx.out / HISTORY, loop.journal.history)
    return {"train": loop.facts()}


def _micro_batch(stage: TrainOptions, name: str) -> int:
    """Count the rows that a process takes at a time."""
    count = processes.world_size()
    per_process, rest = divmod(stage.batch_size, count)
    micro = min(stage.micro_batch or per_process, per_process)
    if rest or not micro or per_process % micro:
        by = f" in micro-batches of {stage.micro_batch}" if stage.micro_batch else ""
        raise UserError(
            f"{name}: batch_size {stage.batch_size} cannot be shared equally "
            f"among {count} processes{by}. Give a multiple of both."
        )
    return micro


def _bf16(precision: str) -> bool:
    """auto: only where the processor multiplies in bf16; emulated bf16 is slower than f32."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.accelerator.is_available():
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _report(training: Training, network: PreTrainedModel) -> dict[str, Any]:
    """Save the model, and measure it on the split that is reported."""
    ctx = training.ctx
    report_on, tokenizer = ctx.task.report_on, training.tokenizer
    figures = evaluation.measure(network, tokenizer, training.data, report_on, ctx.out)
    if processes.is_main():
        loading.save(network.cpu(), tokenizer, ctx.out)
    return figures
