"""Certificates for tests: an authority, a server, and clients, made by OpenSSL's command line."""

import shutil
import ssl
import subprocess
from pathlib import Path

REASON = "openssl is not installed"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def is_installed() -> bool:
    return shutil.which("openssl") is not None


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=30)


class Authority:
    """One authority; files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        openssl(folder, "req", "-x509", *NEW_KEY, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")

    def issue(self, name: str, subject: str) -> tuple[Path, Path]:
        """Return the files of a new certificate and its key, good for 127.0.0.1 and localhost."""
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", encoding="utf-8")
        openssl(self.folder, "req", *NEW_KEY, "-utf8", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        openssl(self.folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def client_context(self, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return how a client of this authority speaks TLS, with or without a certificate of its own."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if files is not None:
            context.load_cert_chain(*files)
        return context
