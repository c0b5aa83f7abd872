"""TLS as the keeper speaks it: from PEM files, 1.2 and above; and whom a client's certificate names."""

import asyncio
import ssl

from muskox.errors import CallerError, PeerError
from muskox.keeper.server.options import TlsOptions
from muskox.keeper.wire.certificate import subject_of
from muskox.keeper.wire.records import Id

CLIENT_AUTH = {"need": ssl.CERT_REQUIRED, "want": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """Return what the certificates in `options` make.

    Raises
    ------
    CallerError
        If a file cannot be read, or holds no certificate, or a key that is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_mode = CLIENT_AUTH[options.client_auth]
    files = " and ".join(dict.fromkeys((str(options.cert_file), str(options.key_file))))
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(options.cert_file, options.key_file, lambda: options.key_password or "")
    except (OSError, ValueError) as error:
        raise CallerError(f"no certificate and key for TLS in {files}: {reason_of(error)}; give PEM files") from error
    if options.ca_file is None:
        if context.verify_mode is ssl.CERT_REQUIRED:
            raise CallerError(
                "clients must show a certificate, but no authority is trusted to have signed it: "
                "give the authorities' file, or let client_auth be want or none"
            )
        return context
    try:
        context.load_verify_locations(options.ca_file)
    except (OSError, ValueError) as error:
        raise CallerError(f"no authorities for TLS in {options.ca_file}: {reason_of(error)}; give a PEM file") from error
    return context


def reason_of(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def identities_of(transport: asyncio.BaseTransport) -> tuple[Id, ...]:
    """Return what the client's certificate proves, if it showed one."""
    connection = transport.get_extra_info("ssl_object")
    certificate = None if connection is None else connection.getpeercert(binary_form=True)
    if certificate is None:
        return ()
    try:
        return (Id("x509", subject_of(certificate)),)
    except PeerError:  # OpenSSL took it, so this is a certificate whose subject is beyond us: it names nobody
        return ()
