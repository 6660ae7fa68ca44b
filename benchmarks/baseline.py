"""The training loop of the lab, rebuilt as the reference for benchmarks.

`DataLoader` with per-item `__getitem__` and collate, models as in the table of the design, eager fp32,
`.item()` in every step, AdamW with one tensor per parameter, validation batch by batch. All other settings
are PyTorch's defaults.
"""

from __future__ import annotations

import torch
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

FEATURES, WIDTH = 19, 128


def encoder() -> nn.TransformerEncoder:
    """Return three pre-norm layers without dropout."""
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


class Transformer(nn.Module):
    """PMSSMTransformer, module by module."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Linear(1, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU())
        self.position = nn.Parameter(torch.randn(1, FEATURES, WIDTH) * 0.02)
        self.cls = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.encoder = encoder()
        self.head = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, 19) to predictions of shape (batch,)."""
        tokens = self.embedding(inputs.unsqueeze(-1)) + self.position
        tokens = self.encoder(torch.cat([self.cls.expand(len(inputs), -1, -1), tokens], dim=1))
        result: Tensor = self.head(tokens[:, 0]).squeeze(-1)
        return result


class TransformerTabular(nn.Module):
    """PMSSMTransformerTabular, module by module."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(
            nn.Sequential(nn.Linear(1, WIDTH), nn.LayerNorm(WIDTH)) for _ in range(FEATURES)
        )
        self.encoder = encoder()
        self.pool = nn.Linear(WIDTH, 1)
        self.head = nn.Sequential(
            nn.Linear(WIDTH, 512), nn.LayerNorm(512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, 19) to predictions of shape (batch,)."""
        tokens = torch.stack([embed(inputs[:, i : i + 1]) for i, embed in enumerate(self.embeddings)], dim=1)
        tokens = self.encoder(tokens)
        pooled = (torch.softmax(self.pool(tokens), dim=1) * tokens).sum(dim=1)
        result: Tensor = self.head(pooled).squeeze(-1)
        return result


class FeedForward(nn.Module):
    """PMSSMFeedForward, module by module."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(1, 64)
        sizes = [FEATURES * 64, 512, 512, 512]
        layers = [module for size in sizes for module in (nn.Linear(size, 512), nn.ReLU())]
        self.body = nn.Sequential(*layers, nn.Linear(512, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, 19) to predictions of shape (batch,)."""
        result: Tensor = self.body(self.embedding(inputs.unsqueeze(-1)).flatten(1)).squeeze(-1)
        return result


MODELS: dict[str, type[nn.Module]] = {
    "transformer": Transformer,
    "transformer_tabular": TransformerTabular,
    "mlp": FeedForward,
}


class Points(Dataset[tuple[Tensor, Tensor]]):
    """Data set that returns one point at a time."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class Baseline:
    """Training of one model by the loop of the lab.

    Args:
        name: Name of the model.
        data: z-scores, in main memory.
        settings: How to train.
        device: Device of the model.
    """

    def __init__(self, name: str, data: TrainingData, settings: TrainingConfig, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.model = MODELS[name]().to(device)
        self.clip_norm, self.device = settings.clip_norm, device
        train = Points(data.train_inputs, data.train_targets)
        self.train_batches = DataLoader(train, batch_size=settings.batch_size, shuffle=True)
        self.val_batches = DataLoader(Points(data.val_inputs, data.val_targets), batch_size=settings.batch_size)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.scheduler = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=settings.epochs, eta_min=1e-6)
            if settings.cosine
            else None
        )

    def epoch(self) -> tuple[float, float]:
        """Train one epoch and return training and validation loss."""
        self.model.train()
        total = 0.0
        for inputs, targets in self.train_batches:
            total += self.step(inputs.to(self.device), targets.to(self.device)) * len(inputs)
        if self.scheduler is not None:
            self.scheduler.step()
        self.model.eval()
        val = 0.0
        with torch.no_grad():
            for inputs, targets in self.val_batches:
                loss = F.mse_loss(self.model(inputs.to(self.device)), targets.to(self.device))
                val += loss.item() * len(inputs)
        return total / len(self.train_batches.dataset), val / len(self.val_batches.dataset)  # type: ignore[arg-type]

    def step(self, inputs: Tensor, targets: Tensor) -> float:
        """Train on one batch and return its loss before the update."""
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.item()
