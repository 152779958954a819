"""A policy beside a plan: weights as safetensors, and what they are of as JSON."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor

from jpqd.core.errors import UserError
from jpqd.search.agent.environment import ACTIONS, OBSERVATIONS
from jpqd.search.agent.observation import LEVELS, SEEN
from jpqd.search.options import POLICY

FACTS, WEIGHTS = POLICY, "policy.safetensors"
NETWORK = [64, 64]

Weights = dict[str, Tensor]


class Facts(BaseModel):
    """The things that the weights hang on. Another version of the program may have others."""

    model_config = ConfigDict(extra="forbid")

    seen: tuple[str, ...] = SEEN
    levels: tuple[float, ...] = LEVELS
    network: list[int] = NETWORK
    sha256: str
    """The hash of the weights."""


def save(weights: Weights, folder: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    (folder / FACTS).write_text(_facts(folder).model_dump_json(indent=1), encoding="utf-8")


def load(folder: Path, stage: str) -> Weights:
    """Return the policy of a stage, and refuse one that does not fit."""
    if not (folder / FACTS).is_file():
        raise UserError(
            f"policy: {stage!r} left no policy. Name a stage, or the folder of one, with "
            "`use: search, strategy: agent`."
        )
    try:
        facts = Facts.model_validate_json((folder / FACTS).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
        fits = facts == _facts(folder) and _shapes(weights) == _shapes(fresh().state_dict())
    except (OSError, ValidationError, SafetensorError) as error:
        raise UserError(f"policy: that of {stage!r} cannot be read: {error}") from error
    if not fits:
        raise UserError(
            f"policy: that of {stage!r} sees or does other things than an agent of this version, "
            "or its weights were changed. Search that stage again, or leave `policy` out."
        )
    return weights


def _facts(folder: Path) -> Facts:
    return Facts(sha256=sha256((folder / WEIGHTS).read_bytes()).hexdigest())


def fresh() -> MaskableActorCriticPolicy:
    return MaskableActorCriticPolicy(OBSERVATIONS, ACTIONS, lambda _: 0.0, net_arch=NETWORK)


def _shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
