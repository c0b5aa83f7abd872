"""Tell others that you are alive: an ephemeral znode goes when its session does, whatever happened to the process."""

from kazoo.client import KazooClient

import muskox as mx

# What such snippets usually get wrong: they need a server that they do not start, forget the parent path, and never show the
# one thing that makes the node ephemeral: that it goes. (A client that crashes is noticed after its session timeout.)


def main() -> None:
    with mx.Keeper() as keeper:
        watcher = KazooClient(keeper.hosts)
        watcher.start()
        worker = KazooClient(keeper.hosts, timeout=4.0)
        worker.start()
        worker.create("/workers/worker-1", b"alive", ephemeral=True, makepath=True)
        print("while the worker's session lives:", watcher.get_children("/workers"))
        assert watcher.get("/workers/worker-1")[1].ephemeralOwner == worker.client_id[0]
        worker.stop()
        worker.close()
        print("after it ended:", watcher.get_children("/workers"))
        assert watcher.get_children("/workers") == []
        watcher.stop()
        watcher.close()


if __name__ == "__main__":
    main()
