"""The losses of `greyzone.training.finetune` (InfoNCE) and `greyzone.training.multilingual` (nearness to given vectors).

InfoNCE over the batch in both directions (van den Oord et al. 2018; "MultipleNegativesRanking" of Henderson et al. 2017): with unit
vectors a_i, p_i and scale s, the mean of ``-log softmax(s a_i . p_j)[i]`` over anchors and of ``-log softmax(s p_i . a_j)[i]`` over
positives; hard negatives join the candidates of the anchors. The usual remedy against false negatives, a sampler that keeps equal texts
out of a batch, knows texts only. Here every text's group comes along as a label, and a candidate of the anchor's own group other than
its positive is left out of the softmax, whatever the batch is made of.
"""

from __future__ import annotations

from typing import Any

from greyzone.records import Floats

NO_TEXT = -1
"""Group of the empty text that fills up a row with fewer negatives than others."""


def ranking_loss(model: Any, *, scale: float) -> Any:  # noqa: ANN401 - torch module of an untyped model
    """Return the loss as a torch module, called with the features of (anchors, positives, negatives...) and (n, 1 + k) group labels.

    Parameters
    ----------
    model
        A SentenceTransformer.
    scale
        Inverse temperature of the softmax.
    """
    import torch
    from torch.nn import functional

    class RankingLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
            rows = [functional.normalize(self.model(dict(column))["sentence_embedding"], dim=-1) for column in features]
            own = labels[:, 0]
            groups = torch.cat([own, *(labels[:, place] for place in range(1, len(rows) - 1))])
            target = torch.arange(len(own), device=own.device)
            forward = _logits(rows[0], torch.cat(rows[1:]), own, groups)
            backward = _logits(rows[1], rows[0], own, own)
            total: torch.Tensor = (functional.cross_entropy(forward, target) + functional.cross_entropy(backward, target)) / 2
            return total

    def _logits(left: torch.Tensor, right: torch.Tensor, left_groups: torch.Tensor, right_groups: torch.Tensor) -> torch.Tensor:
        found = scale * (left @ right.T).float()
        barred = (left_groups[:, None] == right_groups[None, :]) | (right_groups == NO_TEXT)[None, :]
        barred.fill_diagonal_(False)
        return found.masked_fill(barred, -torch.inf)

    return RankingLoss()


def target_loss(model: Any, targets: Floats, *, cosine: bool) -> Any:  # noqa: ANN401 - torch module of an untyped model
    """Return the loss that draws every text column towards ``targets[label]``, called with features and (n,) labels.

    Parameters
    ----------
    model
        A SentenceTransformer.
    targets
        (m, d) float32 unit rows.
    cosine
        One minus the cosine; otherwise the mean square of the difference, the vector as the model gives it.
    """
    import torch
    from torch.nn import functional

    class TargetLoss(torch.nn.Module):
        targets: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("targets", torch.from_numpy(targets), persistent=False)

        def forward(self, features: list[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
            wanted = self.targets[labels]
            parts = []
            for column in features:
                found = self.model(dict(column))["sentence_embedding"].float()
                near = functional.cosine_similarity(found, wanted, dim=-1)
                parts.append((1 - near).mean() if cosine else functional.mse_loss(found, wanted))
            return torch.stack(parts).mean()

    return TargetLoss()
