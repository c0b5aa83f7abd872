"""A disk in memory that forgets, tears and reorders what was not synced, for the tests of what a power cut leaves behind."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512  # what reaches a disk whole


@dataclass
class File:
    """A file as it is on the disk, and as its writers see it. Names are apart: see `TornDisk`."""

    stable: bytes = b""
    seen: bytearray = field(default_factory=bytearray)
    past: list[bytes] = field(default_factory=list)  # as it was seen at times since the last sync

    def sync(self) -> None:
        self.stable = bytes(self.seen)
        self.past.clear()

    def after_a_cut(self, rng: Random) -> bytes:
        """Return what may be found: each sector as it was at the last sync or at any time since, and a length of any time.

        A length may come without the sectors, which are zeros then.
        """
        if not self.past:
            return self.stable
        versions = (self.stable, *self.past)
        size = len(rng.choice(versions))
        found = bytearray(size)
        share = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for at in range(0, size, SECTOR):
            source = rng.choice(self.past) if rng.random() < share else self.stable
            part = source[at : min(at + SECTOR, size)]
            found[at : at + len(part)] = part
        return bytes(found)

    def changed(self) -> None:
        self.past.append(bytes(self.seen))


class TornDisk:
    """The keeper's `Disk`. With `calls_left`, the power is cut at that call: whatever it did is not synced."""

    def __init__(self, rng: Random, folder: Path, calls_left: int = 1 << 60) -> None:
        """Begin with the files in `folder`, all of them synced."""
        self.rng = rng
        self.calls_left = calls_left
        self.files: dict[int, File] = {}
        self.names: dict[Path, File] = {}
        for path in folder.iterdir():
            self.names[path] = File(path.read_bytes())
        self.stable_names = dict(self.names)
        self.next = 3

    def step(self) -> bool:
        """Return whether the power is on until after this call.

        Raises
        ------
        PowerCutError
            If it is off.
        """
        self.calls_left -= 1
        if self.calls_left < 0:
            raise PowerCutError
        return self.calls_left > 0

    def create(self, path: Path) -> int:
        self.step()
        self.names[path] = self.files[self.next] = File()
        self.next += 1
        return self.next - 1

    def write(self, file: int, data: bytes, at: int) -> None:
        whole = self.step()
        seen = self.files[file].seen
        if not whole:
            data = data[: self.rng.randrange(len(data) + 1)]
        if len(seen) < at + len(data):
            seen.extend(bytes(at + len(data) - len(seen)))
        seen[at : at + len(data)] = data
        self.files[file].changed()

    def write_synced(self, file: int, data: bytes, at: int) -> None:
        self.write(file, data, at)
        self.sync(file)

    def allocate(self, file: int, start: int, size: int) -> None:
        self.step()
        seen = self.files[file].seen
        seen.extend(bytes(max(0, start + size - len(seen))))
        self.files[file].changed()

    def truncate(self, file: int, size: int) -> None:
        self.step()
        del self.files[file].seen[size:]
        self.files[file].changed()

    def sync(self, file: int) -> None:
        if not self.step():
            raise PowerCutError
        self.files[file].sync()

    def close(self, file: int) -> None:
        del self.files[file]

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        self.names[new] = self.names.pop(old)

    def remove(self, path: Path) -> None:
        self.step()
        self.names.pop(path, None)

    def sync_folder(self, folder: Path) -> None:
        if not self.step():
            raise PowerCutError
        self.stable_names = dict(self.names)

    def leave(self, folder: Path) -> None:
        """Put what all see into `folder`, as a kill of the server leaves it."""
        for path, file in self.names.items():
            path.write_bytes(file.seen or file.stable)
        for path in set(folder.iterdir()) - set(self.names):
            path.unlink()

    def cut_power(self, folder: Path) -> None:
        """Put what a start finds into `folder`: names as they were synced, or as they were seen, each by itself."""
        for path in folder.iterdir():
            path.unlink()
        for path in {**self.stable_names, **self.names}:
            was, is_now = self.stable_names.get(path), self.names.get(path)
            file = was if was is is_now else self.rng.choice((was, is_now))
            if file is not None:
                (folder / path.name).write_bytes(file.after_a_cut(self.rng))


class PowerCutError(Exception):
    """There is no current."""
