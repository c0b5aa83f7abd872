"""What a death costs, beside the peers: the table that nobody publishes.

Every system trains a small model in rounds on this machine, with real processes and its own defaults (kills/ tells more); at a
drawn round one of its processes is killed with SIGKILL, or its machine is paused and goes on later. Nobody helps: what is dead
stays dead until the training is over. Rows are what is struck, and what that is called in each system; columns are whether the
training finished, seconds to the end of the first round that began after the blow, rounds done again, and whether the result is
that of an undisturbed training, to the bit. "-" means that a system has no counterpart.

    python bench/kill.py [--kills 20] [--peers torchrun,dask,xgboost | none] [--roles worker,node,...] [--out FILE.md]
                         [--give-up-s 120] [--pause-s 20] [--rounds 300] [--rows 240000] [--json] [--tiny]
"""

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kills.muskox_cluster import Muskox
from kills.trials import ROLES, System, Trial

SEED = 2013
LOST_MAX = 3  # trainings in a row that do not finish: more of them would tell nothing new
TRIES_A_KILL = 3  # a training may be over before the blow is seen
WORDS = {
    "worker": "a worker",
    "node": "a node",
    "coordinator": "the coordinator",
    "keeper": "the coordination server",
    "client": "the client",
    "zombie": "a machine pauses",
}


def torchrun(*arguments: Any) -> System:
    from kills.torchrun import Torchrun

    return Torchrun(*arguments)


def dask(*arguments: Any) -> System:
    from kills.dask_cluster import Dask

    return Dask(*arguments)


def xgboost(*arguments: Any) -> System:
    from kills.xgboost_collective import XGBoost

    return XGBoost(*arguments)


PEERS: dict[str, Callable[..., System]] = {"torchrun": torchrun, "dask": dask, "xgboost": xgboost}


def measure(system: System, roles: list[str], kills: int) -> dict[str, Any]:
    """Strike every role `kills` times and return what came of it."""
    expected = system.undisturbed()
    draw = random.Random(SEED)
    cells = {}
    for role in roles:
        if role not in system.roles:
            continue
        trials: list[Trial] = []
        for _ in range(kills * TRIES_A_KILL):
            trial = system.trial(role, draw.randrange(5, max(system.rounds // 3, 6)))
            if trial.seconds is None and trial.finished:
                continue  # it was over before the next round was seen
            trials.append(trial)
            print(f"{system.name}, {role}: {asdict(trial)}", file=sys.stderr)
            lost = [not one.finished for one in trials[-LOST_MAX:]]
            if len(trials) == kills or (len(lost) == LOST_MAX and all(lost)):
                break
        cells[role] = cell(system, role, trials, expected)
    return {"name": system.name, "digest": expected, "cells": cells}


def cell(system: System, role: str, trials: list[Trial], expected: str) -> dict[str, Any]:
    seconds = [trial.seconds for trial in trials if trial.seconds is not None and trial.finished]
    return {
        "struck": system.roles[role],
        "blows": len(trials),
        "finished": sum(trial.finished for trial in trials),
        "same_digest": sum(trial.digest == expected for trial in trials),
        "again_most": max((trial.again for trial in trials if trial.finished), default=0),
        "p50_s": quantile(seconds, 0.50),
        "p99_s": quantile(seconds, 0.99),
        "reasons": sorted({trial.reason for trial in trials if not trial.finished}),
        "seconds": seconds,
    }


def quantile(values: list[float], share: float) -> float | None:
    """Return the smallest value that at least `share` of them do not exceed: of 20, the 99th percentile is the largest."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if share != 0.5 else statistics.median(ordered)


def markdown(measured: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the table as people read it, in Markdown."""
    lines = [
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}. {options.kills} blows "
        f"a cell, {LOST_MAX} where none of them was survived; {options.rounds} rounds; a pause lasts {options.pause_s:g} s; "
        f"a training is given up when no round has finished for {options.give_up_s:g} s.",
        "",
        "| struck | system | what is struck there | finished without a human | s to the next round: p50 | p99 "
        "| rounds done again | same digest |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for role in options.roles:
        for system in measured:
            lines.append(f"| {WORDS[role]} | {system['name']} | {row(system['cells'].get(role))} |")
    digests = [f"- {system['name']}: `{system['digest']}`" for system in measured]
    return "\n".join([*lines, "", "Digests of the undisturbed trainings:", "", *digests, ""])


def row(found: dict[str, Any] | None) -> str:
    if found is None:
        return " | ".join("-" * 6)
    blows, finished = found["blows"], found["finished"]
    if not blows:
        return f"{found['struck']} | no blow fell before the end | - | - | - | -"
    if not finished:
        return f"{found['struck']} | no: {'; '.join(found['reasons']).replace('|', '/')} | - | - | - | -"
    answer = "yes" if finished == blows else f"{finished} of {blows}: {'; '.join(found['reasons']).replace('|', '/')}"
    same = "yes" if found["same_digest"] == blows else f"{found['same_digest']} of {blows}"
    return f"{found['struck']} | {answer} | {found['p50_s']:.2f} | {found['p99_s']:.2f} | {found['again_most']} | {same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--peers", default=",".join(PEERS), help="which peers; none for muskox alone")
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--give-up-s", type=float, default=120.0)
    parser.add_argument("--pause-s", type=float, default=20.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="one short blow a cell on little data, as the tests run it")
    options = parser.parse_args()
    if options.tiny:
        options.kills, options.rounds, options.rows, options.pause_s = 1, 100, 24_000, 4.0
    options.roles = options.roles.split(",")
    shape = (options.rounds, options.rows, options.give_up_s, options.pause_s)
    systems: list[Callable[[], System]] = [lambda: Muskox(*shape)]
    for name in () if options.peers == "none" else options.peers.split(","):
        systems.append(lambda make=PEERS[name]: make(*shape))  # type: ignore[misc]
    measured = []
    for make in systems:
        try:
            system = make()
        except ModuleNotFoundError as error:
            print(f"{error.name} is not installed, so that this peer is left out: pip install 'muskox[bench]'", file=sys.stderr)
            continue
        with contextlib.closing(system) if hasattr(system, "close") else contextlib.nullcontext():  # type: ignore[type-var]
            measured.append(measure(system, options.roles, options.kills))
    text = markdown(measured, options)
    if options.out is not None:
        options.out.write_text(text)
    print(json.dumps(measured) if options.json else text)
    own = measured[0]["cells"].values()
    if any(found["same_digest"] != found["blows"] for found in own):
        sys.exit("muskox broke its promise: see above")


if __name__ == "__main__":
    main()
