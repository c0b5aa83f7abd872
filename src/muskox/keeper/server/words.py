"""The four-letter words: what a server says of itself to whoever sends four letters instead of a connect request."""

from typing import NamedTuple

VERSION = "3.8.0-muskox"  # the release whose behaviour this is, for clients that ask
WORDS = ("ruok", "srvr", "stat", "mntr", "isro", "envi")
ALL = "*"


class Figures(NamedTuple):
    """What is told of a server."""

    clients: list[str]
    received: int
    sent: int
    outstanding: int
    zxid: int
    nodes: int
    watches: int
    ephemerals: int
    sessions: int
    environment: dict[str, str]


def is_word(word: str) -> bool:
    return word in WORDS


def answer(word: str, allowed: tuple[str, ...], figures: Figures) -> str:
    """Return what is said to `word`, which is one of WORDS."""
    if ALL not in allowed and word not in allowed:
        return f"{word} is not executed because it is not in the whitelist.\n"
    match word:
        case "ruok":
            return "imok"
        case "isro":
            return "rw"
        case "mntr":
            return monitor(figures)
        case "envi":
            lines = [f"{key}={value}" for key, value in figures.environment.items()]
            return "\n".join(["Environment:", f"zookeeper.version={VERSION}, built on muskox", *lines, ""])
        case "stat":
            clients = "".join(f" {client}\n" for client in figures.clients)
            return serving(figures, f"Clients:\n{clients}\n")
        case _:
            return serving(figures, "")


def serving(figures: Figures, clients: str) -> str:
    return (
        f"Zookeeper version: {VERSION}, built on muskox\n{clients}"
        f"Latency min/avg/max: 0/0.0/0\n"
        f"Received: {figures.received}\nSent: {figures.sent}\n"
        f"Connections: {len(figures.clients)}\nOutstanding: {figures.outstanding}\n"
        f"Zxid: {figures.zxid:#x}\nMode: standalone\nNode count: {figures.nodes}\n"
    )


def monitor(figures: Figures) -> str:
    values = {
        "zk_version": f"{VERSION}, built on muskox",
        "zk_server_state": "standalone",
        "zk_packets_received": figures.received,
        "zk_packets_sent": figures.sent,
        "zk_num_alive_connections": len(figures.clients),
        "zk_outstanding_requests": figures.outstanding,
        "zk_znode_count": figures.nodes,
        "zk_watch_count": figures.watches,
        "zk_ephemerals_count": figures.ephemerals,
        "zk_global_sessions": figures.sessions,
    }
    return "".join(f"{key}\t{value}\n" for key, value in values.items())
