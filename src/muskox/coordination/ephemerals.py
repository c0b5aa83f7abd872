"""Ephemeral znodes for as long as their owner wants: made again after a lost session, deleted without waiting for anybody.

It owns which ones are wanted, and which are let go but perhaps still there. It must never know what they mean. It is called on
any thread, kazoo's and that of a garbage collection in the middle of anything included: so it neither waits nor locks.
Dictionaries change in single steps; what is not yet known to be done is asked for again at every connection; and what comes
into being after its owner let it go is deleted.
"""

from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NoAuthError, NodeExistsError, NoNodeError


class Ephemerals:
    """See the head of this file. No path is used twice."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._wanted: dict[str, bytes] = {}
        self._absent: dict[str, int] = {}  # wanted, but lost: with which session, counted
        self._leaving: dict[str, None] = {}  # not yet known to be deleted
        self._sessions_lost = 0

    def want(self, path: str, data: bytes) -> None:
        """Have it made again in every session after this one; the caller makes it in this one, after this call."""
        self._wanted[path] = data

    def let_go(self, path: str) -> None:
        """Have it deleted soon, and wait for nothing."""
        self._leaving[path] = None
        self._wanted.pop(path, None)
        self._absent.pop(path, None)
        self._delete(path)

    def on_state(self, state: str) -> None:
        """Take in that the connection changed."""
        if state == KazooState.LOST:
            self._sessions_lost += 1
            self._absent.update(dict.fromkeys(list(self._wanted), self._sessions_lost))
        elif state == KazooState.CONNECTED:
            for path in list(self._leaving):
                self._delete(path)
            for path in list(self._absent):
                self._make(path)

    def _make(self, path: str) -> None:
        data, lost = self._wanted.get(path), self._absent.get(path)
        if data is None or lost is None:
            return

        def made(result: Any) -> None:
            if result.exception is not None and not isinstance(result.exception, NodeExistsError):
                return  # asked for again at the next connection
            if self._absent.get(path) == lost:  # else that session is lost as well by now
                self._absent.pop(path, None)
            if path not in self._wanted:
                self.let_go(path)

        self._client.create_async(path, data, ephemeral=True).rawlink(made)

    def _delete(self, path: str) -> None:
        def deleted(result: Any) -> None:
            if result.exception is None or isinstance(result.exception, (NoNodeError, NoAuthError)):
                self._leaving.pop(path, None)

        self._client.delete_async(path).rawlink(deleted)
