"""Start a ZooKeeper server on a port, from Python, without Java, and see that what it acknowledged is still there."""

import sys
import tempfile

from kazoo.client import KazooClient

import muskox as mx

# What such snippets usually get wrong: they call a script of an installation that the reader does not have, and go on before
# the server listens. start() returns when it serves; port 0 takes a free one.


def main(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for start in (1, 2):
            with mx.Keeper(port=port, data_dir=folder) as keeper:
                client = KazooClient(keeper.hosts)
                client.start()
                client.ensure_path("/starts")
                client.create("/starts/start-", sequence=True)
                kept = client.get_children("/starts")
                print(f"start {start} on port {keeper.port}: {sorted(kept)}")
                client.stop()
                client.close()
        assert len(kept) == 2


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2181)
