"""The fingerprint is the same in every process of a machine, whatever threads and core types its shell asks for."""

import os
import re
import subprocess
import sys

from muskox.runtime.fingerprint import numeric_fingerprint

PRINT = "from muskox.runtime.fingerprint import numeric_fingerprint; print(numeric_fingerprint())"


def test_it_names_what_bits_depend_on() -> None:
    assert re.fullmatch(r"\w+-\w*[\d.]*-numpy\d+\.\d+-v\d+-[0-9a-f]{12}", numeric_fingerprint())


def test_it_is_the_same_in_a_process_with_other_blas_settings() -> None:
    environment = {**os.environ, "OPENBLAS_CORETYPE": "NEHALEM", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    told = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == numeric_fingerprint()
