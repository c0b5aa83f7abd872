"""The keeper's files, in Apache ZooKeeper's formats: transaction log, snapshots, and what a start makes of them."""
