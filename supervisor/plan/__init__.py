"""The plan file: what to run, after what, and where."""

from .errors import PlanError
from .loader import builtin_plan, load_plan
from .schema import Plan, RunPlan

__all__ = ["Plan", "PlanError", "RunPlan", "builtin_plan", "load_plan"]
