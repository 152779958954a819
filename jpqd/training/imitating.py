"""Texts that a language model writes after prompts, some at a time, so that a kill costs few."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import processes
from jpqd.core.errors import DataError, UserError
from jpqd.data import completions, texts
from jpqd.data.completions import Text
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.tasks.causal_lm import CausalLm
from jpqd.training.options import ImitateOptions

_BATCH = 16


def imitate(stage: ImitateOptions, ctx: Context) -> dict[str, Any]:
    """Let the model write, or read what another one wrote; keep what is worth learning."""
    loading.quiet()
    if ctx.task.use != CausalLm.use:
        raise UserError(f"{ctx.stage}: `use: imitate` is for tasks of `use: {CausalLm.use}`.")
    source = str(ctx.inputs[stage.needs[0]]) if stage.needs else ctx.model
    tokenizer = loading.load_tokenizer(source, ctx.task, ctx.cache)
    if stage.table:
        written = completions.of_table(stage.table, ctx.cache)
    else:
        written = _written(stage, ctx, tokenizer)
    kept, why = completions.clean(written, stage.least, tokenizer)
    if not kept:
        left = ", ".join(f"{count} {reason}" for reason, count in why.items() if count)
        raise DataError(f"{ctx.stage}: no text is worth learning: {left or 'there is none'}.")
    completions.write(ctx.out / completions.FILE, kept)
    counts = {"asked": len(written), "kept": len(kept), **why}
    ctx.progress.say("    " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return {"written": counts}


def _written(stage: ImitateOptions, ctx: Context, tokenizer: PreTrainedTokenizerBase) -> list[Text]:
    """Write after every prompt that has no text yet."""
    assert stage.prompts is not None
    prompts = list(chain.from_iterable(texts.lines(stage.prompts)))
    if not prompts:
        raise DataError(f"{stage.prompts}: there is no prompt in it. Write one in each line.")
    ctx.work.mkdir(parents=True, exist_ok=True)
    file = ctx.work / completions.FILE
    done = completions.read(file)[: len(prompts)]
    file.unlink(missing_ok=True)
    completions.write(file, done)
    network = loading.load(ctx.inputs[stage.needs[0]], ctx.task).to(processes.device())  # type: ignore[arg-type]
    told = ctx.progress.counting("    written", "texts", len(prompts))
    told(len(done))
    for start in range(len(done), len(prompts), _BATCH):
        some = prompts[start : start + _BATCH]
        torch.manual_seed(ctx.seed + start)
        completions.write(file, _continued(some, network, tokenizer, stage))
        told(len(some))
    return completions.read(file)


@torch.no_grad()
def _continued(
    prompts: list[str],
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    stage: ImitateOptions,
) -> list[Text]:
    tokenizer.padding_side = "left"
    batch = tokenizer(prompts, padding=True, return_tensors="pt").to(network.device)
    draws = {"temperature": stage.temperature, "top_k": 0} if stage.temperature else {}
    network_: Any = network
    found = network_.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=stage.new_tokens,
        do_sample=bool(stage.temperature),
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        **draws,
    )
    new = found[:, batch["input_ids"].shape[1] :]
    told = tokenizer.batch_decode(new, skip_special_tokens=True)
    return [Text(prompt, text) for prompt, text in zip(prompts, told, strict=True)]
