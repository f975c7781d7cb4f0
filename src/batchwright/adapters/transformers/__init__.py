"""Hugging Face Trainer: training batches from any plan, resumed within an epoch on any world size.

And evaluation of every sample exactly once, on any number of processes. TRL's trainers take both.
"""

from .evaluation import ExactEvaluation
from .progress import PlanProgressCallback
from .training import PlanTrainer

__all__ = ["ExactEvaluation", "PlanProgressCallback", "PlanTrainer"]
