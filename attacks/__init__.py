"""The attack harness: what leaks from a swarm, measured from every vantage point."""

from .calibration import calibrated_loss
from .confidence import confidence
from .harness import AttackResult, Shadows, Target, attack, attack_model, scores_of, target_of
from .membership import lira_offline, lira_online, loss_threshold
from .metrics import Estimate, Separation, auc, separation, tpr_at_fpr
from .rmia import rmia_offline, rmia_online
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
    "calibrated_loss",
    "confidence",
    "confidences",
    "lira_offline",
    "lira_online",
    "loss_threshold",
    "rmia_offline",
    "rmia_online",
    "scores_of",
    "separation",
    "target_of",
    "tpr_at_fpr",
    "train_shadows",
]
