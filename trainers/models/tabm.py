"""PMSSMTabM: many perceptrons in one, which share most of their weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from .checks import check_inputs
from .periodic import FREQUENCIES, FREQUENCY_SCALE


class PMSSMTabM(nn.Module):
    """Regression on `(batch, features)` z-scores, giving `(batch,)`: the mean of `members` perceptrons.

    While it trains it gives each member's own prediction, `(batch, members)`: their errors are averaged, not their
    predictions, or they would be no ensemble. Source: Gorishniy, Kotelnikov, Babenko, "TabM: Advancing Tabular Deep
    Learning with Parameter-Efficient Ensembling", arXiv:2410.24210; with periodic embeddings in front.
    """

    splits_batch: ClassVar[bool] = True
    """Whether threads do better to share the rows of a batch than each kernel: there is much to do for a row."""

    def __init__(
        self, *, features: int = 19, embedding: int = 24, width: int = 512, depth: int = 2, members: int = 32
    ) -> None:
        super().__init__()
        # Both take long to import where scikit-learn is there, and no other model needs them.
        from rtdl_num_embeddings import PeriodicEmbeddings  # noqa: PLC0415
        from tabm import TabM  # noqa: PLC0415

        self.features = features
        self.net = TabM.make(
            n_num_features=features,
            num_embeddings=PeriodicEmbeddings(
                features, embedding, n_frequencies=FREQUENCIES, frequency_init_scale=FREQUENCY_SCALE, lite=False
            ),
            d_out=1,
            n_blocks=depth,
            d_block=width,
            k=members,
            dropout=0.0,  # a resumed training gives the same bits: no random state but the order of the rows
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`: (batch, features); result (batch,), or (batch, members) in training."""
        check_inputs(inputs, self.features)
        predictions: Tensor = self.net(inputs).squeeze(-1)  # (batch, members)
        return predictions if self.training else predictions.mean(dim=1)
