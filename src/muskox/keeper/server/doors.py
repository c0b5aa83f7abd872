"""The ports for people and monitors, those that were asked for: the AdminServer's and Prometheus'."""

from functools import partial

from muskox.keeper.server import admin
from muskox.keeper.server.http import Door, Request, Response
from muskox.keeper.server.metrics import PROMETHEUS_TYPE, exposition
from muskox.keeper.server.options import HttpOptions
from muskox.keeper.server.status import Status

METRICS = "/metrics"


async def open_doors(options: HttpOptions, status: Status) -> dict[str, Door]:
    """Return the open doors by their URL; close each.

    Raises
    ------
    Unavailable
        If a port cannot be had; no door is open then.
    """
    doors: dict[str, Door] = {}
    try:
        if options.admin_port is not None:
            door = Door(partial(admin.answer, status))
            await door.open(options.admin_host, options.admin_port, "the admin port")
            doors[f"http://{options.admin_host}:{door.port}{admin.ROOT}"] = door
        if options.metrics_port is not None:
            door = Door(partial(answer_metrics, status))
            await door.open(options.metrics_host, options.metrics_port, "the metrics port")
            doors[f"http://{options.metrics_host}:{door.port}{METRICS}"] = door
    except BaseException:  # bulkhead: whatever went wrong, no port may stay open
        for door in doors.values():
            door.close()
        raise
    return doors


def answer_metrics(status: Status, request: Request) -> Response:
    """Return what Prometheus scrapes; ``?name[]=`` chooses, as its own libraries have it."""
    if request.path != METRICS:
        return Response(404, "text/plain; charset=utf-8", f"nothing is here; look at {METRICS}\n")
    return Response(200, PROMETHEUS_TYPE, exposition(status, frozenset(request.all_arguments.get("name[]", ()))))
