"""The model card: README.md and `.eval_results`, in the form that model hubs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)

from export import names
from export.options import Options
from export.origin import Origin
from jpqd.core import environment
from jpqd.recipe.task import Task, is_path, looks_local
from jpqd.tasks import Kind

_PACKAGES = ("jpqd", "openvino", "optimum-intel", "nncf", "torch", "transformers")


def write(out: Path, origin: Origin, kind: Kind, spec: Options, metrics: dict[str, Any]) -> None:
    """Write the card, which holds only figures that were measured."""
    split, figures = _measured(origin, metrics)
    card = ModelCard(f"---\n{_header(origin, kind, split, figures).to_yaml()}\n---\n\n" + _text(
        origin, kind, spec, metrics, split, figures
    ))  # fmt: skip
    card.save(out / "README.md")
    if figures and origin.task:
        _write_results(out, origin.task, figures)


def _measured(origin: Origin, metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    split = next((name for name, value in metrics.items() if _is_score(value)), "")
    return split, metrics.get(split, {})


def _is_score(value: Any) -> bool:
    return isinstance(value, dict) and "n" in value and "pytorch" in value


def _numbers(figures: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if isinstance(value, float)}


def _header(origin: Origin, kind: Kind, split: str, figures: dict[str, Any]) -> ModelCardData:
    results = None
    if origin.task and figures:
        results = [
            EvalResult(
                task_type=kind.exporter,
                dataset_type=_dataset(origin.task),
                dataset_name=origin.task.name,
                dataset_split=split,
                metric_type=name,
                metric_value=round(value, 4),
            )
            for name, value in _numbers(figures).items()
        ]
    return ModelCardData(
        library_name="openvino",
        pipeline_tag=kind.exporter,
        tags=["openvino", "jpqd"],
        model_name=origin.folder.name,
        eval_results=results,
        ignore_metadata_errors=True,
    )


def _dataset(task: Task) -> str:
    """Return a hub's id, or the task's name where the rows come from files."""
    hub = isinstance(task.dataset, str) and not looks_local(task.dataset)
    return (
        str(task.dataset).partition("@")[0] if hub and ":" not in str(task.dataset) else task.name
    )


def _write_results(out: Path, task: Task, figures: dict[str, Any]) -> None:
    folder = out / ".eval_results"
    folder.mkdir(exist_ok=True)
    entries = [
        EvalResultEntry(
            dataset_id=_dataset(task),
            task_id=task.subset or task.name,
            value=round(value, 4),
            notes=f"{name}, n={figures['n']}",
        )
        for name, value in _numbers(figures).items()
    ]
    text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    (folder / f"{task.name}.yaml").write_text(text)


def _text(
    origin: Origin,
    kind: Kind,
    spec: Options,
    metrics: dict[str, Any],
    split: str,
    figures: dict[str, Any],
) -> str:
    parts = [
        f"# {_plain(origin.folder.name)}",
        f"A {kind.title} as OpenVINO IR, made by jpqd. {_what(metrics['model'])}",
        _figures(split, figures) if figures else "Not measured on labelled rows.",
        _sizes(metrics),
        "## Use" + _usage(spec, kind, origin, metrics),
    ]
    if origin.recipe:
        recipe = yaml.safe_dump(_public(origin.recipe), sort_keys=False, allow_unicode=True)
        parts.append(
            f"## Recipe\n\nThe stage is `{origin.folder.name}`.\n\n{_fenced(recipe, 'yaml')}"
        )
    versions = ", ".join(f"{package} {environment.installed(package)}" for package in _PACKAGES)
    parts.append(f"## Made with\n\n{versions}; {_machine()}.")
    return "\n\n".join(parts) + "\n"


def _machine() -> str:
    facts = environment.environment()
    return f"{facts['processor']}, {facts['cores']} cores"


def _what(model: dict[str, Any]) -> str:
    words = [f"{model['parameters']:,} parameters, {model['precision']}"]
    share = model.get("encoder_share", 1.0)
    if share < 1:
        words.append(
            f"{share:.1%} of the encoder's weights are left (heads and neurons of each layer: "
            + ", ".join(f"{heads}/{neurons}" for heads, neurons in model["layers"])
            + ")"
        )
    return "; ".join(words) + "."


def _figures(split: str, figures: dict[str, Any]) -> str:
    numbers, before = _numbers(figures), _numbers(figures["pytorch"])
    rows = figures["pytorch"]["n"]
    some = "" if rows == figures["n"] else f" on {rows} of these rows"
    lines = [f"| | this IR | the PyTorch model{some} |", "|---|---:|---:|"]
    lines += [f"| {name} | {value:.4f} | {before[name]:.4f} |" for name, value in numbers.items()]
    return f"On {_plain(split)}, n = {figures['n']}:\n\n" + "\n".join(lines)


def _sizes(metrics: dict[str, Any]) -> str:
    lines = [f"- `{name}`: {size / 1e6:.1f} MB" for name, size in sorted(metrics["ir"].items())]
    check = metrics["check"]
    if check is None:
        return "\n".join([*lines, "", "It was **not** compared with the PyTorch model."])
    facts = next(iter(check.values()))
    return "\n".join(
        [
            *lines,
            "",
            f"Compared with the PyTorch model on {facts['rows']} rows, in f32: {facts['same']:.2%} "
            f"get the same prediction{_undecided(facts)}, logits differ by "
            f"{facts['mean_difference']:.1e} on average.",
        ]
    )


def _undecided(facts: dict[str, Any]) -> str:
    count = facts["undecided"]
    return f" ({count} of the others tip over in PyTorch too)" if count else ""


def _usage(spec: Options, kind: Kind, origin: Origin, metrics: dict[str, Any]) -> str:
    if spec.layout == "ovms":
        return _served(names.served(origin.folder.name), kind, spec)
    if kind.vectors:
        more = _lengths(metrics["lengths"]) if metrics["lengths"] else ""
        return f"\n\n{_fenced(_VECTORS, 'python')}{more}"
    two = '{"text": "a text", "text_pair": "another"}'
    asked = two if origin.texts == 2 else '"a text"'
    code = f"""\
from optimum.intel import OVModel{kind.head}
from transformers import AutoTokenizer, pipeline

folder = "."  # this one
model = OVModel{kind.head}.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
classify = pipeline("{kind.exporter}", model=model, tokenizer=tokenizer)
print(classify({asked}))
"""
    fused = (
        f"\n\n`{names.FUSED}` takes texts: `import openvino_tokenizers`, compile it with "
        "openvino, and give it a list of strings."
    )
    more = _lengths(metrics["lengths"]) if metrics["lengths"] else ""
    more += fused if spec.fuse_tokenizer else ""
    return f"\n\n{_fenced(code, 'python')}{more}"


_VECTORS = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(".", backend="openvino")  # this folder
print(model.encode(["a text", "another"]))
"""


def _served(name: str, kind: Kind, spec: Options) -> str:
    """Return how to serve the repository, and how to ask the server."""
    place = f"http://localhost:8000/v2/models/{name}"
    has_classes = not (kind.is_number or kind.vectors)
    labels = f" `{names.CLIENT}/config.json` has the labels." if has_classes else ""
    told = "the last hidden states of all tokens, to be pooled" if kind.vectors else "logits"
    lines = ["ovms --config_path config.json --rest_port 8000", f"curl {place}  # names of inputs"]
    start = f"\n\n{_fenced(chr(10).join(lines), 'sh')}\n\n`POST {place}/infer` takes "
    if spec.fuse_tokenizer:
        return f"{start}texts (`BYTES`, one for each row) and answers with {told}.{labels}"
    return (
        f"{start}tokens (`INT64`, rows by tokens) and answers with {told}. "
        f"`{names.CLIENT}/tokenizer.json` makes them, cut at the model's length.{labels}"
    )


def _lengths(lengths: Sequence[int]) -> str:
    *shorter, last = map(str, lengths)
    every = f"{', '.join(shorter)} or {last}" if shorter else last
    return (
        f"\n\nOne text at a time is filled up to {every} tokens inside of the graph, whose "
        "shapes are fixed then. Several texts, and longer ones, are answered as they come."
    )


def _public(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe with the last names of local folders only, not their full paths."""
    task = {**recipe["task"], "dataset": _last_names(recipe["task"]["dataset"])}
    stages = _without_folders(recipe["stages"])
    return {**recipe, "model": _last_names(recipe["model"]), "task": task, "stages": stages}


def _without_folders(value: Any) -> Any:
    """Shorten what is written as a path: a word may name a stage and lie in this folder too."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    return _name(value) if isinstance(value, str) and is_path(value) else value


def _name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _last_names(source: Any) -> Any:
    if isinstance(source, dict):
        return {key: _last_names(value) for key, value in source.items()}
    return _name(source) if isinstance(source, str) and looks_local(source) else source


def _fenced(text: str, kind: str) -> str:
    """Put a text into a fence that nothing inside can close."""
    fence = "`" * max(3, 1 + max(len(run) for run in ["", *_ticks(text)]))
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def _ticks(text: str) -> list[str]:
    return "".join(letter if letter == "`" else " " for letter in text).split()


def _plain(name: str) -> str:
    """Escape the underscores of a name, the only Markdown that it can hold."""
    return name.replace("_", "\\_")
