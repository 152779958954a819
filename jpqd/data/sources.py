"""The sources of models and datasets: folders, files, or a hub that may be unreachable."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from jpqd.core import artifact, offline
from jpqd.core.errors import SourceError
from jpqd.core.names import MODULES, STRUCTURE
from jpqd.data import pickled
from jpqd.recipe.explain import short_text
from jpqd.recipe.task import BUILTIN, FILES, TABLES, NewModel, Task, looks_local
from jpqd.tasks.causal_lm import CausalLm

Kind = Literal["model", "dataset"]

HUB_SECONDS = 7.0
_FILES = (*FILES, ".yaml")
_ALIASES = {"valid": "validation", "val": "validation", "dev": "validation", "training": "train"}
_TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model",
    "spm.model", "sentencepiece.bpe.model",
)  # fmt: skip
_WEIGHTS = "model*.safetensors"
_MODEL_FILES = (
    _WEIGHTS, "config.json", STRUCTURE, "tokenizer*", "special_tokens_map.json",
    "vocab.*", "merges.txt", "*.model", "model.safetensors.index.json", "generation_config.json",
    "chat_template*",
)  # fmt: skip
_POOLING_FILES = (MODULES, "*_Pooling/config.json", "config_sentence_transformers.json",
                  "sentence_bert_config.json")  # fmt: skip
_SIZES = ("hidden_size", "vocab_size", "num_hidden_layers", "intermediate_size",
          "num_attention_heads", "max_position_embeddings")  # fmt: skip


@dataclass(frozen=True)
class HubId:
    """A name on a hub: `owner/name`, or `owner/name@revision`."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubId":
        name, _, revision = text.partition("@")
        return cls(name, revision or None)


def model_identity(model: str | NewModel, *, pooled: bool = False) -> dict[str, Any]:
    """Return what a fingerprint holds of a model: its content, and not its place.

    How tokens become a vector counts where a model is asked for vectors: `pooled`.
    """
    if isinstance(model, NewModel):
        return model.plain()
    if not looks_local(model):
        return {"hub": model}
    return _hashes(local_model(model), (*_MODEL_FILES, *(_POOLING_FILES if pooled else ())))


def identity(source: str, *, pooled: bool = False) -> dict[str, Any]:
    """Return what a fingerprint holds of a model, a table or a file of texts."""
    if is_file(source):
        return {"sha256": _hash(local_file(source, _FILES))}
    return model_identity(source, pooled=pooled)


def canonical(split: str) -> str:
    """Return the canonical name of a split: `dev`, `valid` and `val` are `validation`."""
    return _ALIASES.get(split.lower(), split.lower())


def is_table(source: str) -> bool:
    return source.lower().endswith(TABLES)


def is_file(source: str) -> bool:
    """Return whether a source is a table, a file of texts or of settings, and no model."""
    return source.lower().endswith(_FILES)


def model_folder(source: str) -> Path:
    """Return the folder of a model; download it first where it is on the hub."""
    if looks_local(source):
        return local_model(source)
    from huggingface_hub import snapshot_download

    hub = HubId.parse(source)
    try:
        folder = snapshot_download(
            hub.name, revision=hub.revision, allow_patterns=[*_MODEL_FILES, *_POOLING_FILES]
        )
    except (OSError, ValueError) as error:
        raise SourceError(f"model {source!r}: {_hub_reason(error)}") from error
    return local_model(folder)


def dataset_identity(task: Task) -> dict[str, Any]:
    if isinstance(task.dataset, dict):
        files = {split: local_file(path, endings(task)) for split, path in task.dataset.items()}
        return {split: _hash(path) for split, path in files.items()}
    if task.dataset == BUILTIN or not looks_local(task.dataset):
        return {"hub" if task.dataset != BUILTIN else "builtin": task.dataset}
    folder = Path(task.dataset).expanduser()
    return {path.name: _hash(path) for path in table_files(folder, task)}


def local_model(text: str) -> Path:
    """Return a model's folder, or raise an error where config.json or safetensors are missing."""
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise SourceError(f"model {text!r}: there is no such folder. Give a folder, or a hub id.")
    if not (folder / "config.json").is_file():
        raise SourceError(f"model {text!r}: the folder has no config.json, so it holds no model.")
    if not any(folder.glob(_WEIGHTS)):
        pickled.refuse(text, {path.name for path in folder.iterdir()})
        raise SourceError(f"model {text!r}: the folder has no model.safetensors.")
    _check_sizes(folder)
    return folder


def require_tokenizer(model: str | Path) -> None:
    """Refuse a model's folder without a tokenizer: the library would make an empty one."""
    folder = Path(model).expanduser()
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise SourceError(
            f"model {str(model)!r}: the folder has no tokenizer ({', '.join(_TOKENIZERS)}), and "
            "without it every word is unknown. Copy the tokenizer's files there."
        )


def _check_sizes(folder: Path) -> None:
    """Refuse sizes that the weights cannot have, before memory is asked for."""
    try:
        config = json.loads((folder / "config.json").read_text())
        sizes = {name: config[name] for name in _SIZES if name in config}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SourceError(f"{folder / 'config.json'} cannot be read: {error}") from None
    room = sum(path.stat().st_size for path in folder.glob(_WEIGHTS))
    wide = sizes.get("hidden_size", 1)
    for name, size in sizes.items():  # the width comes first, so the others can be measured by it
        whole = name == "hidden_size" or (folder / STRUCTURE).exists()
        if type(size) is not int or not 0 < size <= (room if whole else room // wide + 1):
            raise SourceError(
                f"{folder / 'config.json'}: {name} is {short_text(size)}, which does not fit "
                f"weights of {room / 1e6:,.1f} MB. Correct it, or copy the model again."
            )


def endings(task: Task) -> tuple[str, ...]:
    return FILES if task.use == CausalLm.use else TABLES


def local_file(text: str, endings: tuple[str, ...] = TABLES) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise SourceError(f"file {text!r}: there is no such file.")
    if path.suffix.lower() not in endings:
        raise SourceError(f"dataset file {text!r}: expected one of {', '.join(endings)}.")
    return path


def table_files(place: Path, task: Task) -> list[Path]:
    """List the data files of a folder, or the one file that was named."""
    if place.is_file():
        return [local_file(str(place), endings(task))]
    if not place.is_dir():
        raise SourceError(f"dataset {str(place)!r}: there is no such file or folder.")
    every = sorted(place.iterdir())
    files = [path for path in every if path.suffix.lower() in TABLES]
    files = files or [path for path in every if path.suffix.lower() in endings(task)]
    if other := next((path for path in files if not path.is_file()), None):
        raise SourceError(f"dataset: {other} is a folder or a dead link. Put a file there.")
    if not files:
        raise SourceError(
            f"dataset {str(place)!r}: no {', '.join(TABLES)} in this folder. "
            "Put one file per split there, such as train.csv and validation.csv."
        )
    return files


def _hashes(folder: Path, patterns: tuple[str, ...]) -> dict[str, Any]:
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix(): _hash(path) for path in sorted(files)}


def _hash(path: Path) -> str:
    """Hash a file; a command hashes each file only once."""
    facts = path.stat()
    return _hash_once(path, facts.st_size, facts.st_mtime_ns)


@lru_cache
def _hash_once(path: Path, size: int, changed: int) -> str:
    return artifact.hash_file(path)


def weights_bytes(model: str | NewModel) -> int | None:
    """Return the size of a model's weights; None where it is not known before a download."""
    if isinstance(model, NewModel):
        hidden, layers = model.hidden_size, model.num_hidden_layers
        layer = 4 * hidden * hidden + 2 * hidden * model.intermediate_size
        return 4 * (model.vocab_size * hidden + layers * layer)
    if not looks_local(model):
        return None
    return sum(path.stat().st_size for path in local_model(model).glob(_WEIGHTS))


def check_hub(model: str | NewModel, task: Task, others: Iterable[str] = ()) -> None:
    """Fail within seconds where a hub cannot provide something that the run reads."""
    models = dict.fromkeys(one for one in (model, *others) if isinstance(one, str))
    remote = [one for one in models if not is_file(one) and not looks_local(one)]
    wanted: list[tuple[Kind, HubId]] = [("model", HubId.parse(one)) for one in remote]
    if isinstance(task.dataset, str) and task.dataset != BUILTIN and not looks_local(task.dataset):
        wanted.append(("dataset", HubId.parse(task.dataset)))
    if problems := _hub_problems([one for one in wanted if not _is_cached(*one)]):
        raise SourceError("\n".join(problems) + "\n" + _LOCAL_COPIES)


_LOCAL_COPIES = """To run from local copies, name them:
    --set model=DIR --set task.dataset=DIR
DIR holds config.json, model.safetensors and the tokenizer's files; for the dataset a file per
split, such as train.csv and validation.csv (also .tsv, .jsonl, .parquet)."""


def _hub_problems(wanted: list[tuple[Kind, HubId]]) -> list[str]:
    if offline.is_offline():
        return [f"{kind} {hub.name!r} is not in the cache, and jpqd is offline."
                for kind, hub in wanted]  # fmt: skip
    problems = []
    for (kind, hub), answer in zip(wanted, _ask_hub(wanted), strict=True):
        if isinstance(answer, Exception):
            problems.append(f"{kind} {hub.name!r}: {_hub_reason(answer)}")
        elif kind == "model" and not any(name.endswith(".safetensors") for name in answer):
            pickled.refuse(hub.name, set(answer))
    return problems


def _hub_files(kind: Kind, hub: HubId) -> list[str]:
    from huggingface_hub import HfApi

    info = HfApi().repo_info(
        hub.name, repo_type=kind, revision=hub.revision, timeout=HUB_SECONDS - 1
    )
    return [sibling.rfilename for sibling in getattr(info, "siblings", None) or ()]


def _hub_reason(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "accept its terms on the hub and log in first (hf auth login)."
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such repository (or it is private: hf auth login)."
    return f"the hub cannot be reached ({type(error).__name__}: {str(error)[:120]})."


def _is_cached(kind: Kind, hub: HubId) -> bool:
    """Return whether a snapshot is on this machine, so that no network is needed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                hub.name, repo_type=kind, revision=hub.revision, local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return False
    wanted = _WEIGHTS if kind == "model" else "**/*"
    return any(path.is_file() for path in folder.glob(wanted))


def _ask_hub(wanted: list[tuple[Kind, HubId]]) -> list[list[str] | Exception]:
    """Ask for all repositories at once, with a time limit: libraries retry for minutes."""
    silent = TimeoutError(f"no answer within {HUB_SECONDS:.0f} s")
    answers: list[list[str] | Exception] = [silent for _ in wanted]

    def ask(index: int) -> None:
        try:
            answers[index] = _hub_files(*wanted[index])
        except Exception as error:
            answers[index] = error

    threads = [Thread(target=ask, args=(index,), daemon=True) for index in range(len(wanted))]
    deadline = time.monotonic() + HUB_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(answers)
