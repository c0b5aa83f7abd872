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
