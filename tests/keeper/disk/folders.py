"""A keeper's folder with three snapshots and three logs, for tests that look at it or go back in it."""

from pathlib import Path
from typing import Any

from world import World

from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import LOG, SNAPSHOT, folder_of, list_files
from muskox.keeper.disk.recovery import recover
from muskox.keeper.disk.snapshot import write_snapshot


class Folder:
    """Session 1 is opened by zxid 1; zxid n creates /n<n>. Snapshots at 0, 5, 9; logs from 1, 6, 10; the last zxid is 12."""

    def __init__(self, data_dir: Path, log_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self.folder = folder_of(data_dir)
        self.log_folder = folder_of(log_dir or data_dir)
        recover(data_dir, log_dir)
        self.world = World()
        self.log = TransactionLog(self.log_folder)
        self.world.open(1)
        self.images: dict[int, Any] = {}
        for zxid in range(1, 13):
            if zxid > 1:
                assert self.world.create(1, f"/n{zxid}", b"x" * zxid) == 0
            self.log.append(zxid, [self.world.entries[-1]])
            image = self.world.machine.image()
            self.images[zxid] = image._replace(nodes=dict(image.nodes), timeouts_ms=dict(image.timeouts_ms))
            if zxid in (5, 9):
                self.write_snapshot()
                self.log.roll()
        self.log.roll()

    def write_snapshot(self, **fields: Any) -> None:
        write_snapshot(self.folder, self.world.machine.image()._replace(**fields))

    @property
    def snapshots(self) -> list[Path]:
        return [file.path for file in list_files(self.folder, SNAPSHOT)]

    @property
    def logs(self) -> list[Path]:
        return [file.path for file in list_files(self.log_folder, LOG)]
