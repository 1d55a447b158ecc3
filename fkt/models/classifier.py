"""The classifier that every arm trains: a backbone and one linear layer."""

from torch import Tensor, nn

from fkt.models.backbones import ResNet


class Classifier(nn.Module):
    """Linear classifier on pooled features."""

    def __init__(self, backbone: ResNet, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.feature_size, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)  # small, so that the first predictions are almost uniform
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, K) logits."""
        logits = self.head(self.backbone(images))
        assert isinstance(logits, Tensor)
        return logits
