"""The way from a text's tokens to its vector, in the files that sentence-transformers reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd.core import files
from jpqd.core.errors import SourceError
from jpqd.core.names import MODULES
from jpqd.recipe.task import Task
from jpqd.tasks import VECTORS
from jpqd.tasks.embedding import EmbeddingTask, Mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SETTINGS = "config_sentence_transformers.json"
_TEXTS = "sentence_bert_config.json"
_POOLING, _NORMALIZE = "1_Pooling", "2_Normalize"
_CONFIG = "config.json"
_TINY = 1e-12
_LIBRARY = "sentence_transformers.models."
_MODES: dict[Mode, str] = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}
_OLD = "pooling_mode_"
_ADVICE = "Known are cls, mean and last, alone or with a Normalize behind them"


@dataclass(frozen=True)
class Pooling:
    """A text's vector is its first token, the mean of its tokens, or its last one."""

    mode: Mode
    normalize: bool = True
    prompts: dict[str, str] = field(default_factory=dict)
    """The words before a text, by the name of its purpose."""
    prompt_name: str | None = None
    """The purpose of a text that comes without one."""
    longest: int | None = None
    """The tokens at which texts are cut."""
    similarity: str = "cosine"
    """The comparison of two vectors, by its name in sentence-transformers."""
    lowers: bool = False
    """True where texts become small letters before they are tokenized."""

    def vectors(self, hidden: Any, mask: Any) -> Any:
        """Return the vectors of a batch's last hidden states: arrays or tensors."""
        found = self._one(hidden, mask)
        if not self.normalize:
            return found
        return found / ((found * found).sum(1)[:, None] ** 0.5).clip(_TINY)

    def _one(self, hidden: Any, mask: Any) -> Any:
        if self.mode == "cls":
            return hidden[:, 0]
        if self.mode == "last":
            return hidden[list(range(len(hidden))), mask.sum(1) - 1]
        weights = mask[:, :, None]
        return (hidden * weights).sum(1) / weights.sum(1).clip(1)


def attach(network: PreTrainedModel, pooling: Pooling) -> None:
    """Let a network answer with vectors, as `logits`. The hook leaves the exported graph alone."""
    remove_pooler(network)

    def pool(_: Any, __: Any, given: dict[str, Any], out: Any) -> None:
        if type(out) is dict:  # an export, whose outputs are its own
            return
        mask = given.get("attention_mask")
        hidden = out.last_hidden_state.float()
        mask = hidden.new_ones(hidden.shape[:2]).long() if mask is None else mask
        out["logits"] = pooling.vectors(hidden, mask)

    setattr(network, VECTORS, pooling)
    network.register_forward_hook(pool, with_kwargs=True)


def remove_pooler(network: PreTrainedModel) -> None:
    """Take off what no vector is made of: it would be quantized and saved."""
    if hasattr(network, "pooler"):
        network.pooler = None  # type: ignore[assignment]


def of(network: PreTrainedModel) -> Pooling | None:
    """Return what was attached."""
    found: Pooling | None = getattr(network, VECTORS, None)
    return found


def read(folder: Path) -> Pooling | None:
    """Read a folder's pooling; None where it says nothing of one."""
    modules = _json(folder / MODULES)
    if modules is None:
        return None
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
        raise SourceError(f"{folder / MODULES}: it is no list of modules. Copy the model again.")
    steps = [(str(one.get("type")).rpartition(".")[2], str(one.get("path"))) for one in modules]
    kinds = tuple(name for name, _ in steps)
    if kinds not in _CHAINS:
        raise SourceError(f"{folder / MODULES}: its modules are {', '.join(kinds)}. {_ADVICE}.")
    config = _json(_inside(folder, steps[1][1]) / _CONFIG) or {}
    settings = _json(folder / SETTINGS) or {}
    return Pooling(
        mode=_mode(config, folder),
        normalize="Normalize" in kinds,
        prompts={str(k): str(v) for k, v in (settings.get("prompts") or {}).items()},
        prompt_name=settings.get("default_prompt_name"),
        longest=longest(folder),
        similarity=str(settings.get("similarity_fn_name") or "cosine"),
        lowers=lowers(folder),
    )


_CHAINS = {("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")}


def _inside(folder: Path, name: str) -> Path:
    """Return a module's folder, which never lies elsewhere."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SourceError(f"{folder / MODULES}: {name!r} leads out of the folder.")
    return path


def _mode(config: dict[str, Any], folder: Path) -> Mode:
    """Read one mode, in the older form with a switch for each, or in the newer one by name."""
    told = config.get("pooling_mode") or [
        name.removeprefix(_OLD) for name, on in config.items() if name.startswith(_OLD) and on
    ]
    named = [told] if isinstance(told, str) else list(told)
    if not config.get("include_prompt", True):
        raise SourceError(
            f"{folder / _POOLING}: its prompts are read but not pooled (include_prompt: false), "
            "which is not supported."
        )
    for mode, name in _MODES.items():
        if named in ([mode], [name]):
            return mode
    raise SourceError(
        f"{folder / _POOLING}: its pooling is {' and '.join(map(str, named)) or 'not said'}. "
        f"{_ADVICE}."
    )


def longest(folder: Path) -> int | None:
    """Return the number of tokens at which a folder's texts are cut, if it says so."""
    found = (_json(folder / _TEXTS) or {}).get("max_seq_length")
    return found if isinstance(found, int) and found > 0 else None


def lowers(folder: Path) -> bool:
    """Return whether a folder's texts are made small letters before its tokenizer reads them."""
    return bool((_json(folder / _TEXTS) or {}).get("do_lower_case"))


def prompt(folder: Path) -> str:
    """Return the words that a folder puts before every text."""
    settings = _json(folder / SETTINGS) or {}
    return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name"), ""))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None


def wanted(source: str | Path, folder: Path, task: Task | None, *, strict: bool = False) -> Pooling:
    """Return the pooling of a model's folder, or what the task says of one that has none.

    The task may not contradict the recipe's own model, which is asked for with `strict`.
    """
    found = read(folder)
    told = task.model_dump() if isinstance(task, EmbeddingTask) else {}
    stated = {name: told[key] for name, key in _STATED if told.get(key) is not None}
    if found is None and "mode" not in stated:
        raise SourceError(
            f"{source}: there is no {MODULES}, so it is not known how its tokens become a vector. "
            "Set task.pooling in a recipe to cls, mean or last, as the model was trained, or copy "
            "modules.json and 1_Pooling/config.json from where the model comes from."
        )
    if found is None:
        return Pooling(**stated)
    if strict and (
        differing := [name for name, value in stated.items() if getattr(found, name) != value]
    ):
        name = differing[0]
        raise SourceError(
            f"{source}: its own files say {name} {getattr(found, name)}, and the task says "
            f"{stated[name]}. Leave it out of the task."
        )
    return found


_STATED = (("mode", "pooling"), ("normalize", "normalize"))


def save(pooling: Pooling, folder: Path, width: int) -> None:
    """Write the files from which sentence-transformers knows the pooling."""
    chain = [("Transformer", ""), ("Pooling", _POOLING), ("Normalize", _NORMALIZE)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": _LIBRARY + name}
        for number, (name, path) in enumerate(chain[: 2 + pooling.normalize])
    ]
    switches = {_OLD + name: mode == pooling.mode for mode, name in _MODES.items()}
    files.write_json(folder / MODULES, modules)
    (folder / _POOLING).mkdir(exist_ok=True)
    files.write_json(folder / _POOLING / _CONFIG, {"word_embedding_dimension": width, **switches})
    if pooling.normalize:
        (folder / _NORMALIZE).mkdir(exist_ok=True)
        files.write_json(folder / _NORMALIZE / _CONFIG, {})
    prompts = {"prompts": pooling.prompts, "default_prompt_name": pooling.prompt_name}
    files.write_json(folder / SETTINGS, {**prompts, "similarity_fn_name": pooling.similarity})
    texts = {"max_seq_length": pooling.longest, "do_lower_case": pooling.lowers}
    files.write_json(folder / _TEXTS, texts)
