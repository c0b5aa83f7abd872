"""What a Python program uses: connect to a cluster or start a local one, and run programs of one's own. The front door."""

from muskox.client.cluster import Cluster, connect
from muskox.client.cross_validation import cross_validate
from muskox.client.folder import LocalFolder, default_folder
from muskox.client.health import health_words
from muskox.client.launcher import Ended, down, local, up
from muskox.client.user_program import rounds
from muskox.client.user_tasks import tasks
from muskox.client.verification import Verdict, Verified, verify_model

__all__ = [
    "Cluster",
    "Ended",
    "LocalFolder",
    "Verdict",
    "Verified",
    "connect",
    "cross_validate",
    "default_folder",
    "down",
    "health_words",
    "local",
    "rounds",
    "tasks",
    "up",
    "verify_model",
]
