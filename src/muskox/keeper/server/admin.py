"""The AdminServer: Apache's ``/commands/...``, the same names, keys and layout of JSON.

Nobody is asked who they are, as with Apache's: the port is opened only if asked for, on loopback unless told otherwise.
"""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from muskox.keeper.disk.names import SNAPSHOT, list_files
from muskox.keeper.server.http import Request, Response
from muskox.keeper.server.metrics import monitored
from muskox.keeper.server.status import NOT_SERVING, VERSION, ConnectionStatus, Status, folder_bytes

JSON = "application/json"
ROOT = "/commands"
LONG_MAX = (1 << 63) - 1

Told = dict[str, Any]
Arguments = dict[str, str]


def answer(status: Status, request: Request) -> Response:
    """Return what is said to a request; like Apache's, an unknown command is no error of HTTP's."""
    path = request.path
    if path.rstrip("/") == ROOT:
        links = [f'<a href="{ROOT}/{command.names[0]}">{command.names[0]}</a>\n<br/>\n' for command in COMMANDS]
        return Response(200, "text/html; charset=utf-8", "".join(links))
    if not path.startswith(ROOT + "/"):
        return Response(404, "text/plain; charset=utf-8", f"nothing is here; look at {ROOT}\n")
    return Response(200, JSON, pretty(run(status, path.removeprefix(ROOT + "/"), request.arguments)))


def run(status: Status, name: str, arguments: Arguments) -> Told:
    """Return what a command tells, an error among it."""
    command = BY_NAME.get(name)
    if command is None:
        return {"command": name, "error": f"Unknown command: {name}"}
    if command.needs_server and not status.is_serving:
        return {"command": name, "error": NOT_SERVING}
    told = command.tell(status, arguments)
    return {**told, "command": command.names[0], "error": None, **told}


def configuration(status: Status, _: Arguments) -> Told:
    options = status.options
    return {
        "client_port": status.client_port,
        "data_dir": str(status.data_folder),
        "data_log_dir": str(status.log_folder),
        "tick_time": options.tick_ms,
        "max_client_cnxns": options.limits.connections_per_address_max,
        "min_session_timeout": options.timeout_ms_min,
        "max_session_timeout": options.timeout_ms_max,
        "server_id": 0,
        "client_port_listen_backlog": -1,
    }


def connection_stat_reset(status: Status, _: Arguments) -> Told:
    status.reset_connections()
    return {}


def connections(status: Status, _: Arguments) -> Told:
    return told_connections(status, is_brief=False)


def told_connections(status: Status, *, is_brief: bool) -> Told:
    plain: list[Told] = []
    secure: list[Told] = []
    for each in status.connections():
        (secure if each.is_secure else plain).append(brief(each) if is_brief else brief(each) | detail(each))
    return {"connections": plain, "secure_connections": secure}


def brief(each: ConnectionStatus) -> Told:
    return {
        "remote_socket_address": each.address,
        "interest_ops": each.interest,
        "outstanding_requests": each.queued,
        "packets_received": each.received,
        "packets_sent": each.sent,
    }


def detail(each: ConnectionStatus) -> Told:
    return {
        "session_id": each.session_id,
        "last_operation": each.operation,
        "established": each.established_ms,
        "session_timeout": each.timeout_ms,
        "last_cxid": each.cxid,
        "last_zxid": each.zxid,
        "last_response_time": each.answered_ms,
        "last_latency": each.latency_ms,
        "min_latency": each.latency_ms_min,
        "avg_latency": each.latency_ms_mean,
        "max_latency": each.latency_ms_max,
    }


def dirs(status: Status, _: Arguments) -> Told:
    return {"datadir_size": folder_bytes(status.log_folder), "logdir_size": folder_bytes(status.data_folder)}


def dump(status: Status, _: Arguments) -> Told:
    return {"expiry_time_to_session_ids": status.sessions_due(), "session_id_to_ephemeral_paths": status.ephemerals()}


def environment(status: Status, _: Arguments) -> Told:
    return dict(status.environment())


def get_trace_mask(status: Status, _: Arguments) -> Told:
    return {"tracemask": status.figures.trace_mask}


def hash_log(status: Status, _: Arguments) -> Told:
    digests = [each for each in status.figures.digests if each.zxid <= status.zxid]
    return {"digests": [{"zxid": each.zxid, "digest_version": 2, "digest": each.digest} for each in digests]}


def initial_configuration(status: Status, _: Arguments) -> Told:
    """Tell what a zoo.cfg for this server holds."""
    options = status.options
    lines = {
        "tickTime": options.tick_ms,
        "dataDir": options.data_dir,
        "dataLogDir": options.log_dir,
        "clientPort": options.client_port,
        "clientPortAddress": options.host,
        "4lw.commands.whitelist": ",".join(options.four_letter_words),
    }
    return {"initial_configuration": "".join(f"{key}={value}\n" for key, value in lines.items() if value is not None)}


def is_read_only(_: Status, __: Arguments) -> Told:
    return {"read_only": False}


def last_snapshot(status: Status, _: Arguments) -> Told:
    files = list_files(status.data_folder, SNAPSHOT)
    if not files:
        return {"zxid": "ffffffffffffffff", "timestamp": -1}
    return {"zxid": f"{files[-1].zxid:x}", "timestamp": int(files[-1].path.stat().st_mtime)}


def leader(_: Status, __: Arguments) -> Told:
    return {"error": "server is not initialized"}  # Apache's words for a server that is alone


def monitor(status: Status, _: Arguments) -> Told:
    return dict(monitored(status))


def nothing(_: Status, __: Arguments) -> Told:
    return {}


def observers(_: Status, __: Arguments) -> Told:
    return {"synced_observers": 0, "observers": []}


def server_stats(status: Status, _: Arguments) -> Told:
    figures = status.figures
    sizes = {"last_buffer_size": -1, "min_buffer_size": -1, "max_buffer_size": -1}  # Apache's words for: not measured
    return {
        "version": VERSION,
        "read_only": False,
        "server_stats": {
            "packets_sent": figures.sent,
            "packets_received": figures.received,
            "fsync_threshold_exceed_count": figures.slow_syncs,
            "client_response_stats": sizes,
            "data_dir_size": folder_bytes(status.log_folder),
            "log_dir_size": folder_bytes(status.data_folder),
            "provider_null": False,
            "server_state": "standalone",
            "last_processed_zxid": status.zxid,
            "outstanding_requests": status.outstanding,
            "avg_latency": status.latency_ms_mean,
            "max_latency": status.latency_ms_max,
            "min_latency": status.latency_ms_min,
            "num_alive_client_connections": len(figures.traffics),
            "uptime": status.uptime_ms,
            "auth_failed_count": figures.auth_failures,
            "non_mtlsremote_conn_count": 0,
            "non_mtlslocal_conn_count": 0,
        },
        "client_response": sizes,
        "node_count": status.node_count,
    }


def set_trace_mask(status: Status, arguments: Arguments) -> Told:
    rule = "setTraceMask requires long traceMask argument"
    if "traceMask" not in arguments:
        return {"error": rule}
    try:
        mask = int(arguments["traceMask"])
    except ValueError:
        mask = LONG_MAX + 1
    if not -LONG_MAX - 1 <= mask <= LONG_MAX:
        return {"error": f"{rule}, got {arguments['traceMask']}"}
    status.figures.trace_mask = mask
    return {"tracemask": mask}


def stat_reset(status: Status, _: Arguments) -> Told:
    status.reset()
    return {}


def stats(status: Status, arguments: Arguments) -> Told:
    return server_stats(status, arguments) | told_connections(status, is_brief=True)


def system_properties(status: Status, _: Arguments) -> Told:
    """Tell what of Java's system properties has a meaning here."""
    told = {name: value for name, value in status.environment().items() if name.startswith(("os.", "user.", "python."))}
    told |= {
        "file.separator": os.sep,
        "line.separator": os.linesep,
        "path.separator": os.pathsep,
        "zookeeper.4lw.commands.whitelist": ",".join(status.options.four_letter_words),
        "zookeeper.admin.serverAddress": status.options.http.admin_host,
        "zookeeper.admin.serverPort": str(status.options.http.admin_port),
    }
    return {name: told[name] for name in sorted(told)}


def voting_view(_: Status, __: Arguments) -> Told:
    return {"current_config": {}}


def watch_summary(status: Status, _: Arguments) -> Told:
    return dict(zip(("num_connections", "num_paths", "num_total_watches"), status.watch_summary(), strict=True))


def watches(status: Status, _: Arguments) -> Told:
    return {"session_id_to_watched_paths": status.watches_by_session()}


def watches_by_path(status: Status, _: Arguments) -> Told:
    return {"path_to_session_ids": status.watches_by_path()}


def zabstate(_: Status, __: Arguments) -> Told:
    return {"voting": False, "zabstate": ""}


class Command(NamedTuple):
    names: tuple[str, ...]
    tell: Callable[[Status, Arguments], Told]
    needs_server: bool = True


COMMANDS = (
    Command(("configuration", "conf", "config"), configuration),
    Command(("connection_stat_reset", "crst"), connection_stat_reset),
    Command(("connections", "cons"), connections),
    Command(("dirs",), dirs),
    Command(("dump",), dump),
    Command(("environment", "env", "envi"), environment, needs_server=False),
    Command(("get_trace_mask", "gtmk"), get_trace_mask, needs_server=False),
    Command(("hash",), hash_log),
    Command(("initial_configuration", "icfg"), initial_configuration),
    Command(("is_read_only", "isro"), is_read_only),
    Command(("last_snapshot", "lsnp"), last_snapshot),
    Command(("leader", "lead"), leader),
    Command(("monitor", "mntr"), monitor, needs_server=False),
    Command(("observer_connection_stat_reset", "orst"), nothing),
    Command(("observers", "obsr"), observers),
    Command(("ruok",), nothing),
    Command(("server_stats", "srvr"), server_stats),
    Command(("set_trace_mask", "stmk"), set_trace_mask, needs_server=False),
    Command(("stat_reset", "srst"), stat_reset),
    Command(("stats", "stat"), stats),
    Command(("system_properties", "sysp"), system_properties, needs_server=False),
    Command(("voting_view",), voting_view),
    Command(("watch_summary", "wchs"), watch_summary),
    Command(("watches", "wchc"), watches),
    Command(("watches_by_path", "wchp"), watches_by_path),
    Command(("zabstate",), zabstate, needs_server=False),
)
BY_NAME = {name: command for command in COMMANDS for name in command.names}


def pretty(value: Any, indent: str = "") -> str:
    """Return JSON as Jackson, which Apache writes it with, lays it out."""
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(str(key), ensure_ascii=False)} : {pretty(each, deeper)}" for key, each in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}" if lines else "{ }"
    if isinstance(value, list):
        return "[ " + ", ".join(pretty(each, indent) for each in value) + " ]" if value else "[ ]"
    return json.dumps(value, ensure_ascii=False)
