"""A real Prometheus scrapes two real hookwards that get genuine, forged and repeated webhooks.

Every query of the dashboard has to give something, every rule has to be evaluated without an error, and the numbers have to
be those of what was sent. The second hookward has a replay store that is down. Must never count on what an earlier run
left behind, nor leave a process.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/hookward.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/hookward.json"
KEY = b"a key of just thirty-two bytes.."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATIENCE = 30
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


class App(http.server.BaseHTTPRequestHandler):
    """Answers 200; or what `x-answer` says; or nothing at all."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = self.headers.get("x-answer", "200")
        time.sleep(float(self.headers.get("x-delay", 0)))
        if answer == "none":
            self.close_connection = True
            return
        self.send_response(int(answer))
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, true):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = true()
            if found:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not in {PATIENCE} s: {what}")


def get(port, target, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", target, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type"), answer.read().decode()
    finally:
        connection.close()


class Hookward:
    """One process, its ports and its configuration."""

    def __init__(self, binary, work, name, app, more):
        self.port, self.health = free_port(), free_port()
        self.config = work / f"{name}.toml"
        self.text = f"""
[server]
listen = "127.0.0.1:{self.port}"
upstream = "http://127.0.0.1:{app}"
[admin]
health = "127.0.0.1:{self.health}"
[routes.clerk]
path = "/clerk"
provider = "clerk"
secrets = [{{ label = "current", insecure_value = "{SECRET}" }}]
events = ["user.*"]
{more}
"""
        self.config.write_text(self.text)
        self.log = open(work / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [binary, "run", "--config", str(self.config)], stdout=self.log, stderr=self.log, cwd=work
        )
        wait_for(f"{name} is ready", lambda: get(self.health, "/readyz")[0] == 200)

    def post(self, path="/clerk", name="msg_1", key=KEY, age=0, event="user.created", **headers):
        body = json.dumps({"type": event, "data": {"id": name}}).encode()
        stamp = str(int(time.time()) - age)
        mac = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signed = {"svix-id": name, "svix-timestamp": stamp, "svix-signature": "v1," + base64.b64encode(mac).decode()}
        extra = {f"x-{header}": str(value) for header, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body=body, headers={**signed, **extra})
            return connection.getresponse().status
        finally:
            connection.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Prometheus:
    """A server of this run alone."""

    def __init__(self, work, targets):
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "hookward", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}]}
            ],
        }
        # JSON is YAML.
        path = work / "prometheus.yml"
        path.write_text(json.dumps(config))
        self.log = open(work / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={path}",
                f"--storage.tsdb.path={work / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        wait_for("Prometheus is ready", lambda: get(self.port, "/-/ready")[0] == 200)

    def api(self, path, **parameters):
        target = f"/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        status, _, text = get(self.port, target)
        answer = json.loads(text)
        assert status == 200 and answer["status"] == "success", f"{parameters}: {text}"
        return answer["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]

    def value(self, expression):
        result = self.query(expression)
        assert len(result) == 1, f"{expression}: {result}"
        return float(result[0]["value"][1])

    def stop(self):
        self.process.terminate()
        self.process.wait(15)
        self.log.close()


def traffic(hookward, round_number):
    """One round of everything that can happen; the same again is told by its round."""
    def name(what):
        return f"msg_{what}_{round_number}"

    assert hookward.post(name=name("ok")) == 200
    assert hookward.post(name=name("ok")) == 200, "a duplicate"
    assert hookward.post(name=name("filtered"), event="sms.created") == 204
    assert hookward.post(name=name("forged"), key=b"another") == 401
    assert hookward.post(name=name("old"), age=3600) == 401
    assert hookward.post(name=name("ahead"), age=-20) == 200
    assert hookward.post(name=name("fails"), answer=503) == 503
    assert hookward.post(name=name("silent"), answer="none") == 502
    assert hookward.post(path="/elsewhere") == 200
    assert hookward.post(path="/late", name=name("late")) == 503, "its list was never fetched"
    waiting = threading.Thread(target=hookward.post, kwargs={"name": name("twice"), "delay": 0.5})
    waiting.start()
    time.sleep(0.2)
    assert hookward.post(name=name("twice"), delay=0.5) == 200
    waiting.join()


EXPECTED = {
    # Of each round.
    'hookward_requests_total{route="clerk",outcome="forwarded"}': 4,
    'hookward_requests_total{route="clerk",outcome="duplicate"}': 2,
    'hookward_requests_total{route="clerk",outcome="filtered"}': 1,
    'hookward_requests_total{route="clerk",outcome="signature_mismatch"}': 1,
    'hookward_rejects_total{route="clerk",code="signature_mismatch"}': 1,
    'hookward_rejects_total{route="clerk",code="timestamp_too_old"}': 1,
    'hookward_rejects_total{route="clerk",code="upstream_invalid"}': 1,
    'hookward_requests_total{route="",outcome="passed"}': 1,
    'hookward_verified_total{route="clerk",secret="current"}': 8,
    'hookward_upstream_responses_total{route="clerk",class="2xx"}': 3,
    'hookward_upstream_responses_total{route="clerk",class="5xx"}': 1,
    'hookward_request_duration_seconds_count{route="clerk"}': 10,
    'hookward_upstream_duration_seconds_count{route="clerk"}': 5,
    'hookward_added_duration_seconds_count{route="clerk"}': 5,
    'hookward_clock_skew_seconds_count{route="clerk",direction="ahead"}': 1,
    "hookward_replay_waits_total": 1,
    "hookward_replay_unknown_total": 1,
}


def check_formats(hookward):
    """Both formats are what their names say; promtool reads the older one."""
    status, media_type, text = get(hookward.health, "/metrics")
    assert (status, media_type) == (200, "text/plain; version=0.0.4; charset=utf-8"), media_type
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert checked.returncode == 0 and not checked.stderr.strip(), checked.stdout + checked.stderr
    status, media_type, text = get(hookward.health, "/metrics", {"accept": OPEN_METRICS})
    assert (status, media_type) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), media_type
    assert text.endswith("\n# EOF\n")


def dashboard_queries():
    """Every query, with what Grafana would put in."""
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job", "route"}, variables
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*").replace("$route", ".*")
            assert "$" not in expression, expression
            yield panel["title"], expression


def check(prometheus, hookward, broken, rounds):
    targets = prometheus.api("targets")["activeTargets"]
    assert len(targets) == 2 and all(target["health"] == "up" for target in targets), targets

    me = f'instance="127.0.0.1:{hookward.health}"'
    for selector, of_each in EXPECTED.items():
        selector = selector.replace("{", "{" + me + ",") if "{" in selector else f"{selector}{{{me}}}"
        value = prometheus.value(selector)
        assert value == of_each * rounds, f"{selector} is {value}, not {of_each * rounds}"
    ago = prometheus.value(f'time() - hookward_route_last_success_timestamp_seconds{{{me},route="clerk"}}')
    assert 0 <= ago < 60, ago
    assert not prometheus.query('hookward_route_last_success_timestamp_seconds{route="late"}'), "it never had one"

    queries = list(dashboard_queries())
    empty = [f"{title}: {expression}" for title, expression in queries if not prometheus.query(expression)]
    assert len(queries) > 25 and not empty, "\n".join(["without a result:", *empty])
    # Of a route without deliveries there is no quantile; of the others there is.
    values = {text: [result["value"][1] for result in prometheus.query(text)] for _, text in queries}
    nan = [expression for expression, found in values.items() if all(value == "NaN" for value in found)]
    assert not nan, nan

    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == RULES.read_text().count("- alert: "), rules
    selectors = set()
    for rule in rules:
        assert rule["health"] == "ok" and not rule.get("lastError"), rule
        prometheus.query(rule["query"])
        selectors |= set(re.findall(r"(hookward_[a-z_]+(?:\{[^}]*\})?)", rule["query"]))
    # An alert on what is never there never fires.
    missing = [selector for selector in selectors if not prometheus.query(selector)]
    assert len(selectors) > 10 and not missing, f"asked for by a rule, and not there: {missing}"

    states = {rule["name"]: rule["state"] for rule in rules}
    for alert in ["HookwardReloadFailed", "HookwardReplayStoreDown", "HookwardReplayUnknown", "HookwardListStale"]:
        assert states[alert] != "inactive", f"{alert}: {states}"
    for alert in ["HookwardNoSuccess", "HookwardOverloaded", "HookwardReplayEvicted", "HookwardNotEnforcing"]:
        assert states[alert] == "inactive", f"{alert}: {states}"
    down = f'{{instance="127.0.0.1:{broken.health}"}}'
    assert prometheus.value(f"hookward_replay_store_errors_total{down}") > 0
    print(f"   {len(queries)} queries of the dashboard and {len(rules)} rules gave what they should")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--work", type=pathlib.Path, required=True)
    arguments = arguments.parse_args()
    work = arguments.work
    os.environ.pop("HOOKWARD_CONFIG", None)

    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    nobody = free_port()
    late = f"""
[routes.late]
path = "/late"
provider = "clerk"
secrets = [{{ label = "current", insecure_value = "{SECRET}" }}]
allow_ips = ["own", "svix"]
[ip_lists.own]
url = "https://127.0.0.1:{nobody}/list.json"
refresh = "1h"
"""
    with contextlib.ExitStack() as stack:
        started = []
        stack.callback(lambda: [each.stop() for each in reversed(started)])
        try:
            hookward = Hookward(arguments.binary, work, "hookward", app.server_port, late)
            started.append(hookward)
            store = f'[replay]\nstore = "redis://127.0.0.1:{nobody}"\n'
            broken = Hookward(arguments.binary, work, "broken", app.server_port, store)
            started.append(broken)
            print("-- formats")
            check_formats(hookward)
            prometheus = Prometheus(work, [hookward.health, broken.health])
            started.append(prometheus)
            print("-- Prometheus")
            scraped = f'hookward_build_info{{instance="127.0.0.1:{broken.health}"}}'
            wait_for("the first scrape", lambda: prometheus.query(scraped))
            rounds = 3
            for number in range(rounds):
                traffic(hookward, number)
                assert broken.post(name=f"msg_{number}") == 503
                time.sleep(1.5)
            # Refused, because it takes protection away.
            hookward.config.write_text(hookward.text.replace('path = "/clerk"', 'path = "/klerk"'))
            hookward.process.send_signal(signal.SIGHUP)
            refused = "hookward_config_last_reload_successful == 0"
            wait_for("the reload is refused", lambda: prometheus.query(refused))
            time.sleep(2.5)
            check_formats(hookward)
            check(prometheus, hookward, broken, rounds)
        except Exception:
            for log in sorted(work.glob("*.log")):
                print(f"== {log.name}", *log.read_text(errors="replace").splitlines()[-30:], sep="\n", file=sys.stderr)
            raise
    print("metrics: all as expected")


main()
