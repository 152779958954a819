"""Adapters by peft: put beside projections, trained, merged, and kept in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.core import files, processes
from jpqd.core.errors import UserError
from jpqd.model import families, shrink, structure
from jpqd.model.apart import Apart
from jpqd.model.student import layers_of
from jpqd.training.method import Hooks, Training

ADAPTER = "adapter"
"""The folder of a stage that holds the adapters by themselves, as peft reads them."""
_NAME = "default"
_TASKS = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS",
          "ForCausalLM": "CAUSAL_LM", "Model": "FEATURE_EXTRACTION"}  # fmt: skip


def attach(
    name: str, config_of: Callable[[Any], Any], network: PreTrainedModel, training: Training
) -> tuple[PreTrainedModel, Hooks]:
    """Put adapters into the network; all but they and the head stands still."""
    where = f"{training.stage}: {name}"
    peft = _peft(where)
    if hasattr(network, shrink.HOOKS):
        raise UserError(
            f"{where}: the model has gates or quantizers. Train adapters in a stage before prune "
            "and quantize, or after a cut."
        )
    config = config_of(peft)
    peft.inject_adapter_in_model(config, network, _NAME)
    head = _head(network)
    for part in head.values():
        part.requires_grad_(True)
    return network, Adapting(network, config, head, training)


def _peft(where: str) -> Any:
    try:
        import peft
    except ImportError:
        raise UserError(f"{where}: needs peft. Install it: pip install 'jpqd[lora]'.") from None
    return peft


def targets(which: str, network: PreTrainedModel) -> list[str]:
    """Name the projections of the layers that get an adapter."""
    if which == "all":
        names = {module: name for name, module in network.named_modules()}
        found = [m for m in layers_of(network).modules() if isinstance(m, nn.Linear)]
        return [names[module] for module in found]
    family = families.alike(network)
    out = family.attention_out if which == "attention" else family.ffn_out
    return named(network, *_inputs(family, out), out)


def named(network: PreTrainedModel, *paths: str) -> list[str]:
    """Name these projections of every layer, where they are."""
    names = {module: name for name, module in network.named_modules()}
    parts = [families.part(layer, path) for layer in layers_of(network) for path in paths]
    return [names[part] for part in parts if isinstance(part, nn.Linear)]


def _inputs(family: Any, out: str) -> tuple[str, ...]:
    if out == family.ffn_out:
        return tuple(family.ffn_in)
    return family.query, family.key, family.value


def _head(network: PreTrainedModel) -> dict[str, nn.Module]:
    """Find what stands behind the layers and belongs to the task; a decoder's words do not."""
    base: Any = network.base_model
    found: dict[str, nn.Module] = {}
    if base is network:
        return found
    if isinstance(pooler := getattr(base, "pooler", None), nn.Module):
        found[f"{network.base_model_prefix}.pooler"] = pooler
    words = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, part in network.named_children():
        if part is not base and part is not words and any(True for _ in part.parameters()):
            found[name] = part
    return found


class Adapting(Hooks):
    """The adapters of a network."""

    def __init__(
        self, network: PreTrainedModel, config: Any, head: dict[str, nn.Module], training: Training
    ) -> None:
        self.config, self.head, self.training = config, head, training

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Add the adapters to the weights that they stand beside, and keep them by themselves."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        tensors = self._tensors(model)
        for name, part in list(model.named_modules()):
            if isinstance(part, BaseTunerLayer):
                part.merge()
                model.set_submodule(name, part.get_base_layer())
        del model.peft_config
        model.requires_grad_(True)
        is_apart = any(isinstance(part, Apart) for part in model.modules())
        if processes.is_main() and structure.is_plain(model) and not is_apart:
            self._save(tensors, self.training.ctx.out / ADAPTER)
        return model

    def _save(self, tensors: dict[str, Tensor], folder: Path) -> None:
        """Write what peft reads, for a model that transformers loads."""
        folder.mkdir(parents=True)
        kind = self.training.kind
        self.config.task_type = _TASKS.get(kind.head)
        self.config.modules_to_save = [path.rpartition(".")[2] for path in self.head] or None
        self.config.inference_mode = True
        named = {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}
        save_file(named, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        self.config.save_pretrained(str(folder))
        files.sync(folder / "adapter_config.json")

    def _tensors(self, model: PreTrainedModel) -> dict[str, Tensor]:
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
        for path, part in self.head.items():
            found |= {f"{path}.{name}": weight for name, weight in part.state_dict().items()}
        return {name: weight.detach().cpu().clone() for name, weight in found.items()}
