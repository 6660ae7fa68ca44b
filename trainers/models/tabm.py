"""PMSSMTabM: many perceptrons in one model, which share most of their weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from .checks import check_inputs
from .periodic import FREQUENCIES, FREQUENCY_SCALE


class PMSSMTabM(nn.Module):
    """Mean of `members` perceptrons on z-scores, with periodic embeddings.

    In training mode it returns the predictions of all members: the loss averages their errors, not their
    predictions; otherwise the members would not be an ensemble. Source: Gorishniy, Kotelnikov, Babenko,
    "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", arXiv:2410.24210.

    Args:
        features: Number of inputs.
        embedding: Numbers per embedded input.
        width: Units of a hidden layer.
        depth: Number of hidden layers.
        members: Number of perceptrons.
    """

    splits_batch: ClassVar[bool] = True
    """Threads share the rows of a batch, not each kernel: faster, because a row takes much computation."""

    def __init__(
        self, *, features: int = 19, embedding: int = 24, width: int = 512, depth: int = 2, members: int = 32
    ) -> None:
        super().__init__()
        # Both import slowly if scikit-learn is installed, and no other model needs them.
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
            dropout=0.0,  # a resumed training gives the same bits: the order of the rows is the only random state
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, features) to predictions.

        Returns:
            Shape (batch,), or (batch, members) in training mode.
        """
        check_inputs(inputs, self.features)
        predictions: Tensor = self.net(inputs).squeeze(-1)  # (batch, members)
        return predictions if self.training else predictions.mean(dim=1)
