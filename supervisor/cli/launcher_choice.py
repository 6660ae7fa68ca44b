"""Which launcher starts each run, and with which settings: the plan's keys, a profile, and the options."""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.errors import PlanError
from ..plan.loader import with_launcher
from ..plan.schema import LOCAL, SLURM, Plan
from ..session.allocation import Allocation
from .session_options import SessionOptions

SUBMIT_ANYWAY = "env -u SLURM_JOB_ID pmssm-supervise"


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
        plan = without_jobs(plan)
    elif options.launcher == SLURM:
        plan = with_launcher(plan, SLURM)
    if options.native_dependencies:
        session = plan.session.model_copy(update={"native_dependencies": True})
        plan = plan.model_copy(update={"session": session})
    _reject_unused(plan, options)
    if not (plan.slurm or any(run.slurm or not run.is_local for run in plan.runs.values())):
        return plan
    from ..launchers.slurm.errors import SettingsError  # noqa: PLC0415 - only where a plan concerns Slurm

    try:
        return _with_settings(plan, options, source)
    except SettingsError as error:
        raise PlanError(str(error)) from None


def without_jobs(plan: Plan) -> Plan:
    """Return the plan with all runs on this machine."""
    runs = {name: run.model_copy(update={"launcher": LOCAL}) for name, run in plan.runs.items()}
    return plan.model_copy(update={"runs": runs})


def keep_inside(plan: Plan, allocation: Allocation | None) -> tuple[Plan, str]:
    """Return the plan, inside an allocation without jobs, and a line that says so; "" where nothing has changed.

    Of the settings of jobs, `signal_s` stays: it is how long before the end of the allocation the runs are stopped.

    Args:
        plan: The plan, with its launchers chosen.
        allocation: Where this process runs; None outside of all allocations.

    Raises:
        PlanError: This machine is no node of the allocation, so that its GPUs are elsewhere.
    """
    if allocation is None:
        return plan, ""
    jobs = [name for name, run in plan.runs.items() if not run.is_local]
    if jobs and not allocation.node:
        raise PlanError(
            f"{jobs[0]}: inside allocation {allocation.job_id} nothing is submitted, and this machine is none of its "
            f"nodes; start with `srun --pty pmssm-supervise`, or submit jobs with `{SUBMIT_ANYWAY}`"
        )
    if not jobs:
        return plan, ""
    warnings = [int(str(run.slurm["signal_s"])) for run in plan.runs.values() if "signal_s" in run.slurm]
    settings: dict[str, object] = {"signal_s": max(warnings)} if warnings else {}
    plan = without_jobs(plan)
    runs = {name: run.model_copy(update={"slurm": {}}) for name, run in plan.runs.items()}
    return plan.model_copy(update={"runs": runs, "slurm": settings}), (
        f"inside allocation {allocation.job_id} nothing is submitted: all runs start on its nodes; "
        f"to submit jobs from here, `{SUBMIT_ANYWAY}`"
    )


def describe_job(settings: Mapping[str, object]) -> str:
    """Return the settings of a job in words: `job of Slurm: partition gpu, time 24:00:00`."""
    shown = [f"{key} {value}" for key, value in settings.items() if key not in ("extra", "setup")]
    return "job of Slurm" + (f": {', '.join(shown)}" if shown else ", with the site's defaults")


def _reject_unused(plan: Plan, options: SessionOptions) -> None:
    given = [f"--slurm {value}" for value in options.slurm]
    given += [f"--slurm-profile {options.slurm_profile}"] if options.slurm_profile is not None else []
    given += ["--native-dependencies"] if options.native_dependencies else []
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
