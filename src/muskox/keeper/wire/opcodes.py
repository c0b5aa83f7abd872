"""The numbers of the protocol: what is asked, what went wrong, which watch fired."""

from enum import IntEnum


class OpCode(IntEnum):
    """What a request asks for, and what a transaction in the log did."""

    ERROR = -1
    CREATE_SESSION = -10
    CLOSE_SESSION = -11
    NOTIFICATION = 0
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107


class ErrorCode(IntEnum):
    """What a reply says went wrong, in Apache's numbers."""

    OK = 0
    RUNTIME_INCONSISTENCY = -2
    MARSHALLING = -5
    UNIMPLEMENTED = -6
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_ACL = -114
    AUTH_FAILED = -115
    NO_WATCHER = -121
    RECONFIG_DISABLED = -123
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124
    QUOTA_EXCEEDED = -125


class EventType(IntEnum):
    """What happened to a watched znode."""

    NONE = -1
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


class WatchMode(IntEnum):
    """How long a watch lasts and how far it sees. A client may name the last two; the first comes with a read."""

    STANDARD = -1  # until it has fired
    PERSISTENT = 0
    RECURSIVE = 1  # persistent, and for all that lies below, too


class WatchesOf(IntEnum):
    """Which watches on a path a client checks or removes."""

    CHILDREN = 1
    DATA = 2
    ANY = 3


STATE_CONNECTED = 3  # the only KeeperState that a server puts into a watch event

XID_NOTIFICATION = -1
XID_PING = -2


class Permission(IntEnum):
    """One bit each in the permissions of an ACL."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class CreateFlag(IntEnum):
    """How a create request wants its znode."""

    PERSISTENT = 0
    EPHEMERAL = 1
    PERSISTENT_SEQUENTIAL = 2
    EPHEMERAL_SEQUENTIAL = 3
    CONTAINER = 4
    PERSISTENT_TTL = 5
    PERSISTENT_SEQUENTIAL_TTL = 6
