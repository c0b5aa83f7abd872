"""Who may do what: ACLs and the identities that a connection has proved.

Each scheme says which ids it takes in an ACL, and which proved id an ACL's id lets in. The rules, odd ones too, are Apache's.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

from muskox.keeper.wire.opcodes import ErrorCode, Permission
from muskox.keeper.wire.records import OPEN_ACL, Acl, AclList, Id

SUPER = "super"  # the scheme of an identity that may do everything; also SASL's user for whom each ACL of that scheme is open
IP_PART_MAX = 255
IP_BITS = 32
ACL_LENGTH_MAX = 1 << 20  # characters, once auth stands for who was proved
ACL_ENTRIES_MAX = 2_000  # the same: whoever asks for the znode makes the server look at each
ANYONE = Id("world", "anyone")
NUMBER = re.compile(r"[+-]?[0-9]{1,18}")  # what Java's parseInt takes
PRINCIPAL = re.compile(r"[^/@]*(/[^/@]*)?@[^/@]*|[^@]*")  # Kerberos's user/host@realm, or anything without a realm
SUBJECT_KEY = r"(?i:CN|C|L|ST|S|O|OU|T|IP|STREET|DC|UID|DNQ|DNQUALIFIER|SURNAME|GIVENNAME|INITIALS|GENERATION|SERIALNUMBER"
SUBJECT_KEY += r"|EMAIL|EMAILADDRESS|(?:OID\.)?[0-9]+(?:\.[0-9]+)+)"
SUBJECT_ESCAPE = r'\\(?:[,=+<>#;"\\\s]|[0-9A-Fa-f]{2})'
# Whoever writes the ids of ACLs must not make this try twice: white space belongs to one part only, and nothing is given back.
SUBJECT_VALUE = rf'(?:\s*+"(?:[^"\\]|{SUBJECT_ESCAPE})*+"\s*+|(?:[^",;+<>\\]|{SUBJECT_ESCAPE})*+)'
SUBJECT_PART = rf"\s*+{SUBJECT_KEY}\s*+={SUBJECT_VALUE}"
SUBJECT = re.compile(rf"(?:{SUBJECT_PART}(?:[,;+]{SUBJECT_PART})*+)?", re.DOTALL)


class Refusal(NamedTuple):
    """Why a request is not done: the code for its sender, and a sentence for a person."""

    code: ErrorCode
    reason: str


class Scheme(NamedTuple):
    """How identities of one kind work.

    `is_valid` says of an id whether an ACL may name it, `lets_in` of a proved and a granted id whether the one is meant by the
    other though they differ; `is_user` tells whether "auth" in an ACL stands for such an identity.
    """

    is_valid: Callable[[str], bool]
    lets_in: Callable[[str, str], bool] | None
    is_user: bool


def digest_identity(auth: bytes) -> Id:
    """Return the identity that "user:password" proves."""
    text = auth.decode("utf-8", "replace")
    user = text.split(":", 1)[0]
    return Id("digest", f"{user}:{b64encode(sha1(text.encode()).digest()).decode()}")


def fix_acl(path: str, acl: AclList | None, identities: tuple[Id, ...], known: frozenset[str]) -> AclList | Refusal:
    """Return `acl` without doubles and with "auth" replaced by the identities of the asker, or why it is no valid ACL.

    `known` are the schemes that this server takes.
    """
    if acl == OPEN_ACL:
        return OPEN_ACL
    entries = dict.fromkeys(acl or ())
    if has_null_beside(entries):
        return Refusal(ErrorCode.MARSHALLING, f"the ACL of {path} has null for a scheme or an id")
    fixed: list[Acl] = []
    length = 0
    for entry in entries:
        granted = fix_entry(path, entry, identities, known)
        if isinstance(granted, Refusal):
            return granted
        fixed += granted
        length += sum(len(each.id.scheme or "") + len(each.id.id or "") + 12 for each in granted)
        if length > ACL_LENGTH_MAX:
            return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} is longer than {ACL_LENGTH_MAX} characters")
        if len(fixed) > ACL_ENTRIES_MAX:
            return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} has more than {ACL_ENTRIES_MAX} entries")
    if not fixed:
        return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} is empty")
    return tuple(fixed)


def has_null_beside(entries: Iterable[Acl]) -> bool:
    """Return whether Apache stumbles over a null while it compares an entry with those before it."""
    before: set[tuple[int, str | None]] = set()
    for perms, (scheme, text) in entries:
        if (scheme is None or text is None) and (perms, scheme) in before:
            return True
        before |= {(perms, scheme), (perms, None)}
    return False


def fix_entry(path: str, entry: Acl, identities: tuple[Id, ...], known: frozenset[str]) -> list[Acl] | Refusal:
    """Return what one entry of an ACL stands for."""
    scheme, text = entry.id.scheme or "", entry.id.id
    if scheme == "auth":
        proved = [Acl(entry.perms, each) for each in identities if is_user(each, known)]
        return proved or Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} names auth, but the connection has proved no user")
    if scheme != "world" and scheme not in known:
        return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} has a scheme that is not known here: {scheme!r}")
    if text is None:
        return Refusal(ErrorCode.MARSHALLING, f"the ACL of {path} has null for an id")
    if text == "anyone" if scheme == "world" else SCHEMES[scheme].is_valid(text):
        return [entry]
    return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} has an id that is none of its scheme: {entry.id}")


def check_acl(path: str, acl: AclList, wanted: int, identities: tuple[Id, ...]) -> Refusal | None:
    """Return why an asker with `identities` may not do what needs one of the permissions `wanted`, or None if it may."""
    if acl is OPEN_ACL or not acl:
        return None
    if any(identity.scheme == SUPER for identity in identities):
        return None
    granted = [entry.id for entry in acl if entry.perms & wanted]
    if ANYONE in granted or not set(identities).isdisjoint(granted):
        return None
    if any(is_let_in(identity, granted) for identity in identities):
        return None
    return Refusal(ErrorCode.NO_AUTH, f"{path} gives no {Permission(wanted & -wanted).name} permission to this connection")


def is_let_in(proved: Id, granted: list[Id]) -> bool:
    """Return whether one of the ids `granted` means `proved`, though they differ."""
    scheme = SCHEMES.get(proved.scheme or "")
    if scheme is None or scheme.lets_in is None:
        return False
    lets_in, name = scheme.lets_in, proved.id or ""
    return any(each.scheme == proved.scheme and lets_in(name, each.id or "") for each in granted)


def is_user(identity: Id, known: frozenset[str]) -> bool:
    scheme = identity.scheme or ""
    return scheme in known and SCHEMES[scheme].is_user


def is_digest(text: str) -> bool:
    # Java's split drops empty strings at the end, so "user:" has one part.
    return len(text.rstrip(":").split(":")) == 2


def is_super_user(proved: str, _: str) -> bool:
    return proved == SUPER


def is_in_network(address: str, network: str) -> bool:
    at, place = network_met(network), network_met(address)
    if at is None or place is None:
        return False
    shift = IP_BITS - at[1]
    return at[0] >> shift == place[0] >> shift


def network_of(text: str) -> tuple[int, int] | None:
    """Return the IPv4 address and prefix bits that `text` names, or None; without a prefix it is one address."""
    address, slash, prefix = text.partition("/")
    parts = address.split(".")
    if len(parts) != 4 or not all(NUMBER.fullmatch(part) and 0 <= int(part) <= IP_PART_MAX for part in parts):
        return None
    bits = IP_BITS
    if slash:
        if not NUMBER.fullmatch(prefix) or not 0 <= int(prefix) <= IP_BITS:
            return None
        bits = int(prefix)
    number = 0
    for part in parts:
        number = number * 256 + int(part)
    return number, bits


network_met = lru_cache(ACL_ENTRIES_MAX * 2)(network_of)  # of ids that were found to be valid, so they are short


def mask_digests(acl: AclList) -> AclList:
    """Return `acl` as one sees it who may read but not administer: without the passwords' digests."""
    return tuple(
        Acl(entry.perms, Id("digest", (entry.id.id or "").partition(":")[0] + ":x"))
        if entry.id.scheme == "digest" and ":" in (entry.id.id or "")
        else entry
        for entry in acl
    )


SCHEMES = {
    "digest": Scheme(is_digest, None, is_user=True),
    "ip": Scheme(lambda text: network_of(text) is not None, is_in_network, is_user=False),
    "sasl": Scheme(lambda text: PRINCIPAL.fullmatch(text) is not None, is_super_user, is_user=True),
    "x509": Scheme(lambda text: SUBJECT.fullmatch(text) is not None, None, is_user=True),
}
ALWAYS_KNOWN = frozenset({"digest", "ip"})  # sasl and x509 are known where they are set up
