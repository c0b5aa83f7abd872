"""Live configuration: every setting of a running cluster with its type, default and meaning, and how to change it."""

from dataclasses import dataclass
from typing import Any

from muskox.coordination import layout
from muskox.coordination.session import Notify, Refused, Session
from muskox.errors import CallerError


@dataclass(frozen=True, slots=True)
class Setting:
    """One live setting: a number with bounds."""

    default: float
    least: float
    most: float
    meaning: str


SETTINGS = {
    "checkpoint_interval_s": Setting(5.0, 0.1, 3600.0, "seconds between two checkpoints of a running job"),
    "silence_s": Setting(10.0, 1.0, 3600.0, "seconds without a word from a worker until its peers report it"),
    "progress_interval_s": Setting(1.0, 0.1, 60.0, "least seconds between two writes of a job's progress to ZooKeeper"),
    "replicas": Setting(2, 1, 10, "copies of each shard, model and checkpoint, if there are so many nodes"),
    "repair_after_s": Setting(
        60.0, 0.0, 86_400.0, "seconds that a node may be away before its replicas are made anew elsewhere"
    ),
    "repair_mb_per_s": Setting(50.0, 0.1, 10_000.0, "MB a second that one repair copy may take, of disk and network"),
    "repair_copies": Setting(2, 1, 16, "copies for repair that one node sends or takes at a time"),
    "scrub_days": Setting(7.0, 0.00001, 365.0, "days within which every node reads and digests all it holds again"),
    "scrub_mb_per_s": Setting(50.0, 0.1, 10_000.0, "MB a second that a scrub may read"),
    "versions_kept": Setting(
        0, 0, 100_000, "newest versions of each dataset that are kept; older ones go unless needed; 0: all"
    ),
    "jobs_days": Setting(30.0, 0.0, 36_500.0, "days that a job which is over stays listed"),
    "collect_after_s": Setting(  # 0 loses nothing either: what is on its way has a lease, which collections wait for
        3600.0, 0.0, 8_640_000.0, "seconds that bytes which nothing names stay before they are collected"
    ),
}


class Config:
    """The values in force: defaults overlaid with what the cluster's record sets."""

    def __init__(self, record: layout.ConfigRecord) -> None:
        self._record = record

    def __getitem__(self, name: str) -> float:
        return float(self._record.values.get(name, get_setting(name).default))

    def as_dict(self) -> dict[str, float]:
        return {name: self[name] for name in SETTINGS}


def get_setting(name: str) -> Setting:
    if name not in SETTINGS:
        raise CallerError(f"there is no setting {name!r}: the settings are {', '.join(SETTINGS)}")
    return SETTINGS[name]


def read_config(session: Session, notify: Notify | None = None) -> Config:
    found = session.find(layout.CONFIG, layout.ConfigRecord, notify)
    return Config(layout.ConfigRecord() if found is None else found[0])


def write_setting(session: Session, name: str, value: Any) -> None:
    """Set one setting for the whole cluster; it takes effect without a restart.

    Raises
    ------
    CallerError
        If there is no such setting, or the value is not a number within its bounds.
    """
    setting = get_setting(name)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise CallerError(f"{name} takes a number, not {value!r}") from error
    if not setting.least <= number <= setting.most:
        raise CallerError(f"{name} must lie between {setting.least:g} and {setting.most:g}, not {number:g}")
    while True:
        version = session.version(layout.CONFIG)  # before the values: a change in between is then refused
        found = session.find(layout.CONFIG, layout.ConfigRecord)
        values = {} if found is None else found[0].values
        assert version is not None, "connect() made the config"
        try:
            session.set(layout.CONFIG, layout.ConfigRecord(values={**values, name: number}), version)
            return
        except Refused:
            continue
