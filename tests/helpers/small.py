"""Small models of every family that can be pruned, with random weights, gates and quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from jpqd.core.progress import Progress
from jpqd.methods.prune import Prune
from jpqd.methods.prune.attach import attach
from jpqd.methods.prune.pruning import Pruning
from jpqd.methods.quantize import Quantize, place
from jpqd.model import apart
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import NewModel, Task
from jpqd.training.method import Training

WORDS, HEADS, NEURONS, LAYERS = 200, 4, 24, 3
SIZES = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
         "intermediate_size": NEURONS}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": {**SIZES, "pad_token_id": 0, "type_vocab_size": 1},
    "electra": {**SIZES, "embedding_size": 16},
    "xlm-roberta": {**SIZES, "pad_token_id": 0, "type_vocab_size": 1},
    "mpnet": {**SIZES, "max_position_embeddings": 65},
    "deberta-v2": {
        **SIZES,
        "pad_token_id": 0,
        "type_vocab_size": 0,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "max_relative_positions": -1,
    },
    "modernbert": {
        **SIZES,
        "pad_token_id": 0,
        "local_attention": 8,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), 1),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 2),
    },
    "distilbert": {"dim": 32, "hidden_dim": NEURONS, "n_layers": LAYERS, "n_heads": HEADS},
}

Batch = dict[str, torch.Tensor]
LABELS = torch.arange(8) % 2


def model(family: str = "bert", seed: int = 0, **more: Any) -> PreTrainedModel:
    """Weights large enough that every part matters to the logits."""
    return of(family, seed, **FAMILIES[family], **more)


def of(family: str, seed: int = 0, **sizes: Any) -> PreTrainedModel:
    """The same, also for families that cannot be pruned."""
    torch.manual_seed(seed)
    whole = {"vocab_size": WORDS, "max_position_embeddings": 64, **sizes}
    config = AutoConfig.for_model(family, **whole)
    made = AutoModelForSequenceClassification.from_config(config).float()
    apart.separate(made)
    for parameter in made.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6)
        else:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    made.train(False)
    return made


def batch(rows: int = 8, length: int = 12, seed: int = 1) -> Batch:
    """Token ids, of which the last few of some rows are padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, WORDS, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[::2, -3:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def quantize(model: PreTrainedModel, **options: Any) -> PreTrainedModel:
    """Fake-quantizers, calibrated on a few random batches."""
    batches = [batch(4, 10 + number, seed=number) for number in range(4)]
    place.place(model, batches, Quantize(use="quantize", **options))
    return model


def training(folder: Path = Path()) -> Training:
    """For hooks that read no data."""
    task = Task(name="small", dataset="builtin:reviews")
    new = NewModel(new="bert")
    quiet = Progress(quiet=True)
    ctx = Context("small", new, task, 3, (), 5.0, {}, folder, folder, folder, quiet)
    return Training(ctx, cast("Any", None), cast("Any", None), bf16=False)


def pruning(model: PreTrainedModel, keep: float, **options: Any) -> Pruning:
    """Without data, from which projections could be solved again."""
    return attach(model, Prune(use="prune", keep=keep, refit=False, **options), training())


@torch.no_grad()
def logits(model: PreTrainedModel, given: Batch) -> torch.Tensor:
    model.train(False)
    found: torch.Tensor = model(**given).logits
    return found


def train_step(model: PreTrainedModel) -> None:
    """One step of plain SGD, whose batch is always the same."""
    model.train()
    model(**batch(), labels=LABELS).loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
                parameter.grad = None


@torch.no_grad()
def loss(model: PreTrainedModel) -> float:
    """Of that batch."""
    model.train(False)
    found: float = model(**batch(), labels=LABELS).loss.item()
    return found
