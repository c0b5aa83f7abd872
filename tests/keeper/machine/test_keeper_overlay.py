"""The tree to be: what it keeps beside znodes."""

from raw import OPEN
from world import World

from muskox.keeper.machine.overlay import ACLS_SHARED_BYTES_MAX
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import Acl, Id, SetAclRequest


def test_equal_acls_are_one_in_memory_and_the_open_one_is_known() -> None:
    world = World()
    world.open(1)
    nodes = world.machine.database.tree.nodes
    for path in ("/a", "/b"):
        world.create(1, path)
        world.ask(1, OpCode.SET_ACL, SetAclRequest(path, (Acl(31, Id("ip", "127.0.0.1")),), -1))
    assert nodes["/a"].acl is nodes["/b"].acl
    world.ask(1, OpCode.SET_ACL, SetAclRequest("/a", OPEN * 2, -1))
    assert nodes["/a"].acl is nodes["/"].acl


def test_acls_that_no_znode_has_any_more_take_no_memory_without_end() -> None:
    world = World()
    world.open(1)
    world.create(1, "/a")
    size = ACLS_SHARED_BYTES_MAX // 16
    for index in range(40):
        acl = (*OPEN, Acl(1, Id("digest", f"{index}{'u' * size}:x")))
        assert world.ask(1, OpCode.SET_ACL, SetAclRequest("/a", acl, -1))[-1].err == 0
    kept = world.machine.database.overlay.acls
    assert len(kept) > 2
    assert sum(len(each.id.id or "") for acl in kept for each in acl) <= ACLS_SHARED_BYTES_MAX + size
