"""Which launcher starts each run, and with which settings: the plan's keys, a profile, and the options."""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.errors import PlanError
from ..plan.loader import with_launcher
from ..plan.schema import LOCAL, SLURM, Plan
from .session_options import SessionOptions


def choose_launchers(plan: Plan, options: SessionOptions, source: str) -> Plan:
    """Return the plan with the launcher of each run, and in each job's `slurm` all its settings.

    `--launcher slurm` submits every run that does not say `launcher = "local"`; `--launcher local` submits none.
    Settings of a job, from the weakest to the strongest: profile, `[slurm]`, the run's own, `--slurm`.

    Args:
        plan: The plan as loaded.
        options: Options of the new session.
        source: Name of the plan in errors.

    Raises:
        PlanError: An unknown key or a bad value, or settings for Slurm without a run there.
    """
    if options.launcher == LOCAL:
        local = {name: run.model_copy(update={"launcher": None}) for name, run in plan.runs.items()}
        plan = plan.model_copy(update={"runs": local})
    elif options.launcher == SLURM:
        plan = with_launcher(plan, SLURM)
    _reject_unused(plan, options)
    if not (plan.slurm or any(run.slurm or not run.is_local for run in plan.runs.values())):
        return plan
    from ..launchers.slurm.errors import SettingsError  # noqa: PLC0415 - only where a plan concerns Slurm

    try:
        return _with_settings(plan, options, source)
    except SettingsError as error:
        raise PlanError(str(error)) from None


def describe_job(settings: Mapping[str, object]) -> str:
    """Return the settings of a job in words: `job of Slurm: partition gpu, time 24:00:00`."""
    shown = [f"{key} {value}" for key, value in settings.items() if key not in ("extra", "setup")]
    return "job of Slurm" + (f": {', '.join(shown)}" if shown else ", with the site's defaults")


def _reject_unused(plan: Plan, options: SessionOptions) -> None:
    given = [f"--slurm {value}" for value in options.slurm]
    given += [f"--slurm-profile {options.slurm_profile}"] if options.slurm_profile is not None else []
    if given and all(run.is_local for run in plan.runs.values()):
        raise PlanError(f"{given[0]}: no run is submitted to Slurm, so it would have no effect; add --launcher slurm")


def _with_settings(plan: Plan, options: SessionOptions, source: str) -> Plan:
    """Check all settings, also those of runs that stay on this machine, and merge them for each job."""
    from ..launchers.slurm.settings import (  # noqa: PLC0415
        SlurmSettings,
        load_profile,
        merge,
        profiles_path,
        settings_from_options,
        settings_from_table,
    )

    profile = SlurmSettings()
    if options.slurm_profile is not None:
        profile = load_profile(options.slurm_profile, profiles_path())
    common = settings_from_table(plan.slurm, f"{source}: slurm.")
    given = settings_from_options(options.slurm)
    runs = {}
    for name, run in plan.runs.items():
        own = settings_from_table(run.slurm, f"{source}: runs.{name}.slurm.")
        merged = {} if run.is_local else merge(profile, common, own, given).model_dump(mode="json", exclude_unset=True)
        runs[name] = run.model_copy(update={"slurm": merged})
    return plan.model_copy(update={"runs": runs, "slurm": {}})
