from __future__ import annotations

import pytest
import torch
from pmssm.trainers.models.mlp import PMSSMFeedForward
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.models.transformer import PMSSMTransformer
from pmssm.trainers.models.transformer_tabular import PMSSMTransformerTabular
from pmssm.trainers.training.adamw import FlatAdamW
from pmssm.trainers.training.flat_parameters import FlatParameters
from torch import Tensor, nn
from torch.nn import functional as F

NAMES = ["transformer", "transformer_tabular", "mlp"]

# The models as plain PyTorch modules, one after the other: what the fast ones must equal.


class PlainTransformer(PMSSMTransformer):
    def forward(self, inputs: Tensor) -> Tensor:
        tokens = torch.relu(self.embedding_norm(self.embedding(inputs.unsqueeze(-1)))) + self.position
        tokens = torch.cat([self.cls.expand(len(inputs), 1, -1), tokens], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.head(tokens[:, 0]).squeeze(-1)


class PlainTransformerTabular(PMSSMTransformerTabular):
    def forward(self, inputs: Tensor) -> Tensor:
        modules = zip(self.embeddings, self.embedding_norms, strict=True)
        tokens = torch.stack([norm(embed(inputs[:, i : i + 1])) for i, (embed, norm) in enumerate(modules)], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        weights = torch.softmax(self.pool(tokens), dim=1)
        return self.head((weights * tokens).sum(dim=1)).squeeze(-1)


class PlainFeedForward(PMSSMFeedForward):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.embedding(inputs.unsqueeze(-1)).flatten(1)
        for layer in self.hidden:
            hidden = torch.relu(layer(hidden))
        return self.output(hidden).squeeze(-1)


PLAIN: dict[str, type[nn.Module]] = {
    "transformer": PlainTransformer,
    "transformer_tabular": PlainTransformerTabular,
    "mlp": PlainFeedForward,
}


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [("transformer", 795_777, 50), ("transformer_tabular", 803_330, 122), ("mlp", 1_411_713, 12)],
)
def test_each_model_has_the_parameters_of_the_table(name: str, parameters: int, tensors: int) -> None:
    model = RECIPES[name].build()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert len(list(model.parameters())) == tensors
    assert len(model.state_dict()) == tensors


@pytest.mark.parametrize("name", NAMES)
def test_a_model_gives_one_number_a_row_and_refuses_other_shapes(name: str, inputs: torch.Tensor) -> None:
    model = RECIPES[name].build().double()
    assert model(inputs).shape == (len(inputs),)
    with pytest.raises(ValueError, match=r"inputs must be \(batch, 19\), not \(40, 18\)"):
        model(inputs[:, :18])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_predicted_the_same_in_any_company(name: str, inputs: torch.Tensor) -> None:
    model = RECIPES[name].build().double().eval()
    with torch.no_grad():
        torch.testing.assert_close(model(inputs)[3:5], model(inputs[3:5]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_parameters_matters(name: str, inputs: torch.Tensor) -> None:
    model = RECIPES[name].build().double().eval()
    with torch.no_grad():
        assert not torch.allclose(model(inputs), model(inputs.flip(1)))


@pytest.mark.parametrize("name", NAMES)
def test_training_follows_the_plain_model_with_per_tensor_adamw_and_clip_to_1e_12(
    name: str, inputs: torch.Tensor
) -> None:
    recipe = RECIPES[name]
    inputs = inputs[:20]
    targets = torch.sin(3 * inputs[:, 0]) * 5
    torch.manual_seed(0)
    ours = recipe.build().double()
    plain = PLAIN[name]().double()
    plain.load_state_dict(ours.state_dict())
    reference = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=recipe.weight_decay, foreach=False)
    flat = FlatAdamW(
        FlatParameters([ours]), learning_rate=1e-3, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm
    )
    norms = []
    for step in range(12):
        rows = slice(0, 20) if step % 3 else slice(15, 20)
        if step == 8:  # nearly right from here on: gradients too small to clip
            targets = plain(inputs).detach() + 1e-3
        expected = F.mse_loss(plain(inputs[rows]), targets[rows])
        reference.zero_grad()
        expected.backward()
        if recipe.clip_norm is not None:
            norms.append(nn.utils.clip_grad_norm_(plain.parameters(), recipe.clip_norm).item())
        reference.step()
        loss = F.mse_loss(ours(inputs[rows]), targets[rows])
        flat.weights.backward_into(flat.gradient, loss)
        flat.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)
    if norms:
        assert max(norms) > 1 > min(norms), "both sides of the clip must have been tried"


@pytest.mark.parametrize("name", NAMES)
def test_copying_the_flat_buffer_copies_the_model(name: str, inputs: torch.Tensor) -> None:
    model = RECIPES[name].build().double()
    flat = FlatAdamW(FlatParameters([model]), learning_rate=1e-2, weight_decay=0.0, clip_norm=None)
    with torch.no_grad():
        before, kept = model(inputs), flat.flat.clone()
    flat.weights.backward_into(flat.gradient, model(inputs).square().mean())
    flat.step()
    with torch.no_grad():
        assert not torch.equal(model(inputs), before)
        flat.flat.copy_(kept)
        assert torch.equal(model(inputs), before)
