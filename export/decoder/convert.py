"""The conversion of a decoder to an IR that keeps its key-value cache, and of its tokenizer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino as ov
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from export.decoder import packed
from export.names import DETOKENIZER, TOKENIZER
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.model import apart, families, generation
from jpqd.tasks import Kind


def write(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: Kind, folder: Path
) -> bool:
    """Write the IR, its config and its tokenizer; return whether upstream refuses the family.

    Such a family is converted all the same: whoever asks for it compares the IR with the model.
    """
    from optimum.exporters.openvino import export_from_model
    from optimum.intel import OVConfig

    constructor = _constructor(network, kind)
    with (
        _quiet(),
        _own_heads(constructor.func, network),
        apart.together(network),
        packed.weights(network) as left,
        _without_a_cap(constructor) as refused,
    ):
        export_from_model(
            network,
            output=folder,
            task=kind.exporter,
            stateful=True,
            preprocessors=[tokenizer],
            ov_config=OVConfig(dtype="fp32"),
        )
    if left:
        packed.store(folder, left)
    generation.save(network, folder)
    tokenizer.save_pretrained(folder)
    return refused


def _constructor(network: PreTrainedModel, kind: Kind) -> Any:
    import optimum.exporters.openvino  # noqa: F401 - registers the exporters
    from optimum.exporters.tasks import TasksManager

    family = network.config.model_type
    try:
        return TasksManager.get_exporter_config_constructor(
            model_type=family, exporter="openvino", task=kind.exporter, library_name="transformers"
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"models of the family {family!r} cannot be exported as a {kind.title}: {error}"
        ) from error


@contextmanager
def _without_a_cap(constructor: Any) -> Iterator[bool]:
    """Lift upstream's limit on the version of transformers, where this one is above it."""
    from optimum.intel.utils.import_utils import is_transformers_version

    config = constructor.func
    cap = getattr(config, "MAX_TRANSFORMERS_VERSION", None)
    refused = cap is not None and is_transformers_version(">", str(cap))
    if refused:
        config.MAX_TRANSFORMERS_VERSION = None
    try:
        yield refused
    finally:
        if refused:
            config.MAX_TRANSFORMERS_VERSION = cap


@contextmanager
def _own_heads(config: Any, network: PreTrainedModel) -> Iterator[None]:
    """Show the exporter a cache with the heads that each layer has: a cut leaves them unlike."""
    if not families.knows(network):
        yield
        return
    heads = families.key_heads(network)

    def of_layers(kind: type[Any]) -> type[Any]:
        class OfLayers(kind):  # type: ignore[misc]
            def generate(self, name: str, *args: Any, **kwargs: Any) -> Any:
                made = super().generate(name, *args, **kwargs)
                layers = zip(made, heads, strict=True)
                return [tuple(one[:, :count] for one in pair) for pair, count in layers]

        return OfLayers

    before = config.DUMMY_INPUT_GENERATOR_CLASSES
    config.DUMMY_INPUT_GENERATOR_CLASSES = tuple(
        of_layers(kind) if "past_key_values" in kind.SUPPORTED_INPUT_NAMES else kind
        for kind in before
    )
    try:
        yield
    finally:
        config.DUMMY_INPUT_GENERATOR_CLASSES = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice of tracing and of exporters away from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, progress: Progress) -> None:
    """Write what turns texts into tokens and back; warn where OpenVINO cannot."""
    from openvino_tokenizers import convert_tokenizer

    try:
        with _quiet():
            there, back = convert_tokenizer(tokenizer, with_detokenizer=True)
    except Exception as error:
        progress.warn(
            f"its tokenizer cannot be converted to OpenVINO, so {TOKENIZER} is not written: {error}"
        )
        return
    ov.save_model(there, folder / TOKENIZER)
    ov.save_model(back, folder / DETOKENIZER)
