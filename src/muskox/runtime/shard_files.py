"""The shards of one job as local files: brought for a worker, and doubted where they are not what was written."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from muskox.runtime.node_context import NodeContext
from muskox.store import Dataset

log = logging.getLogger(__name__)


class ShardFiles:
    """See the head of this file. `columns` are those that the job looks at; none means all."""

    def __init__(self, node: NodeContext, dataset: Dataset, columns: Sequence[str]) -> None:
        self._node = node
        self._dataset = dataset
        self._columns = columns
        self._brought: dict[int, list[Path]] = {}

    def bring(self, shards: Iterable[int], before: ExitStack) -> tuple[dict[int, list[str]], ExitStack]:
        """Return the files (one a column group) of each shard, fetched where we have them not, and what keeps cached ones here.

        before : what kept others here, which may go now
        """
        blobs, cache = self._node.blobs, self._node.cache
        with ExitStack() as held:
            found = {index: self._dataset.bring(index, self._columns, blobs, cache, held) for index in shards}
            kept = held.pop_all()
        before.close()
        self._brought |= found
        return {index: [str(path) for path in paths] for index, paths in found.items()}, kept

    def doubt(self, index: int, reason: str) -> None:
        """Have our copy of a shard looked at that is not what was written; the next worker gets it from another replica."""
        log.warning("shard %d of %s is fetched anew: %s", index, self._dataset.reference, reason)
        for path in self._brought.get(index, ()):
            if path == self._node.blobs.path(path.name):
                self._node.doubt(path.name)
            else:
                self._node.cache.recheck(path.name)
