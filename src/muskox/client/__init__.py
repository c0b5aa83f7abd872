"""What a Python program uses: connect to a cluster or start a local one, and run programs of one's own. The front door.

Searches are imported when first used: they stand on scikit-learn, whose import costs a second.
"""

from typing import TYPE_CHECKING

from muskox.client.cluster import Cluster, connect
from muskox.client.cross_validation import cross_validate
from muskox.client.folder import LocalFolder, default_folder
from muskox.client.health import health_words
from muskox.client.importance import coefficients, permutation_importance
from muskox.client.launcher import Ended, down, local, up
from muskox.client.leakage import check_leakage
from muskox.client.suspicion import LeakageWarning, OverfittingWarning
from muskox.client.user_program import rounds
from muskox.client.user_tasks import tasks
from muskox.client.verification import Verdict, Verified, verify_model
from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.client.search import GridSearch, RandomizedSearch

__all__ = [
    "Cluster",
    "Ended",
    "GridSearch",
    "LeakageWarning",
    "LocalFolder",
    "OverfittingWarning",
    "RandomizedSearch",
    "Verdict",
    "Verified",
    "check_leakage",
    "coefficients",
    "connect",
    "cross_validate",
    "default_folder",
    "down",
    "health_words",
    "local",
    "permutation_importance",
    "rounds",
    "tasks",
    "up",
    "verify_model",
]

__getattr__ = lazy(__name__, {"search": ("GridSearch", "RandomizedSearch")})
