"""The one training stage: a model, its methods, a loop, the best checkpoint, a folder to seal."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed

from jpqd import artifact, data, evaluation, interrupts, metrics, model, ranks, size, student
from jpqd.data import Data
from jpqd.errors import Interrupted, UserError
from jpqd.loop import EVAL_BATCH, Loop
from jpqd.stage import Context, Hooks

if TYPE_CHECKING:
    from jpqd.stages.train import Train


def train(stage: Train, ctx: Context) -> dict[str, Any]:
    """Train, keep the checkpoint that `select_on` prefers, report on a split that chose nothing."""
    model.quiet()
    start = stage.start()
    source = str(ctx.inputs[start]) if start else ctx.model
    ctx = replace(ctx, model=source, bf16=_bf16(stage.precision))
    tokenizer = model.load_tokenizer(source, ctx.task, ctx.cache)
    prepared = data.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    set_seed(ctx.seed)
    network, fresh = model.load_for_training(source, prepared.labels, tokenizer)
    if fresh:
        ctx.progress.say(f"    starts at random: {', '.join(fresh)}")
    if stage.student:
        student.shorten(network, stage.student.layers, f"{ctx.stage}: student.layers")
    _set_dropout(network, stage.dropout)
    network, hooks = _attach(stage, network, ctx)
    facts: dict[str, Any] = {}
    if stage.epochs:
        facts = _fit(stage, ctx, network, hooks, prepared, tokenizer)
    for hook in reversed(hooks):
        network = hook.finish(network)
    found = size.facts(network)
    if "dense" in found and stage.methods:
        ctx.progress.say(f"    {size.told(found)}")
    report = _report(ctx, network, prepared, tokenizer)
    return {**report, **facts, "model": found, "data": prepared.facts()}


def _set_dropout(network: PreTrainedModel, dropout: float | None) -> None:
    if dropout is None:
        return
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout


def _attach(
    stage: Train, network: PreTrainedModel, ctx: Context
) -> tuple[PreTrainedModel, list[Hooks]]:
    hooks: list[Hooks] = []
    for method in stage.methods:
        network, hook = method.attach(network, ctx)
        hooks.append(hook)
    return network, hooks


def _fit(
    stage: Train,
    ctx: Context,
    network: PreTrainedModel,
    hooks: list[Hooks],
    prepared: Data,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    """Train to the end, or to the step boundary where a signal asks to stop."""
    loop = Loop(
        model=network,
        args=_arguments(stage, ctx, len(prepared.splits["train"])),
        bf16=ctx.bf16,
        data_collator=evaluation.collator(tokenizer),
        stage=stage,
        ctx=ctx,
        hooks=hooks,
        prepared=prepared,
    )
    with interrupts.deferred():
        loop.run()
    if signum := loop.stopped_by:
        done = f"step {loop.state.global_step} of {loop.state.max_steps}"
        raise Interrupted(
            f"{ctx.stage}: stopped and saved at {done}; run again to continue", signum
        )
    loop.load_best()
    if ranks.is_main():
        artifact.write_json(ctx.out / "history.json", loop.state.log_history)
    return {"train": loop.facts()}


def _arguments(stage: Train, ctx: Context, rows: int) -> TrainingArguments:
    """Evaluating, saving and stopping are decided in the loop, by step."""
    micro, accumulate = _shares(stage, ctx.stage)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(ctx.out.parent / ".tracking" / ctx.stage)
    steps = math.ceil(rows / stage.batch_size)
    return TrainingArguments(
        output_dir=str(ctx.work),
        num_train_epochs=stage.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        learning_rate=stage.learning_rate,
        lr_scheduler_type=stage.schedule,
        warmup_steps=int(stage.warmup * steps * stage.epochs),
        weight_decay=stage.weight_decay,
        max_grad_norm=stage.max_grad_norm,
        optim="adamw_torch_fused",
        use_cpu=not torch.accelerator.is_available(),
        seed=ctx.seed,
        report_to=list(ctx.report_to) or "none",
        logging_steps=max(1, min(50, steps // 10)),
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        average_tokens_across_devices=False,
        dataloader_pin_memory=torch.accelerator.is_available(),
    )


def _shares(stage: Train, name: str) -> tuple[int, int]:
    """Rows that a process takes at a time, and how often for one optimizer step."""
    processes = ranks.world_size()
    per_process, rest = divmod(stage.batch_size, processes)
    micro = min(stage.micro_batch or per_process, per_process)
    if rest or not micro or per_process % micro:
        by = f" in micro-batches of {stage.micro_batch}" if stage.micro_batch else ""
        raise UserError(
            f"{name}: batch_size {stage.batch_size} cannot be shared equally "
            f"among {processes} processes{by}. Give a multiple of both."
        )
    return micro, per_process // micro


def _bf16(precision: str) -> bool:
    """auto: only where the processor multiplies in bf16; emulated bf16 is slower than f32."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.accelerator.is_available():
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _report(
    ctx: Context,
    network: PreTrainedModel,
    prepared: Data,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    """Save the model, and measure it on the split that is reported."""
    collate = evaluation.collator(tokenizer)
    split = prepared.split(ctx.task.report_on)
    logits, truth = evaluation.predict(network, split, collate, EVAL_BATCH)
    if ranks.is_main():
        model.save(network.cpu(), tokenizer, ctx.out)
        evaluation.save_logits(ctx.out / "predictions.safetensors", logits, truth)
    return {ctx.task.report_on: metrics.score(prepared.labels, logits, truth)}
