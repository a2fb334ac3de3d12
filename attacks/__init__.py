"""The attack harness: what leaks from a swarm, measured from every vantage point."""

from .confidence import confidence
from .harness import AttackResult, Shadows, Target, attack, attack_model, target_of
from .membership import lira_offline, lira_online, loss_threshold
from .metrics import Estimate, Separation, auc, separation, tpr_at_fpr
from .shadows import Ensemble, balanced_masks, confidences, train_shadows
from .views import View

__all__ = [
    "AttackResult",
    "Ensemble",
    "Estimate",
    "Separation",
    "Shadows",
    "Target",
    "View",
    "attack",
    "attack_model",
    "auc",
    "balanced_masks",
    "confidence",
    "confidences",
    "lira_offline",
    "lira_online",
    "loss_threshold",
    "separation",
    "target_of",
    "tpr_at_fpr",
    "train_shadows",
]
