"""What was started, and is ended with the run. Must never end anything else."""

import subprocess
import time

START_LIMIT = 20


class Processes:
    """Those that run."""

    def __init__(self):
        self.running = []

    def start(self, command, log, **more):
        """Starts a command with its output in a file."""
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **more)
        self.running.append(process)
        return process

    def end(self):
        """Ends all."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(what, condition, process, log):
    """Until `condition` holds; an end of the process, or too long a wait, shows its log."""
    end = time.monotonic() + START_LIMIT
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{what} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)
