"""The front door from Python: what the documentation shows works, and a keeper goes on where it was."""

import doctest
from pathlib import Path

import pytest
from raw import RawClient

from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper, process


def test_the_example_in_the_documentation_works() -> None:
    assert doctest.testmod(process, optionflags=doctest.FAIL_FAST).failed == 0


def test_a_killed_keeper_starts_again_on_its_port_and_data() -> None:
    with Keeper() as keeper:
        port, pid = keeper.port, keeper.pid
        with RawClient(port) as client:
            client.connect()
            assert client.create("/a").err == 0
        keeper.kill()
        assert not keeper.is_running
        keeper.start()
        assert (keeper.port, keeper.pid != pid) == (port, True)
        with RawClient(port) as client:
            client.connect()
            assert client.exists("/a").err == 0


def test_a_temporary_folder_goes_with_a_stop_and_one_of_ones_own_stays(tmp_path: Path) -> None:
    keeper = Keeper().start()
    folder = keeper.data_dir
    with pytest.raises(CallerError, match="runs already"):
        keeper.start()
    keeper.stop()
    keeper.stop()
    assert not folder.exists()
    with Keeper(data_dir=tmp_path / "mine"):
        pass
    assert (tmp_path / "mine" / "version-2").exists()


def test_damaged_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path) as keeper, RawClient(keeper.port) as client:
        client.connect()
        for index in range(9):
            client.create(f"/n{index}")
    (log,) = (tmp_path / "version-2").glob("log.*")
    data = bytearray(log.read_bytes())
    data[200] ^= 1
    log.write_bytes(data)
    with pytest.raises(Unavailable, match=f"exit status 1.*{log.name} is damaged at byte .* zxid"):
        Keeper(data_dir=tmp_path).start()
