"""Kubernetes manifests, compose file and systemd unit: as the tools that know them see them, and as they were meant.

The schemas know types and names, not enums nor what refers to what: that is asserted here.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from expect import Failed, expect, holds
from sender import secret

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
RULES = ROOT / "deploy/prometheus/hookward.rules.yml"
RULE = KUBERNETES / "monitoring/prometheusrule.yaml"
TOOLS = Path(sys.prefix) / "bin"
# The first with native sidecars, and the newest that the schemas know; and one without them.
NATIVE, ORDINARY = ["1.29", "1.37"], ["1.28"]
# Kinds of the Prometheus operator, of which the schemas know nothing.
FOREIGN = {"PodMonitor", "PrometheusRule"}
# systemd's measure, 0 to 10, times ten.
EXPOSURE = 15

ENUMS = {
    "protocol": {"TCP", "UDP", "SCTP"},
    "restartPolicy": {"Always"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "scheme": {"HTTP", "HTTPS"},
}
TYPES = {
    "seccompProfile": {"RuntimeDefault"},
    "strategy": {"RollingUpdate", "Recreate"},
    "spec of Service": {"ClusterIP"},
}


def render(folder):
    """What `kubectl apply -k` would apply."""
    done = subprocess.run([TOOLS / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"kubectl kustomize {folder}: {done.stderr.strip()}")
    return list(yaml.safe_load_all(done.stdout))


def older(work):
    """The example with the ordinary container in place of the native sidecar."""
    folder = work / "older"
    shutil.copytree(KUBERNETES, folder, dirs_exist_ok=True)
    overlay = folder / "example/kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("../sidecar", "../container"))
    return render(folder / "example")


def the(objects, kind):
    """The only one of its kind."""
    (found,) = (found for found in objects if found["kind"] == kind)
    return found


def hookward_of(objects):
    """Its container, wherever it is."""
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    (found,) = (c for c in spec["containers"] + spec.get("initContainers", []) if c["name"] == "hookward")
    return found


def run(cases, options):
    """Every case."""
    objects = render(KUBERNETES / "example")
    ordinary = older(options.work)
    for version in NATIVE:
        cases.case(f"manifests are valid for {version}", lambda: valid(objects, version, options.work))
    for version in ORDINARY + NATIVE[-1:]:
        cases.case(f"with an ordinary container they are for {version}", lambda: valid(ordinary, version, options.work))
    cases.case("the validation can fail", lambda: can_fail(objects, options.work))
    for name, found in ("sidecar", objects), ("container", ordinary):
        cases.case(f"{name}: values", lambda: enums(found))
        cases.case(f"{name}: hookward may do nothing but serve", lambda: confined(found))
        cases.case(f"{name}: everything leads to hookward", lambda: leads(found))
        cases.case(f"{name}: the app is left as it was", lambda: untouched(found))
    cases.case("sidecar: starts before the app and ends after it", lambda: native(objects))
    cases.case("container: ends after the app", lambda: lingers(ordinary))
    cases.case("verify says yes to what is protected", lambda: verified(objects, ordinary))
    cases.case("… and no to what is not", lambda: not_verified(options.work))
    cases.case("container: components in any order", lambda: any_order(options.work))
    cases.case("the configuration passes hookward check", lambda: checks(objects, options))
    cases.case("PrometheusRule is deploy/prometheus/hookward.rules.yml", rules)
    cases.case("compose.yaml", lambda: compose(options))
    cases.case("hookward.service", unit)


def valid(objects, version, work):
    """By the schemas, strictly."""
    file = work / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(found for found in objects if found["kind"] not in FOREIGN))
    command = [TOOLS / "kubernetes-validate", "-k", version, "--strict", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed((done.stdout + done.stderr).strip())


def can_fail(objects, work):
    """A typing mistake and a wrong type are found."""
    for spoil in (
        lambda container: container.update(restartPolcy="Always"),
        lambda container: container["ports"][0].update(containerPort="8080"),
    ):
        spoiled = copy.deepcopy(objects)
        spoil(hookward_of(spoiled))
        try:
            valid(spoiled, NATIVE[0], work)
        except Failed:
            continue
        raise Failed("a spoiled manifest is valid")


def enums(objects):
    """Values that the API server would refuse."""

    def walk(value, path, parent):
        if isinstance(value, list):
            for item in value:
                walk(item, path, parent)
        if not isinstance(value, dict):
            return
        for key, inner in value.items():
            if key in ENUMS:
                expect(f"{path}.{key}", inner, *ENUMS[key])
            if key == "type" and parent in TYPES:
                expect(f"{path}.type", inner, *TYPES[parent])
            walk(inner, f"{path}.{key}", key)

    for found in objects:
        walk(found, found["kind"], "")
        for label in found["metadata"].get("labels", {}).values():
            holds(f"the label {label!r} is a string", isinstance(label, str))
    policy = the(objects, "NetworkPolicy")["spec"]
    expect("policyTypes", policy["policyTypes"], ["Ingress"])
    for port in hookward_of(objects)["ports"]:
        holds(f"{port['name']} is a port's name", re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", port["name"]))
        holds(f"{port['name']} is short enough", len(port["name"]) <= 15)


def confined(objects):
    """The container's rights."""
    container = hookward_of(objects)
    context = container["securityContext"]
    expect("capabilities", context["capabilities"], {"drop": ["ALL"]})
    expect("seccompProfile", context["seccompProfile"], {"type": "RuntimeDefault"})
    for key, value in {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "runAsUser": 65532,
    }.items():
        expect(key, context[key], value)
    holds("memory is limited", container["resources"]["limits"]["memory"] == "128Mi")
    for mount in container["volumeMounts"]:
        expect(f"{mount['mountPath']} is read-only", mount.get("readOnly"), True)
        holds("whole folders, which are swapped", "subPath" not in mount)


def leads(objects):
    """Service, probes, policy and monitor name hookward's ports, and those are the ones that it listens on."""
    container, plan = hookward_of(objects), configuration(objects)
    port, health = (int(address.rpartition(":")[2]) for address in (plan["server"]["listen"], plan["admin"]["health"]))
    expect(
        "its ports",
        {p["name"]: p["containerPort"] for p in container["ports"]},
        {"hookward": port, "hookward-health": health},
    )
    expect("the Service's target", [p["targetPort"] for p in the(objects, "Service")["spec"]["ports"]], [port])
    pod = the(objects, "Deployment")["spec"]["template"]
    for any_container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
        mine = any_container is container
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "httpGet" in any_container.get(probe, {}):
                expect(
                    f"{any_container['name']}.{probe}",
                    any_container[probe]["httpGet"]["port"],
                    health if mine else port,
                )
    app = (
        pod["spec"]["containers"][0] if pod["spec"]["containers"][0] is not container else pod["spec"]["containers"][1]
    )
    expect("the app's address", app["command"][-2:], ["-H", "localhost"])
    holds("hookward looks for the app there", plan["server"]["upstream"].startswith("http://localhost:"))
    labels = pod["metadata"]["labels"].items()
    policy, monitor = the(objects, "NetworkPolicy")["spec"], the(objects, "PodMonitor")["spec"]
    holds("the NetworkPolicy selects the pod", policy["podSelector"]["matchLabels"].items() <= labels)
    expect("open ports", [p["port"] for rule in policy["ingress"] for p in rule["ports"]], [port, health])
    holds("the health port is Prometheus's alone", "from" in policy["ingress"][1])
    holds("the PodMonitor selects the pod", monitor["selector"]["matchLabels"].items() <= labels)
    expect(
        "what is scraped",
        [(e["port"], e["path"]) for e in monitor["podMetricsEndpoints"]],
        [("hookward-health", "/metrics")],
    )
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    expect(
        "the ConfigMap",
        volumes[mounts["/etc/hookward"]]["configMap"]["name"],
        the(objects, "ConfigMap")["metadata"]["name"],
    )
    for found in plan["routes"]["clerk"]["secrets"]:
        holds(f"{found['file']} is mounted", os.path.dirname(found["file"]) in mounts)


def untouched(objects):
    """What belongs to the app and its Service, but for what stands in example/app and the probes' port."""
    before, after = (the(found, "Deployment")["spec"] for found in (render(KUBERNETES / "example/base"), objects))
    expect("the selector", after["selector"], before["selector"])
    app = next(c for c in after["template"]["spec"]["containers"] if c["name"] != "hookward")
    old = before["template"]["spec"]["containers"][0]
    for key in ("ports", "resources"):
        expect(key, app[key], old[key])
    for probe in ("readinessProbe", "livenessProbe"):
        expect(probe, {**app[probe], "httpGet": {**app[probe]["httpGet"], "port": "http"}}, old[probe])


def slept_before_the_end(app):
    """What the app's preStop sleeps."""
    command = app["lifecycle"]["preStop"]["exec"]["command"]
    expect("preStop", command[0], "sleep")
    return int(command[1])


def native(objects):
    """An init container that goes on, and a grace that is enough."""
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    (hookward,) = spec["initContainers"]
    expect("restartPolicy", hookward["restartPolicy"], "Always")
    expect("containers", [c["name"] for c in spec["containers"]], ["web"])
    holds("the app waits for it", "startupProbe" in hookward)
    holds("no preStop: SIGTERM comes after the app as it is", "lifecycle" not in hookward)
    # The app's last requests, then what a sidecar is always given.
    holds(
        "the grace is enough",
        spec["terminationGracePeriodSeconds"] >= slept_before_the_end(spec["containers"][0]) + 25 + 2,
    )


def lingers(objects):
    """An ordinary container, whose preStop ends with the app and within the grace."""
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    holds("no init container", not spec.get("initContainers"))
    hookward = hookward_of(objects)
    holds("containers have no restartPolicy", "restartPolicy" not in hookward)
    command = hookward["lifecycle"]["preStop"]["exec"]["command"]
    expect("preStop", command[:3], ["/hookward", "linger", "--at-most"])
    at_most, grace = int(command[3].removesuffix("s")), spec["terminationGracePeriodSeconds"]
    (app,) = (c for c in spec["containers"] if c["name"] == "web")
    holds("it is long enough for the app's preStop and last requests", at_most >= slept_before_the_end(app) + 25)
    holds("and ends before the grace does", at_most < grace)


def verify(objects, *arguments):
    """Code and text of deploy/kubernetes/verify."""
    done = subprocess.run(
        [sys.executable, KUBERNETES / "verify", *arguments],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"},
    )
    return done.returncode, done.stdout + done.stderr


def verified(*all_objects):
    """The example, in both shapes."""
    for objects in all_objects:
        expect("verify", verify(objects), (0, "Deployment web is behind hookward; terminationGracePeriodSeconds: 60\n"))
    expect("bad usage", verify(all_objects[0], "--past")[0], 2)
    expect("no object", verify([])[0], 1)


def changed(work, change, *components):
    """The example, with its base changed, rendered."""
    folder = work / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(KUBERNETES, folder)
    change(folder / "example/base", folder / "example/app")
    overlay = folder / "example/kustomization.yaml"
    if components:
        written = yaml.safe_load(overlay.read_text())
        overlay.write_text(yaml.safe_dump({**written, "components": [f"../{name}" for name in components]}))
    return render(folder / "example")


def replace(file, old, new):
    """Which must be there."""
    text = file.read_text()
    holds(f"{old!r} is in {file.name}", old in text)
    file.write_text(text.replace(old, new))


def not_verified(work):
    """What Kustomize renders without a word."""

    def no_label_on_the_service(base, app):
        replace(app / "kustomization.yaml", 'hookward/sidecar: "true"', 'any: "true"')

    def no_label_on_the_deployment(base, app):
        replace(app / "app.yaml", 'hookward/sidecar: "true"', 'any: "true"')

    def no_label(base, app):
        no_label_on_the_service(base, app)
        no_label_on_the_deployment(base, app)

    def another_port_first(base, app):
        first = "    - {name: metrics, port: 9464, targetPort: metrics}\n"
        replace(base / "service.yaml", "  ports:\n", "  ports:\n" + first)

    # Without probes/*, which fail by themselves where no Deployment has the label.
    for change, reason in [
        (no_label_on_the_service, "Service web: port http leads to http of Deployment web, past hookward"),
        (no_label_on_the_deployment, "no Deployment has a container hookward"),
        (no_label, "no Deployment has a container hookward"),
        (another_port_first, "Service web: port http leads to http of Deployment web, past hookward"),
    ]:
        code, text = verify(changed(work, change, "sidecar"))
        holds(f"{change.__name__}: {text}", code == 1 and reason in text)
    spoiled = changed(work, lambda base, app: None, "sidecar")
    hookward_of(spoiled)["readinessProbe"]["httpGet"]["port"] = 8080
    code, text = verify(spoiled)
    holds(text, code == 1 and "hookward's own readinessProbe asks port 8080" in text)

    def another_port(base, app):
        second = "    - {name: metrics, port: 9464, targetPort: 9464}\n"
        replace(base / "service.yaml", "targetPort: http\n", "targetPort: http\n" + second)

    both = changed(work, another_port, "sidecar")
    expect("a port past hookward", verify(both)[0], 1)
    expect("… that is meant so", verify(both, "--past", "metrics")[0], 0)


def any_order(work):
    """The app stays the first container: its probes are moved, hookward's own are not."""
    components = "container", "probes/readiness", "probes/liveness", "network-policy", "monitoring"
    leads(changed(work, lambda base, app: None, *components))


def configuration(objects):
    """The ConfigMap's hookward.toml."""
    return tomllib.loads(the(objects, "ConfigMap")["data"]["hookward.toml"])


def checks(objects, options):
    """With a secret where the Secret would be."""
    (options.work / "clerk").write_text(secret(b"a secret of thirty-two bytes, ok"))
    text = the(objects, "ConfigMap")["data"]["hookward.toml"].replace("/run/secrets/hookward", str(options.work))
    return passes(text, options)


def passes(text, options, environment=None):
    """`hookward check` says yes, and has nothing to say but notes."""
    file = options.work / "checked.toml"
    file.write_text(text)
    done = subprocess.run(
        [options.binary, "check", "--config", file],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0 or "warning" in done.stderr + done.stdout:
        raise Failed(done.stdout + done.stderr)


def rules():
    """The same groups; HOOKWARD_BLESS=1 writes them anew."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    if os.environ.get("HOOKWARD_BLESS"):
        head = RULE.read_text().partition("\nspec:\n")[0]
        body = RULES.read_text()
        body = body[body.index("groups:") :]
        RULE.write_text(
            head + "\nspec:\n" + "".join(f"  {line}" if line.strip() else line for line in body.splitlines(True))
        )
    expect(
        "HOOKWARD_BLESS=1 tests/deploy/run manifests: groups",
        yaml.safe_load(RULE.read_text())["spec"]["groups"],
        groups,
    )
    holds("there are alerts", any("alert" in rule for group in groups for rule in group["rules"]))


def compose(options):
    """In the shape of a pod."""
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    expect("services", sorted(services), ["app", "hookward", "redis"])
    expect("the app's network", services["app"]["network_mode"], "service:hookward")
    holds("no port but hookward's is published", not any("ports" in services[name] for name in ("app", "redis")))
    holds("… and those on this machine alone", all(p.startswith("127.0.0.1:") for p in services["hookward"]["ports"]))
    expect("the app's address", services["app"]["command"][-2:], ["-H", "localhost"])
    expect("rights", (services["hookward"]["read_only"], services["hookward"]["cap_drop"]), (True, ["ALL"]))
    holds("Redis drops nothing", "noeviction" in services["redis"]["command"])
    build = services["hookward"]["build"]
    holds("the Dockerfile is there", (ROOT / "deploy" / build["context"] / build["dockerfile"]).is_file())
    text = (ROOT / "deploy/compose.hookward.toml").read_text()
    passes(text, options, {"CLERK_WEBHOOK_SIGNING_SECRET": secret(b"a secret of thirty-two bytes, ok")})


def unit():
    """Hardened, by systemd's own measure."""
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}"]
    done = subprocess.run(
        [*command, ROOT / "deploy/systemd/hookward.service"], capture_output=True, text=True, check=False
    )
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    if done.returncode != 0:
        raise Failed(last)
    return last.partition(": ")[2]
