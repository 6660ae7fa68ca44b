"""A campaign of real rounds, killed at random moments: the simulated points are those of a campaign left alone.

By hand, from the root of the repository:

    PYTHONPATH=tests python -m support.campaign_kills --seeds 20 [--launcher slurm]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.cli_sandbox import CliSandbox
from support.process_table import events, parent_of
from support.slurm_cluster import SlurmCluster
from support.waiting import wait_until

FIRST, BATCH = 60, 30
END_S = 600.0

Rows = list[tuple[float, ...]]


def campaign_plan(launcher: str = "local") -> str:
    """Return a plan of three rounds: prepare, train, propose, simulate, after a first scan."""
    first, earlier = "{session}/simulate_first/points.root", "{simulate@rounds}/points.root"
    runs = [
        _run("first", "propose --strategy random --output {output}/proposals.csv",
             f"--pool lhs:{FIRST} --n {FIRST}", each_round=False),
        _run("simulate_first", "simulate --input {session}/first/proposals.csv --output {output}",
             after=["first"], each_round=False),
        _run("prepare", "prepare --output {output} --y-transform log --before-round {round}", f"--data {first}",
             later_args=["--data", earlier], after=["simulate_first", "simulate@previous"]),
        _run("train", "mlp_plr_small --data {prepare@round} --output {output} --threads 1",
             "--epochs 4 --batch-size 16 --ensemble 2 --checkpoint-seconds 0.2",
             later_args=["--init-from", "{previous}/model.pt"], after=["prepare"]),
        _run("propose", "propose {train@round}/model.pt --output {output}/proposals.csv --before-round {round}",
             f"--strategy entropy --pool lhs:2000 --n {BATCH} --min-usable 0 --round {{round}} --simulated {first}",
             later_args=["--simulated", earlier], after=["train"]),
        _run("simulate", "simulate --input {propose@round}/proposals.csv --output {output}",
             "--failure-rate 0.1 --delay 0.05", after=["propose"]),
    ]  # fmt: skip
    session = f'[session]\nrounds = 3\nlauncher = "{launcher}"\n'
    return session + '[slurm]\ngres = "none"\ntime = "10"\ncpus = 1\n' + "".join(runs)


def short_plan() -> str:
    """Return a plan of two rounds that propose random points and simulate them."""
    return "[session]\nrounds = 2\n" + "".join([
        _run("propose", "propose --strategy random --output {output}/proposals.csv",
             f"--pool lhs:200 --n {BATCH} --round {{round}}",
             later_args=["--simulated", "{simulate@rounds}/points.root"], after=["simulate@previous"]),
        _run("simulate", "simulate --input {propose@round}/proposals.csv --output {output}",
             "--failure-rate 0.1 --delay 0.05", after=["propose"]),
    ])  # fmt: skip


def _run(name: str, command: str, options: str = "", *, each_round: bool = True, **keys: object) -> str:
    words = [sys.executable, "-P", "-m", "pmssm.trainers", *command.split(), *options.split()]
    keys = {"command": words, "slot": "none", "retries": 50, "retry_delay_s": 0, "each_round": each_round, **keys}
    return "\n".join([f"[runs.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""])


class Killer:
    """Kills at random what belongs to a session.

    Args:
        box: Where the session runs.
        seed: Seed of the moments and of the victims.
        cluster: Cluster whose jobs may reach their time limit; None: no job.

    Attributes:
        killed: What was killed, in this order, with the run that ran.
    """

    def __init__(self, box: CliSandbox, seed: int, cluster: SlurmCluster | None = None) -> None:
        self.box = box
        self.random = random.Random(seed)
        self.cluster = cluster
        self.killed: list[str] = []

    def wait_for_round_2(self) -> None:
        """Wait until a run of the second round has started."""
        wait_until(
            lambda: any(event["run"].endswith("-r02") for event in events(self.box, "attempt_started")),
            END_S, "round 2",
        )  # fmt: skip

    def wait_for_starts(self) -> bool:
        """Wait until one to three more attempts have started; return False if the session finished before."""
        wanted = len(events(self.box, "attempt_started")) + self.random.randint(1, 3)
        status = self.box.wait(
            lambda status: status["state"] == "finished" or len(events(self.box, "attempt_started")) >= wanted,
            END_S,
        )
        return bool(status["state"] != "finished")

    def strike(self, victim: str | None = None) -> bool:
        """Kill a victim, by default a random one, now; return whether there was one."""
        victims = ["engine", "run", "shim", "all", *(["wall"] if self.cluster is not None else [])]
        victim = victim or self.random.choice(victims)
        alive = sorted(self.box.living())
        pids: list[int] = []
        if victim in ("engine", "all"):
            pids += self.box.engines()
        if victim in ("shim", "all"):
            pids += [parent for pid in alive if (parent := parent_of(pid)) not in (1, *alive)]
        if victim in ("run", "all"):
            pids += alive
        running = self._running()
        if victim == "wall":
            jobs = [run["job_id"] for run in self.box.status()["runs"].values() if run["state"] == "running"]
            for job in jobs:
                with contextlib.suppress(AssertionError):  # it has just ended
                    self.cluster.reach_time_limit(int(job))  # type: ignore[union-attr]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pids or (victim == "wall" and running):
            self.killed.append(f"{victim} in {','.join(running) or 'between'}")
        return bool(pids)

    def _running(self) -> list[str]:
        """Return the runs that have started and not ended, according to the journal."""
        starts = {(event["run"], event["attempt"]) for event in events(self.box, "attempt_started")}
        ends = {(event["run"], event["attempt"]) for event in events(self.box, "attempt_ended")}
        return sorted(run for run, _ in starts - ends)


def simulated_points(session: Path) -> Rows:
    """Return the points of all simulations, in order; fail if they are not the proposals, each once."""
    everything: Rows = []
    for folder in sorted(session.glob("simulate*")):
        proposed = "first" if folder.name == "simulate_first" else folder.name.replace("simulate", "propose")
        wanted = read_rows(session / proposed / "proposals.csv", "IN_")
        found = read_rows(folder / "points.csv", "IN_")
        assert found == wanted, f"{folder.name}: {len(found)} points simulated, {len(wanted)} proposed"
        everything += found
    assert len(set(everything)) == len(everything), "a point was simulated twice"
    return everything


def read_rows(path: Path, prefix: str = "") -> Rows:
    """Return the rows of a CSV file, without the columns whose names begin otherwise."""
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = [index for index, name in enumerate(names) if name.startswith(prefix)]
    return [tuple(float(row[index]) for index in columns) for row in rows]


def results(session: Path) -> list[Rows]:
    """Return all columns of all simulations."""
    return [read_rows(path) for path in sorted(session.glob("simulate*/points.csv"))]


def finish(box: CliSandbox) -> Path:
    """Wait for the end of the session, in which every run succeeds; return its folder."""
    status = box.wait(lambda status: status["state"] == "finished", END_S)
    bad = {name: run["reason"] for name, run in status["runs"].items() if run["state"] != "succeeded"}
    assert not bad, bad
    (session,) = box.logs.glob("session_*")
    return session


@contextlib.contextmanager
def temporary_box(env: Mapping[str, str]) -> Iterator[CliSandbox]:
    """Provide a box in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="pmssm-") as folder:
        for name in ("work", "run"):
            (Path(folder) / name).mkdir(mode=0o700)
        box = CliSandbox(Path(folder) / "work", Path(folder) / "run", env)
        box.env["XDG_CACHE_HOME"] = folder
        try:
            yield box
        finally:
            box.close()


def run_campaigns(seeds: Sequence[int], kills: int, cluster: SlurmCluster | None) -> int:
    """Run a campaign for each seed and print what happened; return how many did not end as they must."""
    plan = campaign_plan("local" if cluster is None else "slurm")
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    env |= {} if cluster is None else cluster.environment
    options = () if cluster is None else ("--no-probe",)
    with temporary_box(env) as box:
        box.ok("--detach", *options, "--plan", box.plan(plan))
        session = finish(box)
        expected = simulated_points(session), results(session)
    print(f"left alone: {len(expected[0])} points", flush=True)
    failures = 0
    for seed in seeds:
        with temporary_box(env) as box:
            start = time.monotonic()
            box.ok("--detach", *options, "--plan", box.plan(plan))
            killer = Killer(box, seed, cluster)
            try:
                killer.wait_for_round_2()
                while len(killer.killed) < kills and killer.wait_for_starts():
                    time.sleep(killer.random.uniform(0.0, 4.0))
                    killer.strike()
                session = finish(box)
                same = (simulated_points(session), results(session)) == expected
                verdict = "same points" if same else "OTHER POINTS"
            except AssertionError as error:
                verdict, same = f"FAILED: {error}", False
            failures += not same
            attempts = len(events(box, "attempt_starting"))
            print(f"seed {seed}: {verdict}; {attempts} attempts, {time.monotonic() - start:.0f} s; "
                  f"{'; '.join(killer.killed)}", flush=True)  # fmt: skip
    return failures


def main() -> None:
    """Run the campaigns that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of campaigns")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=5, help="kills per campaign")
    parser.add_argument("--launcher", choices=["local", "slurm"], default="local")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    cluster = SlurmCluster.start() if options.launcher == "slurm" else None
    try:
        failures = run_campaigns(seeds, options.kills, cluster)
    finally:
        if cluster is not None:
            cluster.stop()
    print(f"{len(seeds) - failures} of {len(seeds)} campaigns as they must be")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
