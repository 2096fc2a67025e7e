"""Processes under measurement: each on one core, CPU time and memory from /proc, threads and children included."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))[:2]
PROXY_CORE = CORES[0]
LOAD_CORE = CORES[-1]


def raise_open_files(wanted: int) -> int:
    """Raise the limit of open files to `wanted`, or as far as the kernel lets this user, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (ValueError, OSError):
            continue
        return limit
    return soft


def start(command: list[str], core: int, log: Path, **extra: object) -> subprocess.Popen:
    """Start `command` pinned to `core`; what it says on stderr goes to `log`, its stdout (access logs) nowhere."""
    with log.open("ab") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # single-threaded here
            **extra,
        )


def stop(process: subprocess.Popen) -> None:
    """End a process of ours and all that it started; each has a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def prefer(pids: list[int], nice: int) -> bool:
    """Give every thread of these processes this priority, and their sessions; False where the user may not.

    Where the kernel groups by session, a thread's own priority counts only within it.
    """
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)
            except PermissionError:
                return False
            except ProcessLookupError:
                continue
    return True


def await_port(port: int, process: subprocess.Popen, log: Path, seconds: float = 20) -> None:
    """Wait until something listens at `port`; raise with the end of the log when the process ends before."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} does not listen at {port}: {log.read_text(errors='replace')[-800:]}")


def _stat(pid: int) -> list[str]:
    # The name may hold spaces and parentheses: the fields begin after the last one.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()


def tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, at = [root], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def cpu(pids: list[int]) -> tuple[float, float]:
    """User and system seconds so far of these processes, all threads, and of children that have ended."""
    user = system = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = [int(field) for field in _stat(pid)[11:15]]
            user += fields[0] + fields[2]
            system += fields[1] + fields[3]
    return user / TICK, system / TICK


def resident(pids: list[int], field: str = "VmRSS") -> int:
    """Resident memory of these processes in KiB: `VmRSS` now, `VmHWM` at most."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
    return total


def proportional(pids: list[int]) -> int:
    """Resident memory in KiB with what forked processes share counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total
