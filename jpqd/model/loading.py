"""Models and tokenizers from a stage's folder, a local folder, a hub, or from random weights."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from jpqd import tasks
from jpqd.core import cells, room
from jpqd.core.errors import SourceError
from jpqd.core.names import STRUCTURE
from jpqd.data import sources
from jpqd.model import apart, generation, new, pooling, structure
from jpqd.model.described import ENCODERS
from jpqd.recipe.task import NewModel, Task, looks_local
from jpqd.tasks import Kind

_SAFE: dict[str, Any] = {"trust_remote_code": False}


def quiet() -> None:
    """Silence transformers: what is worth saying is said by us, in one place."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load(folder: str | Path, task: Task | None = None) -> PreTrainedModel:
    """A trained stage's model, ready to use: `jpqd.model.load("runs/demo/teacher")`.

    A task may say how the tokens of an embedding model become a vector.
    """
    found, uneven = sources.local_model(str(folder)), _is_uneven(folder)
    kind = _kind(found, task)
    if uneven:
        model = _load_uneven(found)
    else:
        model, facts = kind.auto_class().from_pretrained(
            found, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **_SAFE
        )
        _refuse_untrained(facts["missing_keys"], kind, found)
        apart.separate(model)
    if kind.vectors:
        pooling.attach(model, pooling.wanted(folder, found, task))
    model.train(False)
    return model


def _refuse_untrained(missing: Collection[str], kind: Kind, folder: Path) -> None:
    """Refuse a folder without a head: random weights would be exported and measured."""
    pooler = "pooler."  # which vectors do not pass through
    lost = sorted(name for name in missing if not (kind.vectors and name.startswith(pooler)))
    if lost:
        raise SourceError(
            f"{folder}: it is not a trained {kind.title}: there are no weights for {lost[0]!r}. "
            "Train it first (jpqd init drafts a recipe), or give a folder with its head."
        )


def _kind(folder: Path, task: Task | None) -> Kind:
    """Return the kind of a folder's model; a task that wants vectors gets them of any encoder."""
    if task is not None and task.use is not None and tasks.load(task.use).vectors:
        return tasks.load(task.use)()
    return tasks.of_folder(folder)


def _load_uneven(folder: Path) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder, **_SAFE)
    kind = tasks.of_folder(folder)
    model = kind.auto_class().from_config(config, dtype=torch.float32)
    if kind.vectors:
        pooling.remove_pooler(model)
    apart.separate(model)
    structure.rebuild(model, folder)
    generation.load(model, folder)
    model.train(False)
    return model  # type: ignore[no-any-return]


def load_tokenizer(
    source: str | Path | NewModel, task: Task, cache: Path
) -> PreTrainedTokenizerBase:
    if isinstance(source, NewModel):
        return new.tokenizer(source, task, cache)
    if task.use is not None and tasks.load(task.use).vectors:
        return tokenizer_from(sources.model_folder(str(source)))  # with its prompt
    return tokenizer_from(source)


def tokenizer_from(source: str | Path) -> PreTrainedTokenizerBase:
    name, options = _where(source)
    if options is _SAFE:
        sources.require_tokenizer(name)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{source}: no tokenizer that can be loaded ({error})") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise SourceError(f"{source}: its tokenizer cannot pad, nor end a text.")
        tokenizer.pad_token = tokenizer.eos_token
    return _as_it_reads(tokenizer, Path(name)) if options is _SAFE else tokenizer


def _as_it_reads(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """Put the words before every text, and the cut, where sentence-transformers has them."""
    if tasks.pools(folder):
        tokenizer.prompt = pooling.prompt(folder)  # `Embedding.encode` puts it there
        if pooling.lowers(folder) and tokenizer.is_fast:
            _lower(tokenizer.backend_tokenizer)
        longest = pooling.longest(folder) or tokenizer.model_max_length
        tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    return tokenizer


def _lower(core: Tokenizer) -> None:
    """Let a tokenizer make small letters first. Some classes lose that on their way to disk."""
    there = json.loads(core.to_str())["normalizer"] or {}
    if {"type": "Lowercase"} not in there.get("normalizers", []):
        first = [one for one in (normalizers.Lowercase(), core.normalizer) if one is not None]
        core.normalizer = normalizers.Sequence(first)


def load_for_training(
    source: str | Path | NewModel,
    kind: Kind,
    tokenizer: PreTrainedTokenizerBase,
    task: Task | None = None,
) -> tuple[PreTrainedModel, list[str]]:
    """Load the model with a head for this kind of task; name the weights that start at random."""
    network, fresh = _with_head(source, kind, tokenizer)
    if task is not None and kind.rows_are_text:
        refuse_long_windows(network, task, source)
    apart.separate(network)
    if kind.vectors:
        if isinstance(source, NewModel):
            raise SourceError(
                "new: an embedding model learns from the vectors of the recipe's model, and random "
                "weights have none to give. Name a trained model."
            )
        folder = sources.model_folder(str(source))
        _refuse_wide(kind, network, source)
        pooling.attach(network, pooling.wanted(source, folder, task, strict=True))
        fresh = [name for name in fresh if not name.startswith("pooler.")]  # it is taken off
    return network, fresh


def refuse_long_windows(network: PreTrainedModel, task: Task, source: object) -> None:
    """Refuse windows of tokens for which a model has no positions."""
    most = room.tokens(network.config.to_dict())
    if most is not None and task.max_length > most:
        raise SourceError(
            f"{source}: task.max_length is {task.max_length:,}, and the model takes {most:,} "
            "tokens. Set task.max_length to that or less."
        )


def _refuse_wide(kind: Kind, network: PreTrainedModel, source: object) -> None:
    """Refuse shorter vectors that are not shorter than those of the model."""
    width = network.config.hidden_size
    if wide := [size for size in kind.values if int(size) >= width]:
        raise SourceError(
            f"{source}: task.dimensions: {', '.join(wide)}: its vectors have {width} numbers, and "
            "all of them always serve. Give smaller sizes."
        )


def _with_head(
    source: str | Path | NewModel, kind: Kind, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedModel, list[str]]:
    if isinstance(source, NewModel):
        config = new.config(source, kind, len(tokenizer))
        _refuse_reader(config, kind, "new: bert")
        return kind.auto_class().from_config(config).float(), ["all weights"]
    if _is_uneven(source):
        network = _load_uneven(sources.local_model(str(source)))
        _check_labels(network, kind, source)
        return network, []
    name, options = _where(source)
    order = _their_order(name, options, kind)
    try:
        model, facts = kind.auto_class().from_pretrained(
            name,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **kind.head_config(),
            **options,
        )
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{source}: no model that can be loaded ({error})") from error
    _put_in_order(model, order)
    _refuse_reader(model.config, kind, source)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    fresh = [*facts["missing_keys"], *(key[0] for key in facts["mismatched_keys"])]
    return model, sorted(set(fresh))


def _their_order(name: str, options: dict[str, Any], kind: Kind) -> list[int]:
    """Find where each class of the task stands in a head that knows them in another order."""
    try:
        config = AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError):
        return []  # said where the model is loaded
    architecture = next(iter(config.architectures or ()), "")
    theirs = [tasks.plain(label) for _, label in sorted(config.id2label.items())]
    ours = [tasks.plain(label) for label in kind.names]
    same = architecture.endswith(kind.head) and len(set(ours)) == len(ours)
    differs = same and sorted(ours) == sorted(theirs) and ours != theirs
    return [theirs.index(label) for label in ours] if differs else []


@torch.no_grad()
def _put_in_order(model: PreTrainedModel, order: list[int]) -> None:
    """Move the rows of a head, which now has the task's names, to where these stand."""
    if not order:
        return
    body = f"{model.base_model_prefix}."
    heads = [
        part
        for path, part in model.named_modules()
        if isinstance(part, torch.nn.Linear)
        and part.out_features == len(order)
        and not path.startswith(body)
    ]
    for weight in (heads[-1].weight, heads[-1].bias):
        if weight is not None:
            weight.copy_(weight[order].clone())


def _refuse_reader(config: Any, kind: Kind, source: str | Path) -> None:
    """Refuse to predict the next token with a model that has read it."""
    if kind.rows_are_text and config.model_type in ENCODERS:
        raise SourceError(
            f"{source}: a {config.model_type} reads a text in both directions, so it would see "
            "the tokens that it shall predict. Give a decoder, such as {new: qwen3}."
        )


def _check_labels(network: PreTrainedModel, kind: Kind, source: str | Path) -> None:
    """The head of a model that is compressed already is kept as it is."""
    theirs = tasks.of_network(network)
    if theirs.names != kind.names:
        ours, others = (cells.some(one.names) or "none (a regression)" for one in (kind, theirs))
        raise SourceError(
            f"{source}: its classes are {others}, and the task's are {ours}. "
            "A pruned or quantized model is trained further for the same classes only."
        )


def _is_uneven(source: str | Path) -> bool:
    here = isinstance(source, Path) or looks_local(source)
    return here and (Path(source).expanduser() / STRUCTURE).is_file()


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    structure.save(model, folder)
    tokenizer.save_pretrained(folder)
    if found := pooling.of(model):
        pooling.save(found, folder, model.config.hidden_size)


def _where(source: str | Path) -> tuple[str, dict[str, Any]]:
    if isinstance(source, Path) or looks_local(source):
        return str(sources.local_model(str(source))), _SAFE
    hub = sources.HubId.parse(source)
    return hub.name, {**_SAFE, "revision": hub.revision or "main"}
