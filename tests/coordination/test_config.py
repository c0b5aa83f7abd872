"""Live settings: typed, bounded, seen by whoever watches, and never lost between two writers."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from muskox.coordination import SETTINGS, Session, layout, read_config, write_setting
from muskox.errors import CallerError

BOUND_S = 20.0


def test_defaults_hold_until_something_is_set(session: Session) -> None:
    assert read_config(session).as_dict() == {name: setting.default for name, setting in SETTINGS.items()}
    write_setting(session, "silence_s", "2.5")
    config = read_config(session)
    assert config["silence_s"] == 2.5
    assert config["replicas"] == SETTINGS["replicas"].default


def test_a_change_wakes_whoever_watches(session: Session, connect: Callable[[], Session]) -> None:
    changed = threading.Event()
    read_config(session, lambda _: changed.set())
    write_setting(connect(), "replicas", 3)
    assert changed.wait(BOUND_S)
    assert read_config(session)["replicas"] == 3.0


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("speed", 1, "there is no setting 'speed': the settings are checkpoint_interval_s, silence_s"),
        ("silence_s", "fast", "silence_s takes a number, not 'fast'"),
        ("silence_s", None, "silence_s takes a number, not None"),
        ("silence_s", 0.5, "silence_s must lie between 1 and 3600, not 0.5"),
        ("silence_s", "nan", "silence_s must lie between 1 and 3600, not nan"),
        ("replicas", 11, "replicas must lie between 1 and 10, not 11"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_rule(session: Session, name: str, value: Any, complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        write_setting(session, name, value)
    assert session.version(layout.CONFIG) == 0


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_bounds_may_be_set_and_hold_the_default(session: Session, name: str) -> None:
    setting = SETTINGS[name]
    assert setting.least <= setting.default <= setting.most
    for value in (setting.least, setting.most):
        write_setting(session, name, value)
        assert read_config(session)[name] == value


def test_writers_do_not_lose_each_others_settings(connect: Callable[[], Session]) -> None:
    values = {"silence_s": 20.0, "replicas": 3.0, "progress_interval_s": 2.0, "checkpoint_interval_s": 7.0}
    writers = [threading.Thread(target=write_setting, args=(connect(), name, value)) for name, value in values.items()]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(BOUND_S)
    assert read_config(connect()).as_dict().items() >= values.items()
