"""The divergence of a batch's predictions from those of a teacher."""

import torch
from torch.nn import functional


def softened(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return KL(teacher || student) of softened predictions, scaled for gradients of one size."""
    ours, theirs = (functional.log_softmax(one / temperature, -1) for one in (student, teacher))
    divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
