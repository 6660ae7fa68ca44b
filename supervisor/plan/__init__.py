"""The plan file: which commands run, in which order, and on which GPU."""

from .errors import PlanError
from .loader import builtin_plan, load_plan
from .schema import Plan, RunPlan

__all__ = ["Plan", "PlanError", "RunPlan", "builtin_plan", "load_plan"]
