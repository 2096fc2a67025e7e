"""The pod that the manifests make: what reaches its app, how it follows a swap, how it ends.

Each case leaves the pod running for the next one. Must never count an answer as a proof that the app was not reached:
the app says itself what reached it.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

import manifests
import sender
from expect import expect, holds, until
from pod import Pod, Store
from sender import Later, ask, connects, deliver

OLD, NEW, STRANGER = (text.ljust(32, b".") for text in (b"the key of today", b"the key of tomorrow", b"somebody else"))
# What the kubelet leaves a sidecar whose app used up the pod's grace.
LAST_SECONDS = 2
# Shortened from some seconds: when nobody sends to a deleted pod any more, and the app's preStop.
FORGOTTEN, PRE_STOP = 1.0, 1.6
MIB = 1024 * 1024
# More than limits.max_connections.
CROWD = 1100


def run(cases, options):
    """Every case."""
    objects = manifests.render(manifests.KUBERNETES / "example")
    template = manifests.the(objects, "Deployment")["spec"]["template"]
    config = manifests.the(objects, "ConfigMap")["data"]["hookward.toml"]
    store = Store(options.work)
    store.refusal()

    ordinary = manifests.the(manifests.older(options.work), "Deployment")["spec"]["template"]

    def pod(name, number, of=template):
        return Pod(store, name, number, of, config, {"clerk": sender.secret(OLD)})

    web = pod("web", 1)
    try:
        web.ready(ask)
        cases.case("hookward healthcheck, in the pod", lambda: healthcheck(web))
        cases.case("idle memory", lambda: idle_memory(web))
        cases.case("non-root, no rights, read-only, as the kernel has it", lambda: confined(web))
        cases.case("a genuine event reaches the app, a forged one does not", lambda: events(web))
        cases.case("nobody reaches the app but through hookward", lambda: alone(web))
        cases.case("a swapped Secret is seen without a restart", lambda: secret_swap(web))
        cases.case("a swapped ConfigMap is seen without a restart", lambda: config_swap(web, config))
        cases.case("SIGTERM lets a running delivery end", lambda: drains(web))
        cases.case("one that hangs is told from one that lives", lambda: hangs(web))
        cases.case("a flood stays below the memory limit", lambda: flooded(web))
        cases.case("kill -9 is followed by a restart", lambda: killed(web))
        cases.case("linger ends with the app", lambda: lingers(web))
        web.remove()
        web = pod("last", 2)
        web.ready(ask)
        cases.case("a rollout loses nothing", lambda: rollout(web, pod("next", 3), native_end))
        cases.case(
            "nor with ordinary containers",
            lambda: rollout(pod("old", 6, ordinary), pod("new", 7, ordinary), ordinary_end),
        )
        cases.case("who comes after the app is answered within 2 s", lambda: late(web, pod("late", 4)))
        cases.case("an app that used up the grace", lambda: used_up(pod("slow", 5)))
    finally:
        store.remove()


def healthcheck(pod):
    """Alive and ready, and the configuration holds where it is mounted."""
    expect("healthcheck", pod.run("/hookward", "healthcheck")[0], 0)
    expect("healthcheck --ready", pod.run("/hookward", "healthcheck", "--ready")[0], 0)
    expect(
        "healthcheck of a port where nobody is", pod.run("/hookward", "healthcheck", "--address", "127.0.0.1:9")[0], 1
    )
    code, text = pod.run("/hookward", "check")
    expect("check", code, 0)
    holds("no warning", "warning" not in text)


def cgroup(pod):
    """Folder and names of its memory controller, either version."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pod.pid()}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory" + path), "memory.usage_in_bytes", "memory.limit_in_bytes"
    return Path("/sys/fs/cgroup" + lines[0][2]), "memory.current", "memory.max"


def idle_memory(pod):
    """From the container's cgroup, and beside it what of that is its own."""
    folder, usage, limit = cgroup(pod)
    expect("the limit", int((folder / limit).read_text()), 128 * MIB)
    used = int((folder / usage).read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    own = int(stat.get("total_rss", stat.get("anon", 0)))
    resident = next(int(line.split()[1]) * 1024 for line in status(pod) if line.startswith("VmRSS"))
    holds("it is what the request says, at most", used <= 16 * MIB)
    holds("its own memory is below 6 MiB", own < 6 * MIB)
    mib = [f"{size / MIB:.1f} MiB" for size in (used, own, resident)]
    return f"cgroup {mib[0]}, of which anonymous {mib[1]}; resident with the binary {mib[2]}"


def status(pod):
    """Of the process, from the kernel."""
    return Path(f"/proc/{pod.pid()}/status").read_text().splitlines()


def confined(pod):
    """Not what the manifests ask for, but what the process has."""
    has = dict(line.split(":\t", 1) for line in status(pod) if ":\t" in line)
    for key in ("Uid", "Gid"):
        expect(key, has[key].split(), ["65532"] * 4)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        expect(key, int(has[key], 16), 0)
    expect("NoNewPrivs", has["NoNewPrivs"], "1")
    expect("Seccomp", has["Seccomp"], "2")
    mounts = {
        line.split()[4]: line.split()[5].split(",")
        for line in Path(f"/proc/{pod.pid()}/mountinfo").read_text().splitlines()
    }
    for place in ("/", "/etc/hookward", "/run/secrets/hookward"):
        holds(f"{place} is read-only", "ro" in mounts[place])
    holds("there is no shell", pod.run("/bin/sh", "-c", "true")[0] != 0)


def events(pod):
    """Through, refused, refused."""
    genuine = deliver(pod.address, OLD)
    expect("a genuine event", genuine.status, 200)
    expect("… in the app", pod.reached("ended", genuine.id), 1)
    forged = deliver(pod.address, STRANGER)
    expect("a forged event", (forged.status, forged.code), (401, "signature_mismatch"))
    unsigned = ask(pod.address, "POST", sender.PATH, b"{}")[0]
    expect("an unsigned one", unsigned, 400)
    expect("… in the app", pod.reached("begun", forged.id), 0)
    expect("all that reached it", pod.logs("web").count(f"begun POST {sender.PATH}"), 1)
    expect("a page", ask(pod.address, "GET", "/page")[0], 200)


def alone(pod):
    """It listens on the pod's localhost."""
    holds("hookward is reached", connects(pod.address))
    holds("the app is not", not connects(pod.app))


def secret_swap(pod):
    """The new key is taken, then the old one is not."""
    pid = pod.pid()
    expect("a key that is not there yet", deliver(pod.address, NEW).status, 401)
    begun = time.monotonic()
    pod.secrets.swap({"clerk": sender.secret(OLD), "clerk-next": sender.secret(NEW)})
    until("the new key is taken", lambda: deliver(pod.address, NEW).status == 200, 15)
    took = time.monotonic() - begun
    expect("the old key, meanwhile", deliver(pod.address, OLD).status, 200)
    pod.secrets.swap({"clerk": sender.secret(NEW)})
    until("the old key is not", lambda: deliver(pod.address, OLD).status == 401, 15)
    expect("the new key", deliver(pod.address, NEW).status, 200)
    pod.secrets.swap({"clerk": sender.secret(OLD)})
    until("the first key is back", lambda: deliver(pod.address, OLD).status == 200, 15)
    expect("its process", pod.pid(), pid)
    return f"in force after {took:.1f} s"


def config_swap(pod, config):
    """Another path is protected; a broken file changes nothing."""
    pid, other = pod.pid(), "/api/webhooks/other"
    expect("unprotected", ask(pod.address, "POST", other, b"{}")[0], 200)
    secrets = 'secrets = [{ file = "/run/secrets/hookward/clerk" }]'
    route = f'\n[routes.other]\npath = "{other}"\nprovider = "clerk"\n{secrets}\n'
    begun = time.monotonic()
    pod.config.swap({"hookward.toml": config + route})
    until("it is protected", lambda: ask(pod.address, "POST", other, b"{}")[0] == 400, 15)
    took = time.monotonic() - begun
    expect("a genuine event there", deliver(pod.address, OLD, path=other).status, 200)
    pod.config.swap({"hookward.toml": "nonsense"})
    until("the log says so", lambda: "not reloaded" in pod.logs("hookward"), 15)
    expect("still protected", ask(pod.address, "POST", other, b"{}")[0], 400)
    expect("ready all the same", ask(pod.health, "GET", "/readyz")[0], 200)
    pod.config.swap({"hookward.toml": config + route})
    expect("its process", pod.pid(), pid)
    return f"in force after {took:.1f} s"


def drains(pod):
    """The delivery that runs is answered, and the restarted container serves on."""
    pid = pod.pid()
    running = Later(deliver, pod.address, OLD, wait_ms=1500)
    until("the app has it", lambda: "begun" in pod.logs("web").splitlines()[-1], 5)
    pod.signal(signal.SIGTERM)
    until("no connection is accepted any more", lambda: not connects(pod.address), 1)
    answer = running.answer()
    expect("the delivery", answer.status, 200)
    holds("it ended after the signal", answer.seconds >= 1.4)
    expect("… in the app, runs that ended", pod.reached("ended", answer.id), 1)
    until("a new process", lambda: pod.pid() not in (0, pid), 10)
    pod.ready(ask)
    holds("it ended of itself", '"stopped"' in pod.logs("hookward"))


def hangs(pod):
    """Stopped in its tracks it answers no probe within the probe's time; when it goes on, so does everything."""
    os.kill(pod.pid(), signal.SIGSTOP)
    try:
        code, text = pod.run("/hookward", "healthcheck")
        holds(f"healthcheck fails: {text}", code == 1)
        waiting = Later(deliver, pod.address, OLD)
        time.sleep(0.5)
        expect("so far", waiting.outcome, None)
    finally:
        os.kill(pod.pid(), signal.SIGCONT)
    expect("the event that came meanwhile", waiting.answer().status, 200)
    expect("healthcheck", pod.run("/hookward", "healthcheck")[0], 0)


def flooded(pod):
    """Strangers hold as many connections as they get, each with most of a large body; genuine events pass still."""
    pid, (folder, usage, _) = pod.pid(), cgroup(pod)
    head = f"POST {sender.PATH} HTTP/1.1\r\nhost: a\r\nsvix-id: msg_1\r\nsvix-signature: v1,{'A' * 43}=\r\n"
    head += f"svix-timestamp: {int(time.time())}\r\ncontent-length: {MIB}\r\n\r\n"
    held, most, answers = [], 0, []
    try:
        for number in range(CROWD):
            connection = socket.create_connection(pod.address, timeout=5)
            connection.setblocking(False)
            held.append(connection)
            with contextlib.suppress(OSError):
                connection.send(head.encode() + b"x" * 200_000)
            if number % 50 == 0:
                most = max(most, int((folder / usage).read_text()))
        for _ in range(10):
            for connection in held:
                with contextlib.suppress(OSError):
                    connection.send(b"x" * 65536)
            answers.append(deliver(pod.address, OLD).status)
            most = max(most, int((folder / usage).read_text()))
    finally:
        for connection in held:
            connection.close()
    expect("its process", pod.pid(), pid)
    expect("genuine events meanwhile", set(answers), {200})
    return f"{CROWD} connections, at most {most / MIB:.0f} MiB"


def killed(pod):
    """As after an out-of-memory kill."""
    pid = pod.pid()
    pod.signal(signal.SIGKILL)
    _, took = until("a new process", lambda: pod.pid() not in (0, pid), 15)
    pod.ready(ask)
    expect("a genuine event", deliver(pod.address, OLD).status, 200)
    expect("a forged one", deliver(pod.address, STRANGER).status, 401)
    return f"after {took:.1f} s"


def lingers(pod):
    """The preStop of the ordinary container: as long as the app listens, and no longer."""
    expect("while the app listens", pod.run("/hookward", "linger", "--at-most", "500ms")[0], 1)
    waiting = Later(pod.run, "/hookward", "linger", "--at-most", "30s")
    time.sleep(0.7)
    expect("so far", waiting.outcome, None)
    code, _ = pod.stop("web", 20)
    expect("the app's exit code", code, 0)
    begun = time.monotonic()
    expect("linger", waiting.answer()[0], 0)
    holds("it ended with the app", time.monotonic() - begun < 2)
    holds("hookward runs on", connects(pod.address))


def native_end(pod):
    """The app's preStop, the app, then the sidecar."""
    time.sleep(PRE_STOP)
    expect("the app's exit code", pod.stop("web", 25)[0], 0)
    return pod.stop("hookward", LAST_SECONDS)


def ordinary_end(pod):
    """Both at the same time, each after its own preStop."""
    lingering = Later(pod.run, "/hookward", "linger", "--at-most", "50s")
    time.sleep(PRE_STOP)
    app = Later(pod.stop, "web", 25)
    expect("linger", lingering.answer()[0], 0)
    expect("the app, whose last answer is not out yet", app.outcome, None)
    ended = pod.stop("hookward", 25)
    expect("the app's exit code", app.answer()[0], 0)
    return ended


def rollout(old, new, end):
    """Events go on while one pod takes the other's place; `end` is the order in which the kubelet ends the old one."""
    old.ready(ask)
    new.ready(ask)
    endpoints = [old]
    answers = []
    ending = []

    def load():
        turn = 0
        while not ending:
            turn += 1
            pod = endpoints[turn % len(endpoints)]
            answers.append((pod, deliver(pod.address, OLD, wait_ms=turn % 5 * 60)))

    senders = [Later(load) for _ in range(4)]
    time.sleep(0.7)
    # The new pod is ready. Then the old one is deleted: its end begins, and the Service learns of it a while later.
    endpoints.append(new)
    time.sleep(0.7)
    slow = Later(deliver, old.address, OLD, wait_ms=3000)
    threading.Timer(FORGOTTEN, lambda: endpoints.remove(old)).start()
    code, took = end(old)
    expect("hookward's exit code", code, 0)
    holds("it ends when nothing runs any more", took < 4)
    time.sleep(0.5)
    ending.append(True)
    for thread in senders:
        thread.answer()
    expect("the slow one that ran at the end", slow.answer().status, 200)
    expect("answers other than 200", [answer for _, answer in answers if answer.status != 200], [])
    for pod in (old, new):
        begun = {line.rpartition(" ")[2] for line in pod.logs("web").splitlines() if line.startswith("begun POST")}
        sent = [answer.id for by, answer in answers if by is pod]
        holds("every event ran", set(sent) <= begun)
        holds("both pods had some", len(sent) > 5)
    return f"{len(answers)} events, hookward's end took {took:.1f} s"


def late(gone, pod):
    """Who does not know yet that the pod has ended gets an answer that makes him try again, not a closed socket."""
    holds("the ended pod takes nothing", not connects(gone.address))
    pod.ready(ask)
    running = Later(deliver, pod.address, OLD, wait_ms=800)
    until("the app has it", lambda: f"begun POST {sender.PATH}" in pod.logs("web"), 5)
    expect("the app's exit code", pod.stop("web", 25)[0], 0)
    expect("the one that ran", running.answer().status, 200)
    waiting = Later(deliver, pod.address, OLD)
    time.sleep(0.3)
    expect("it waits for the app", waiting.outcome, None)
    code, took = pod.stop("hookward", LAST_SECONDS)
    answer = waiting.answer()
    expect("the late one", (answer.status, answer.code), (503, "draining"))
    expect("hookward's exit code", code, 0)
    holds("it ended in time", took < LAST_SECONDS)
    return f"{took:.1f} s"


def used_up(pod):
    """The app is killed in the middle of a delivery: its sender is told, and hookward has its two seconds."""
    pod.ready(ask)
    running = Later(deliver, pod.address, OLD, wait_ms=15000)
    until("the app has it", lambda: f"begun POST {sender.PATH}" in pod.logs("web"), 5)
    pod.stop("web", 0)
    code, took = pod.stop("hookward", LAST_SECONDS)
    answer = running.answer()
    expect("the one that ran", (answer.status, answer.code), (502, "upstream_invalid"))
    expect("hookward's exit code", code, 0)
    holds("it ended in time", took < LAST_SECONDS)
    return f"{took:.1f} s"
