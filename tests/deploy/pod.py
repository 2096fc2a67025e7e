"""A store of images and pods of this run alone, and a pod in it, made from the manifests.

podman has no native sidecars, no Secret volumes and no httpGet probes: the sidecar becomes an ordinary container,
ConfigMap and Secret are folders in the layout that the kubelet gives them, and the cases ask what the probes would. Must
never touch what another store holds.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from expect import Failed, Refused, until

HOOKWARD, APP = "localhost/hookward:test", "localhost/app:test"
CONTAINERS_CONF = """[containers]
default_ulimits=["nofile=4096:4096","nproc=4096:4096"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
lock_type="file"
[network]
network_backend="netavark"
"""


class Store:
    """Images and containers below a folder."""

    def __init__(self, work):
        self.work = work
        self.folders = ["--root", work / "store", "--runroot", work / "state"]
        conf = work / "containers.conf"
        conf.write_text(CONTAINERS_CONF)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(conf)}

    def build(self, name, context, *more):
        """An image. Its time stamps are all the same."""
        self._run(
            "buildah",
            *self.folders,
            "bud",
            "--quiet",
            "--format",
            "docker",
            "--timestamp",
            "0",
            *more,
            "-t",
            name,
            context,
        )

    def podman(self, *arguments):
        """What it prints."""
        return self._run("podman", *self.command(), *arguments)

    def command(self):
        """Where this store is."""
        return [*self.folders, "--tmpdir", self.work / "libpod", "--network-config-dir", self.work / "networks"]

    def _run(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{command[0]} exits with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def refusal(self):
        """Raises [`Refused`] if this kernel runs no container at all."""
        try:
            self.podman("run", "--rm", "--network", "none", "--memory", "64m", HOOKWARD, "--version")
        except Failed as error:
            raise Refused(f"the kernel runs no container: {str(error).splitlines()[-1]}") from error

    def remove(self):
        """Ends and removes everything."""
        for arguments in (["pod", "rm", "--all", "--force", "--time", "0"], ["rm", "--all", "--force", "--time", "0"]):
            subprocess.run(
                ["podman", *self.command(), *arguments], env=self.environment, capture_output=True, check=False
            )
        for line in Path("/proc/mounts").read_text().splitlines():
            place = line.split()[1]
            if place.startswith(f"{self.work}/"):
                subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


class Volume:
    """A folder as the kubelet lays out a ConfigMap's or Secret's: files are links into `..data`, which is swapped."""

    def __init__(self, folder, files):
        self.folder, self.count = folder, 0
        folder.mkdir(parents=True)
        self.swap(files)

    def swap(self, files):
        """All at once, as the kubelet's atomic writer does it."""
        self.count += 1
        version = self.folder / f"..version_{self.count}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
            (version / name).chmod(0o444)
        new = self.folder / "..data_tmp"
        new.symlink_to(version.name)
        new.rename(self.folder / "..data")
        for name in files:
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for old in self.folder.iterdir():
            if old.is_symlink() and not old.exists():
                old.unlink()
            elif old.name.startswith("..version_") and old != version:
                shutil.rmtree(old)


class Pod:
    """The Deployment's pod, with an app of ours, at an address that this machine reaches."""

    def __init__(self, store, name, number, template, config, secrets):
        self.store, self.name = store, name
        folder = store.work / name
        self.config = Volume(folder / "config", {"hookward.toml": config})
        self.secrets = Volume(folder / "secrets", secrets)
        file = folder / "pod.yaml"
        file.write_text(json.dumps(self._manifest(template), indent=1))
        store.podman("kube", "play", "--network", "none", file)
        self._connect(number)
        self.address, self.health, self.app = ((f"10.77.{number}.2", port) for port in (8080, 9090, 3000))

    def _manifest(self, template):
        spec = copy.deepcopy(template["spec"])
        containers = spec.pop("initContainers", []) + spec["containers"]
        for container in containers:
            # The port mappings of podman need a network of podman's.
            for key in ("restartPolicy", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
                container.pop(key, None)
            container["imagePullPolicy"] = "Never"
            is_hookward = container["name"] == "hookward"
            container["image"] = HOOKWARD if is_hookward else APP
            if not is_hookward:
                container.pop("command")
        folders = {"hookward-config": self.config.folder, "hookward-secrets": self.secrets.folder}
        volumes = [
            {"name": v["name"], "hostPath": {"path": str(folders[v["name"]]), "type": "Directory"}}
            for v in spec["volumes"]
        ]
        spec.update(containers=containers, volumes=volumes, restartPolicy="Always")
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}

    def _connect(self, number):
        """A cable from here to the pod."""
        infra = self.store.podman("pod", "inspect", self.name, "--format", "{{.InfraContainerID}}").strip()
        pid = self.store.podman("inspect", infra, "--format", "{{.State.Pid}}").strip()
        here, inside = f"pod{number}", ["nsenter", "-t", pid, "-n"]
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", pid],
            ["ip", "address", "add", f"10.77.{number}.1/24", "dev", here],
            ["ip", "link", "set", here, "up"],
            [*inside, "ip", "address", "add", f"10.77.{number}.2/24", "dev", "eth0"],
            [*inside, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def container(self, name):
        """What podman knows of it."""
        return json.loads(self.store.podman("inspect", f"{self.name}-{name}"))[0]

    def pid(self, name="hookward"):
        """Its first process; 0 while it does not run."""
        return self.container(name)["State"]["Pid"]

    def logs(self, name):
        """Its output so far."""
        done = subprocess.run(
            ["podman", *self.store.command(), "logs", f"{self.name}-{name}"],
            env=self.store.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def reached(self, what, identifier):
        """How often the app said `begun` or `ended` of a delivery."""
        return sum(
            line.startswith(f"{what} ") and line.endswith(f" {identifier}") for line in self.logs("web").splitlines()
        )

    def signal(self, number):
        """Straight to hookward, so that podman takes its end for one of its own, and restarts it."""
        os.kill(self.pid(), number)

    def stop(self, container, seconds):
        """As the kubelet does it: SIGTERM, and SIGKILL after that time. Returns the exit code and the time it took."""
        begun = time.monotonic()
        self.store.podman("stop", "--time", str(seconds), f"{self.name}-{container}")
        took = time.monotonic() - begun
        return self.container(container)["State"]["ExitCode"], took

    def run(self, *command):
        """A command in hookward's container. Returns its exit code and output."""
        done = subprocess.run(
            ["podman", *self.store.command(), "exec", f"{self.name}-hookward", *command],
            env=self.store.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def ready(self, asks, limit=10):
        """Waits until /readyz says so. `asks` is the sender's `ask`."""
        return until(f"{self.name} is ready", lambda: asks(self.health, "GET", "/readyz")[0] == 200, limit)

    def remove(self):
        """At once."""
        self.store.podman("pod", "rm", "--force", "--time", "0", self.name)


if __name__ == "__main__":
    # What a run that was interrupted has left.
    Store(Path(sys.argv[1])).remove()
