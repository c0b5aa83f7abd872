"""What is counted: by the batch, of all and of each connection, and begun anew when that is asked for."""

from raw import connect_request, request

from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.server.figures import RECENT_MAX, Distribution, Figures, Summary, Traffic
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.transactions import CreateSessionTxn, TxnHeader, encode_entry

NOW_MS = 1_700_000_000_000


def entry(zxid: int) -> bytes:
    return encode_entry(TxnHeader(1, 0, zxid, NOW_MS, OpCode.CREATE_SESSION), CreateSessionTxn(4_000), 1_000 + zxid)


def order(first: int, last: int) -> AppendTransactions:
    return AppendTransactions(first, last, [entry(zxid) for zxid in range(first, last + 1)])


def joined(figures: Figures, number: int = 1) -> Traffic:
    figures.traffics[number] = Traffic(number, ("127.0.0.1", 5_000), False, NOW_MS)
    return figures.traffics[number]


def test_a_summary_keeps_count_sum_and_extremes() -> None:
    summary = Summary()
    assert (summary.count, summary.mean, summary.max) == (0, 0.0, 0.0)
    summary.add(5.0)
    summary.add(2.0, count=3)
    assert (summary.count, summary.total, summary.min, summary.max, summary.last) == (4, 11.0, 2.0, 5.0, 2.0)
    assert summary.mean == 2.75
    summary.reset()
    assert (summary.count, summary.min) == (0, 0.0)


def test_quantiles_are_of_the_last_values() -> None:
    distribution = Distribution()
    assert distribution.quantile(0.99) == 0.0
    for value in range(RECENT_MAX + 100):
        distribution.add(value)
    assert distribution.quantile(0.0) == 100
    assert distribution.quantile(0.5) == 100 + RECENT_MAX // 2
    assert distribution.quantile(1.0) == RECENT_MAX + 99
    assert distribution.count == RECENT_MAX + 100


def test_a_batch_of_reads_and_writes_is_told_apart() -> None:
    figures = Figures()
    traffic = joined(figures)
    frames = [request(xid, OpCode.GET_DATA)[4:] for xid in range(1, 6)]
    assert figures.arrived(1, frames) is traffic
    figures.handled(traffic, len(frames), order(7, 8), figures.since, 6)
    assert (figures.received, figures.reads.count, figures.updates.count, figures.commits) == (5, 3, 0, 0)
    figures.synced(7)
    assert figures.updates.count == 0  # a batch is answered as a whole
    figures.synced(8)
    assert (figures.updates.count, figures.commits, traffic.latency.count, traffic.zxid) == (2, 2, 5, 8)
    assert not figures.ordered


def test_what_nobody_waits_for_is_a_commit_but_no_latency() -> None:
    figures = Figures()
    figures.handled(None, 0, order(1, 1), figures.since, 0)
    figures.synced(1)
    assert (figures.commits, figures.updates.count, figures.reads.count) == (1, 0, 0)


def test_the_last_request_is_known_and_pings_hide_no_xid() -> None:
    figures = Figures()
    traffic = joined(figures)
    figures.arrived(1, [connect_request()[4:]])
    assert (figures.connects, traffic.received, traffic.head[4:]) == (1, 1, b"\xff\xff\xff\xf6")
    figures.arrived(1, [request(9, OpCode.EXISTS)[4:]])
    figures.arrived(1, [request(-2, OpCode.PING)[4:]])
    assert (traffic.head[7], traffic.cxid_head[3]) == (OpCode.PING, 9)
    assert figures.connects == 1


def test_a_malformed_frame_counts_like_any_other() -> None:
    figures = Figures()
    traffic = joined(figures)
    traffic.has_greeted = True
    figures.arrived(1, [b"", b"ab"])
    figures.arrived(1, [b""])
    assert traffic.received == 3
    assert figures.arrived(2, [b"x"]) is None


def test_the_digest_of_every_128th_transaction_is_kept() -> None:
    figures = Figures()
    for first, last in ((1, 100), (101, 127), (128, 128), (129, 255), (256, 600)):
        figures.handled(None, 0, order(first, last), figures.since, 0)
    assert figures.digests == type(figures.digests)([(zxid, 1_000 + zxid) for zxid in (128, 256, 384, 512)])


def test_a_reset_forgets_counts_but_no_connection() -> None:
    figures = Figures()
    traffic = joined(figures)
    figures.arrived(1, [connect_request()[4:], request(1, OpCode.EXISTS)[4:]])
    figures.handled(traffic, 2, None, figures.since, 3)
    figures.sent_to(1, 90, 2)
    figures.log_written(1.5, 4)
    assert (figures.sent, traffic.sent, figures.bytes_sent, figures.slow_syncs) == (2, 2, 90, 1)
    figures.reset()
    assert (figures.received, figures.sent, figures.reads.count, figures.syncs.count, figures.slow_syncs) == (0, 0, 0, 0, 0)
    assert traffic.received == 2
    traffic.reset()
    assert (traffic.received, traffic.sent, traffic.zxid, traffic.head, traffic.latency.count) == (0, 0, -1, b"", 0)
    assert traffic.has_greeted
