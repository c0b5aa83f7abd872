"""The numeric fingerprint: two machines with the same one compute the same bits, as far as a probe can tell.

It names architecture, C library and NumPy, and hashes what the functions that the estimators stand on return for fixed
arguments. A probe is evidence, not proof: so workers also compare the digests of their states, every round.
"""

import hashlib
import platform

NUMERIC_VERSION = 1  # of muskox: raised whenever a release changes any bit of any result
PROBES = 4096  # arguments per function


def numeric_fingerprint() -> str:
    """Return the fingerprint of this process as a short text, such as ``x86_64-glibc2.36-numpy2.4-v1-0123456789ab``."""
    import numpy as np
    from scipy.special import exp2, expit, xlogy

    x = np.linspace(-40.0, 40.0, PROBES)
    matrix = (np.arange(64 * 31, dtype=np.float64) * 0.7548776662466927 % 1.0 - 0.5).reshape(64, 31)
    results = (
        np.logaddexp(0.0, x),
        expit(x),
        exp2(x),
        xlogy(1.0, np.abs(x)),
        np.einsum("ij,j->i", matrix, matrix[0], optimize=False),
        np.einsum("ij,i->j", matrix, matrix[:, 0], optimize=False),
        np.einsum("ji,j->i", matrix, matrix[:, 0], optimize=False),
        np.einsum("ji,i->j", matrix, matrix[0], optimize=False),
        np.bincount(np.arange(PROBES) % 7, weights=x),
        np.sqrt(np.abs(x)),
    )
    probe = hashlib.sha256(b"".join(np.ascontiguousarray(result).tobytes() for result in results)).hexdigest()[:12]
    libc, version = platform.libc_ver()
    numpy_version = ".".join(np.__version__.split(".")[:2])
    return f"{platform.machine()}-{libc}{version}-numpy{numpy_version}-v{NUMERIC_VERSION}-{probe}"
