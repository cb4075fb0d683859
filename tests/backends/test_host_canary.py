from __future__ import annotations

import resource
import subprocess
import sys
import time

from backends._host_canary import READINGS, host_canary


def test_readings_are_some_milliseconds_of_one_thread() -> None:
    used = time.process_time()
    readings = host_canary()
    used = time.process_time() - used
    assert len(readings) == READINGS
    assert all(1e-4 < reading < 0.5 for reading in readings)
    # CPU time, which a busy machine does not lengthen; a tenth on the slowest of machines.
    assert used < 0.5
    assert sum(readings) > 0.8 * used - 0.02


def test_it_loads_no_framework_and_starts_no_thread() -> None:
    script = (
        "import sys, threading, os\n"
        "from backends._host_canary import host_canary\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "host_canary()\n"
        "print(len(os.listdir('/proc/self/task')) - before, {'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0 set()"


def test_its_memory_goes_back_to_the_kernel() -> None:
    def resident_pages() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1])

    host_canary()
    before = resident_pages()
    host_canary()
    assert (resident_pages() - before) * resource.getpagesize() < 1 << 20
