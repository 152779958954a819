"""Texts that a language model writes after prompts, some at a time, so that a kill costs few."""

from __future__ import annotations

from itertools import accumulate, chain, groupby
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import files, processes
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
    _refuse_unfit(ctx)
    source = str(ctx.inputs[stage.needs[0]]) if stage.needs else ctx.model
    tokenizer = loading.load_tokenizer(source, ctx.task, ctx.cache)
    if stage.table:
        written, long = completions.of_table(stage.table, ctx.cache), 0
    else:
        written, long = _written(stage, ctx, tokenizer)
    kept, why = completions.clean(written, stage.least, tokenizer)
    counts = {"asked": len(written) + long, "kept": len(kept), "long": long, **why}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    if not kept:
        raise DataError(f"{ctx.stage}: no text is worth learning: {told}. Give other prompts.")
    completions.write(ctx.out / completions.FILE, kept)
    ctx.progress.say(f"    {told}")
    return {"written": counts}


def _refuse_unfit(ctx: Context) -> None:
    if ctx.task.use != CausalLm.use:
        raise UserError(
            f"{ctx.stage}: `use: imitate` is for language models: task: {{use: {CausalLm.use}}}."
        )
    if processes.world_size() > 1:
        raise UserError(
            f"{ctx.stage}: a model writes in one process. Run the recipe up to it without "
            f"torchrun: jpqd run RECIPE --until {ctx.stage}"
        )


def _written(
    stage: ImitateOptions, ctx: Context, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Text], int]:
    """Write after every prompt that has no text yet; count those that leave no room for one."""
    every, longest = _prompts(stage), ctx.task.max_length
    counts = map(len, tokenizer(every, verbose=False)["input_ids"])
    fitting = [one for one in zip(counts, every, strict=True) if one[0] < longest]
    batches = _batches(fitting, longest - stage.new_tokens)
    file = _whole_batches(ctx, batches)
    network = loading.load(ctx.inputs[stage.needs[0]], ctx.task)
    nn.Module.to(network, processes.device())
    told = ctx.progress.counting("    written", "texts", len(fitting))
    done = len(completions.read(file))
    told(done)
    starts = accumulate(map(len, batches), initial=0)
    for some, start in zip(batches, starts, strict=False):
        if start < done:
            continue
        torch.manual_seed(ctx.seed + start)
        completions.write(file, _continued(some, network, tokenizer, stage, longest))
        told(len(some))
    return completions.read(file), len(every) - len(fitting)


def _prompts(stage: ImitateOptions) -> list[str]:
    assert stage.prompts is not None
    found = list(chain.from_iterable(texts.lines(stage.prompts)))
    if not found:
        raise DataError(f"{stage.prompts}: there is no prompt in it. Write one in each line.")
    return found


def _batches(prompts: list[tuple[int, str]], roomy: int) -> list[list[str]]:
    """Put prompts together; one that leaves less room than was asked for cuts no shorter one off.

    `roomy` is the most tokens of a prompt that leaves all the room.
    """

    def key(one: tuple[int, str]) -> int:
        return max(one[0], roomy)

    alike = [[text for _, text in some] for _, some in groupby(sorted(prompts, key=key), key)]
    return [own[start : start + _BATCH] for own in alike for start in range(0, len(own), _BATCH)]


def _whole_batches(ctx: Context, batches: list[list[str]]) -> Path:
    """Leave what a kill left of a batch out: a text depends on those written beside it."""
    ctx.work.mkdir(parents=True, exist_ok=True)
    file = ctx.work / completions.FILE
    done = completions.read(file)
    ends = accumulate(map(len, batches), initial=0)
    whole = max(end for end in ends if end <= len(done))
    return files.write_text(file, completions.lines(done[:whole]))


@torch.no_grad()
def _continued(
    prompts: list[str],
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    stage: ImitateOptions,
    longest: int,
) -> list[Text]:
    """Write after some prompts at once, which leave a text the same room."""
    tokenizer.padding_side = "left"
    batch = tokenizer(prompts, padding=True, return_tensors="pt").to(network.device)
    width = batch["input_ids"].shape[1]
    draws = {"temperature": stage.temperature, "top_k": 0} if stage.temperature else {}
    ends = _ends(network, tokenizer)
    # Its own settings may punish repetition or leave out unlikely tokens: only its ends count.
    network.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=min(stage.new_tokens, longest - width),
        do_sample=bool(stage.temperature),
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends,
        **draws,
    )
    writes: Any = network.generate
    found = writes(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[:, width:]
    told = tokenizer.batch_decode(found, skip_special_tokens=True)
    ended = torch.isin(found, torch.tensor(ends, device=found.device)).any(1).tolist()
    return [Text(*one) for one in zip(prompts, told, ended, strict=True)]


def _ends(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens after which a text is over."""
    known: Any = network.generation_config
    given = known.eos_token_id
    found = given if isinstance(given, list) else [given]
    return sorted({end for end in (*found, tokenizer.eos_token_id) if end is not None})
