"""Who may do what: ACLs and the identities that a connection has proved.

Schemes: world, auth, digest and ip. The rules, odd ones too, are Apache's.
"""

import re
from base64 import b64encode
from hashlib import sha1
from typing import NamedTuple

from muskox.keeper.wire.opcodes import ErrorCode, Permission
from muskox.keeper.wire.records import OPEN_ACL, Acl, AclList, Id

SUPER = "super"  # the scheme of an identity that may do everything
IP_PART_MAX = 255
IP_BITS = 32
ACL_LENGTH_MAX = 1 << 20  # characters, once auth stands for who was proved
NUMBER = re.compile(r"[+-]?[0-9]{1,18}")  # what Java's parseInt takes


class Refusal(NamedTuple):
    """Why a request is not done: the code for its sender, and a sentence for a person."""

    code: ErrorCode
    reason: str


def digest_identity(auth: bytes) -> Id:
    """Return the identity that "user:password" proves."""
    text = auth.decode("utf-8", "replace")
    user = text.split(":", 1)[0]
    return Id("digest", f"{user}:{b64encode(sha1(text.encode()).digest()).decode()}")


def fix_acl(path: str, acl: AclList | None, identities: tuple[Id, ...]) -> AclList | Refusal:
    """Return `acl` without doubles and with "auth" replaced by the identities of the asker, or why it is no valid ACL."""
    if acl == OPEN_ACL:
        return OPEN_ACL
    fixed: list[Acl] = []
    for entry in dict.fromkeys(acl or ()):
        if entry.id.scheme == "world" and entry.id.id == "anyone":
            fixed.append(entry)
        elif entry.id.scheme == "auth":
            proved = [Acl(entry.perms, identity) for identity in identities if identity.scheme == "digest"]
            if not proved:
                return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} names auth, but the connection has proved no user")
            fixed.extend(proved)
        elif is_valid_id(entry.id):
            fixed.append(entry)
        else:
            return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} has an id that no scheme knows: {entry.id}")
    if sum(len(each.id.scheme or "") + len(each.id.id or "") + 12 for each in fixed) > ACL_LENGTH_MAX:
        return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} is too long")
    if not fixed:
        return Refusal(ErrorCode.INVALID_ACL, f"the ACL of {path} is empty")
    return tuple(fixed)


def is_valid_id(identity: Id) -> bool:
    if identity.id is None:
        return False
    match identity.scheme:
        case "digest":
            # Java's split drops empty strings at the end, so "user:" has one part.
            return len(identity.id.rstrip(":").split(":")) == 2
        case "ip":
            return network_of(identity.id) is not None
        case _:
            return False


def check_acl(path: str, acl: AclList, wanted: int, identities: tuple[Id, ...]) -> Refusal | None:
    """Return why an asker with `identities` may not do what needs one of the permissions `wanted`, or None if it may."""
    if acl is OPEN_ACL or not acl:
        return None
    if any(identity.scheme == SUPER for identity in identities):
        return None
    for entry in acl:
        if entry.perms & wanted and (
            (entry.id.scheme == "world" and entry.id.id == "anyone")
            or any(matches(identity, entry.id) for identity in identities)
        ):
            return None
    return Refusal(ErrorCode.NO_AUTH, f"{path} gives no {Permission(wanted & -wanted).name} permission to this connection")


def matches(proved: Id, granted: Id) -> bool:
    if proved.scheme != granted.scheme:
        return False
    if proved.scheme == "ip":
        return is_in_network(proved.id or "", granted.id or "")
    return proved.id == granted.id


def is_in_network(address: str, network: str) -> bool:
    at, place = network_of(network), network_of(address)
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


def mask_digests(acl: AclList) -> AclList:
    """Return `acl` as one sees it who may read but not administer: without the passwords' digests."""
    return tuple(
        Acl(entry.perms, Id("digest", (entry.id.id or "").partition(":")[0] + ":x"))
        if entry.id.scheme == "digest" and ":" in (entry.id.id or "")
        else entry
        for entry in acl
    )
