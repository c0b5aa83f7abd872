"""Misfortunes without end: seeded histories of kills, pauses, cuts and slowness on a real cluster, until the time is over.

Prints a line a history, and a summary; every ten histories what nothing names must be gone from all disks. Ends with exit code
1 at the first difference, with the command that replays it and the folder that holds the logs of all processes.

    python bench/soak.py [--minutes 10] [--first SEED] [--kind tasks]
    python bench/soak.py --seed SEED [--times 1]      # one history
"""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests" / "whole_path"), str(ROOT / "tests"), str(ROOT / "examples")]

from chaos.arena import Arena, arena  # noqa: E402  # needs the paths above
from chaos.histories import KINDS, draw_history  # noqa: E402
from whole_path_data import read_flights  # noqa: E402

CHECK_EVERY = 10


def play(place: Arena, seeds: Iterable[int], until_s: float) -> Counter[str]:
    """Play the histories of `seeds` until the time has come; return how many blows of each kind fell."""
    fell: Counter[str] = Counter()
    for count, seed in enumerate(seeds, 1):
        if time.monotonic() > until_s:
            break
        told = place.play(draw_history(seed))
        print(told, flush=True)
        fell.update(f"{blow.fault} {blow.role}" for blow in told.fell)
        fell["histories"] += 1
        if count % CHECK_EVERY == 0:
            place.check_blobs()
    place.check_blobs()
    return fell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--first", type=int, default=int(time.time()), help="the first seed; the next ones follow")
    parser.add_argument("--kind", choices=KINDS, help="only histories of this kind of program")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--times", type=int, default=1, help="so often, with --seed")
    options = parser.parse_args()
    one = itertools.repeat(options.seed, options.times)
    wanted = [options.kind] if options.kind else KINDS
    seeds = (seed for seed in itertools.count(options.first) if draw_history(seed).kind in wanted)
    folder = Path(tempfile.mkdtemp(prefix="muskox-soak-"))
    started_s = time.monotonic()
    try:
        with arena(folder, read_flights()) as place:
            until_s = time.monotonic() + 60 * options.minutes if options.seed is None else float("inf")
            fell = play(place, seeds if options.seed is None else one, until_s)
    except AssertionError as error:
        print(f"BROKEN: {error}\nreplay: python bench/soak.py --seed {str(error).partition('seed ')[2].partition(':')[0]}")
        print(f"logs: {folder / 'logs'}")
        sys.exit(1)
    shutil.rmtree(folder)
    histories = fell.pop("histories")
    print(f"{histories} histories in {(time.monotonic() - started_s) / 60:.1f} minutes, {fell.total()} blows, no difference:")
    print(", ".join(f"{count} x {blow}" for blow, count in fell.most_common()))


if __name__ == "__main__":
    main()
