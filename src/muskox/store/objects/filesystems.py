"""URLs of object stores and file systems: opened through pyarrow with bounded patience, their errors said in a sentence.

It owns which URLs are taken and what each opens (s3, file, hdfs, gs, abfs through pyarrow; any other scheme through
fsspec), that credentials come from the environment and never from a URL, and what an error of a store means. It must never
know what lies there.

pyarrow.fs is imported when a URL is opened. S3 starts a thread with the first S3 URL, not with an import, and ends at the
exit by itself; a process that has opened one must not fork and go on with it in the child.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import pyarrow as pa

from muskox.errors import CallerError, Unavailable
from muskox.store.disk.blobs import FULL

S3_SETTINGS = ("endpoint_override", "scheme", "region")
SECRET_SETTINGS = re.compile(r"(?i)key|secret|token|passw|credential|sig$")  # "account_key", say: not in a URL
REFUSALS = {  # what S3 says that no later attempt will change
    "NO_SUCH_BUCKET": "there is no such bucket: make it, or correct the URL",
    "ACCESS_DENIED": "access is refused: check the credentials (AWS_ACCESS_KEY_ID, a profile, a role) and what they may do",
    "INVALID_ACCESS_KEY_ID": "the access key is not known there: check AWS_ACCESS_KEY_ID and the endpoint",
    "SIGNATURE_DOES_NOT_MATCH": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "HTTP status 301": "the bucket is in another region: add region=... to the URL",
}
NO_ANSWER = "NETWORK_CONNECTION"
LIBRARY_MISSING = "Unable to load lib"  # hdfs needs Hadoop's libhdfs and a JVM


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store is waited for. S3 and gs heed it; the clients of other stores have settings of their own."""

    connect_s: float = 5.0
    stall_s: float = 5.0  # without one byte
    attempts: int = 3  # of a request, with growing pauses in between
    retry_s: float = 30.0  # of gs, which would try for a quarter of an hour


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Place:
    """A URL, opened.

    url : as given; there is no secret in it
    filesystem : pyarrow.fs.FileSystem; on S3 a small file is one request
    parts : the same for files of many parts: opening one for writing asks the store already
    root : the URL's path in it, without a slash at its end
    """

    url: str
    scheme: str
    filesystem: Any
    parts: Any
    root: str

    def path(self, relative: str) -> str:
        """Return where `relative` lies; nothing is the root itself."""
        return f"{self.root}/{relative}" if relative else self.root or "/"

    def shown(self, relative: str) -> str:
        """Return `relative` as a message names it: without the URL's settings."""
        base = self.url.partition("?")[0].rstrip("/")
        return f"{base}/{relative}" if relative else base


def open_place(url: str, patience: Patience = PATIENCE) -> Place:
    """Open `url`; S3 is not asked before something is read or written there.

    Examples
    --------
    >>> open_place("file:///tmp/blobs").path("ab")
    '/tmp/blobs/ab'

    Raises
    ------
    CallerError
        If it is no URL, carries a password or a key, names no bucket, or its scheme needs something that is not installed.
    Unavailable
        If the region of its bucket has to be asked for, or its name node, and nobody answers.
    """
    parts = _split(url)
    try:
        match parts.scheme:
            case "s3":
                return _open_s3(url, parts, patience)
            case "file":
                filesystem, root = _fs().LocalFileSystem(), unquote(parts.path)
            case "hdfs" | "viewfs" | "abfs" | "abfss":
                filesystem, root = _fs().FileSystem.from_uri(url)
            case "gs" | "gcs":
                filesystem = _fs().GcsFileSystem(retry_time_limit=timedelta(seconds=patience.retry_s))
                root = unquote(parts.netloc + parts.path)
            case _:
                inner, root = import_module("fsspec.core").url_to_fs(url)
                filesystem = _fs().PyFileSystem(_fs().FSSpecHandler(inner))
    except (OSError, ValueError, ImportError, AttributeError, pa.ArrowException) as error:
        why = _first_line(error)
        if isinstance(error, OSError) and LIBRARY_MISSING not in why:
            raise Unavailable(f"cannot open {url}: {why}") from error
        raise CallerError(f"cannot open {url}: {why}: correct the scheme, or install what it needs") from error
    return Place(url, parts.scheme, filesystem, filesystem, root.rstrip("/"))


def _fs() -> Any:
    return import_module("pyarrow.fs")


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if "://" not in url:
        raise CallerError(f"{url!r} is no URL: write file://{quote(str(Path(url).absolute()))}, or s3://bucket/prefix")
    if parts.scheme == "file" and (parts.netloc or not parts.path):
        raise CallerError(f"{url!r} names no folder of this machine: write file:///folder, with three slashes")
    settings = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    secret = next((name for name in settings if SECRET_SETTINGS.search(name)), None)
    if parts.password is not None or secret or (parts.scheme == "s3" and parts.username is not None):
        raise CallerError(
            f"the {parts.scheme} URL of {parts.hostname} carries {secret or 'a password'}: take it out, for URLs are "
            "recorded and shown, and give credentials by the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3)"
        )
    return parts


def _open_s3(url: str, parts: SplitResult, patience: Patience) -> Place:
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(settings.keys() - set(S3_SETTINGS))
    if unknown:
        raise CallerError(f"{url}: {unknown[0]!r} is no setting of an s3 URL: there are {', '.join(S3_SETTINGS)}")
    if not parts.netloc:
        raise CallerError(f"{url}: there is no bucket in it: write s3://bucket/prefix")
    fs = _fs()
    endpoint = settings.get("endpoint_override") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    scheme, _, address = endpoint.rpartition("://")
    region = settings.get("region") or _environment("AWS_REGION", "AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if address else fs.resolve_s3_region(parts.netloc)
    options = {
        "endpoint_override": address or None,
        "scheme": settings.get("scheme") or scheme or "https",
        "region": region,
        "connect_timeout": patience.connect_s,
        "request_timeout": patience.stall_s,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=patience.attempts),
        # In the foreground pyarrow 26 forgets a part that failed and then completes the upload without it.
        "background_writes": True,
    }
    small, large = (fs.S3FileSystem(allow_delayed_open=is_small, **options) for is_small in (True, False))
    return Place(url, "s3", small, large, (parts.netloc + unquote(parts.path)).strip("/"))


def _environment(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


@contextmanager
def told(place: Place, what: str) -> Iterator[None]:
    """Raise what an error of the store means, `what` being the subject: "blob ab12..."; raises Unavailable."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise Unavailable(_meaning(error, place, what)) from error


def _meaning(error: BaseException, place: Place, what: str) -> str:
    text, where = str(error), place.shown("")
    refusal = find_refusal(error)
    if isinstance(error, FileNotFoundError):
        return f"{what} is not in {where}"
    if refusal is not None:
        return f"{what} in {where}: {refusal}"
    if NO_ANSWER in text:
        return f"{what}: {where} does not answer ({_first_line(error)}): check its endpoint and the network, or try again"
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{what}: there is no space left in {where}: free some and try again"
    return f"{what}: {where} says {_first_line(error)}"


def find_refusal(error: BaseException | None) -> str | None:
    """Return why trying again is in vain, if that is what the store's error says."""
    return next((sentence for code, sentence in REFUSALS.items() if code in str(error)), None)


def is_of_store(error: BaseException) -> bool:
    """Return whether it was the store that failed; an error in what the bytes mean has neither an S3 code nor an errno."""
    return "AWS Error" in str(error) or (isinstance(error, OSError) and error.errno is not None)


def _first_line(error: BaseException) -> str:
    """Return what an error says, without where in which source and in which request it says so."""
    line = (str(error) or type(error).__name__).split("\n", maxsplit=1)[0].split(" (Request ID", maxsplit=1)[0]
    line = re.sub(r"^.* operation: (?=.)", "", line)
    line = re.sub(r"^.*AWS Error (.*?) operation: $", r"\1, and nothing more", line)
    line = re.sub(r"^curlCode: \d+, ", "", line)
    return line.split("; Details:", maxsplit=1)[0].split(" Detail:", maxsplit=1)[0].strip(". ") or type(error).__name__


def identity(place: Place, path: str, file: Any) -> str:
    """Return what changes whenever the file is written anew: its etag, else what fsspec tells, else when it was written.

    file : the open pyarrow.NativeFile of `path`
    """
    metadata = {as_text(key).lower(): as_text(value) for key, value in file.metadata().items()}
    if metadata.get("etag"):
        return "etag:" + metadata["etag"].strip('"')
    inner = getattr(getattr(place.filesystem, "handler", None), "fs", None)
    if inner is not None:
        inner.invalidate_cache()
        return f"ukey:{inner.ukey(path)}"
    return f"modified:{place.filesystem.get_file_info(path).mtime_ns}"


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
