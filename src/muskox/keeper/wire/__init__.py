"""Bytes of ZooKeeper's protocol and files, and nothing else: pure codecs that know no tree, no session and no socket."""
