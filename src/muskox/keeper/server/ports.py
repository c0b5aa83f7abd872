"""The ports for clients: plaintext, TLS, or both on one, opened as the options say."""

import asyncio
import errno
import resource

from muskox.errors import MuskoxError, Unavailable
from muskox.keeper.server.client import ClientSocket
from muskox.keeper.server.gate import BACKLOG, Gate
from muskox.keeper.server.options import Options, TlsOptions
from muskox.keeper.server.shell import Shell, say
from muskox.keeper.server.tls import make_context

PRIVILEGED_BELOW = 1024


DESCRIPTORS_MAX = 1 << 20  # where the system sets no limit
# For files, and for those who ask by HTTP: a server that cannot open its next log file must end.
DESCRIPTORS_KEPT = 128


class Ports:
    """What is open; `client_port` and `secure_port` are -1 where there is none."""

    def __init__(self) -> None:
        self.client_port = -1
        self.secure_port = -1
        self.servers: list[asyncio.Server | Gate] = []
        self.names: list[str] = []  # for people

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def read_certificates_again(self, tls: TlsOptions) -> None:
        """Let those who connect from now on meet the certificates that lie in the files now; wrong ones change nothing."""
        try:
            context = make_context(tls)
        except MuskoxError as error:
            say(f"the old certificates stay in use: {error}")
            return
        for server in self.servers:
            if isinstance(server, Gate):
                server.context = context
        say("the certificates were read again")


async def listen(options: Options, shell: Shell) -> Ports:
    """Open the ports.

    Raises
    ------
    Unavailable
        If one cannot be had.
    CallerError
        If the certificates are not right.
    """

    def make_client() -> ClientSocket:
        return ClientSocket(shell, options.limits.frame_bytes_max)

    shell.admission.bound(connections_possible())
    ports = Ports()
    context = None if options.tls is None else make_context(options.tls)
    try:
        host, port = options.host, options.client_port
        if port is not None and options.port_unification and context is not None:
            gate = Gate(shell, make_client, context, takes_plaintext=True)
            ports.servers.append(gate)
            ports.client_port = gate.open(host, port)
            ports.names.append(f"{host}:{ports.client_port} (plaintext and TLS)")
        elif port is not None:
            server = await asyncio.get_running_loop().create_server(make_client, host, port, backlog=BACKLOG)
            ports.servers.append(server)
            ports.client_port = server.sockets[0].getsockname()[1]
            ports.names.append(f"{host}:{ports.client_port}")
        host, port = options.secure_host, options.secure_port
        if port is not None and context is not None:
            gate = Gate(shell, make_client, context, takes_plaintext=False)
            ports.servers.append(gate)
            ports.secure_port = gate.open(host, port)
            ports.names.append(f"{host}:{ports.secure_port} (TLS)")
    except OSError as error:
        ports.close()
        if error.errno == errno.EADDRINUSE:
            flag = "--client-port" if ports.client_port < 0 and options.client_port is not None else "--secure-client-port"
            raise Unavailable(f"port {port} of {host} is in use; take another with {flag}") from error
        hint = f"; ports below {PRIVILEGED_BELOW} need a privilege" if error.errno == errno.EACCES else ""
        raise Unavailable(f"cannot listen at {host}:{port}: {error.strerror}{hint}") from error
    return ports


def connections_possible() -> int:
    """Return how many connections there can be; as Java does, this process allows itself all that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return max(hard - DESCRIPTORS_KEPT, 1)
