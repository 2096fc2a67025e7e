// An app, hookward in front of it, deliveries, and a real browser on the inspector; all of it ends with the test process.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = resolve(fileURLToPath(new URL(".", import.meta.url)), "../..");
export const binary = resolve(root, process.env.HOOKWARD_BIN ?? "target/release/hookward");
export const shots = join(root, "target/inspector");
mkdirSync(shots, { recursive: true });

export const SECRET = `whsec_${Buffer.from("the inspector test's own secret!").toString("base64")}`;
/** Of a sender whose secret is any text. */
export const PLAIN = "a secret of thirty-two characters";
const OTHER = `whsec_${Buffer.from("a secret that is somebody else's").toString("base64")}`;
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const now = () => Math.floor(Date.now() / 1000);

const endings = [];
export const atEnd = (ending) => endings.push(ending);
export async function end() {
  for (const ending of endings.reverse()) await ending();
  endings.length = 0;
}

export async function until(what, condition, patience = 10_000) {
  const late = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > late) throw new Error(`not in time: ${what}`);
    await sleep(25);
  }
}

export function freePort() {
  return new Promise((done, fail) => {
    const server = net.createServer();
    server.on("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Answers what a path's name says: `/api/webhooks/guarded` with 401, and so on. */
export async function startApp() {
  const answers = { "/api/webhooks/guarded": [401], "/api/webhooks/signin": [307, { location: "/sign-in" }], "/api/webhooks/broken": [500] };
  let reached = 0;
  const server = http.createServer((request, response) => {
    reached += 1;
    request.resume().on("end", () => {
      const [status, headers] = answers[request.url.split("?")[0]] ?? [200];
      response.writeHead(status, headers);
      response.end("ok");
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  atEnd(() => new Promise((done) => (server.closeAllConnections(), server.close(done))));
  return { port: server.address().port, reached: () => reached };
}

export async function startHookward(app, { port, inspector, only, routes } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "inspector-"));
  port ??= await freePort();
  inspector ??= await freePort();
  const config = join(directory, "hookward.toml");
  const route = (name, path, more = "") =>
    `[routes.${name}]\npath = "${path}"\nprovider = "clerk"\nsecrets = [{ label = "current", env = "SECRET" }]\n${more}\n`;
  const usual = [
    route("clerk", "/api/webhooks/clerk"),
    route("guarded", "/api/webhooks/guarded"),
    route("signin", "/api/webhooks/signin"),
    route("broken", "/api/webhooks/broken"),
    route("office", "/api/webhooks/office", 'allow_ips = ["svix", "203.0.113.0/24"]\nevents = ["user.*"]'),
    `[routes.stripe]\npath = "/api/webhooks/stripe"\nprovider = "stripe"\nsecrets = [{ label = "live", env = "SECRET" }]\n`,
    route("tried", "/api/webhooks/tried", 'insecure_report = ["signature"]'),
  ];
  const text = [
    `[server]\nlisten = "127.0.0.1:${port}"\nupstream = "http://127.0.0.1:${app.port}"`,
    `[admin]\ninspector = "127.0.0.1:${inspector}"`,
    ...(routes ?? usual),
  ]
    .filter((table) => !only || !table.startsWith("[routes.") || only.some((name) => table.startsWith(`[routes.${name}]`)))
    .join("\n");
  writeFileSync(config, text);
  let log = "";
  const child = spawn(binary, ["run", "--config", config], { env: { ...process.env, SECRET, PLAIN } });
  for (const output of [child.stdout, child.stderr]) output.on("data", (data) => (log += data));
  const exited = new Promise((done) => child.on("exit", done));
  const stop = async (signal = "SIGTERM") => {
    child.kill(signal);
    await exited;
  };
  atEnd(async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  });
  await until("hookward is ready", () => {
    if (child.exitCode !== null) throw new Error(log);
    return log.includes('"ready"');
  });
  return { port, inspector, url: `http://127.0.0.1:${inspector}`, stop, log: () => log, config, text };
}

/** Posts a delivery, genuine unless `forged` or, on its way, `rewritten`. Resolves to the answer's status. */
export function deliver(gate, { path = "/api/webhooks/clerk", id, type = "user.created", forged = false, at = now(), signed = true, headers = {}, rewritten = false } = {}) {
  const event = { data: { id: "user_2x" }, object: "event", type };
  const body = JSON.stringify(event);
  const key = Buffer.from((forged ? OTHER : SECRET).slice("whsec_".length), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");
  const own = { "svix-id": id, "svix-timestamp": String(at), "svix-signature": `v1,${signature}` };
  return raw(gate, { method: "POST", path, headers: { "content-type": "application/json", ...(signed ? own : {}), ...headers }, body: rewritten ? JSON.stringify(event, null, 2) : body });
}

/** A genuine delivery of Stripe's, whose id and type are in the body: any text. */
export function charge(gate, { id, type = "charge.succeeded" }) {
  const at = now();
  const body = JSON.stringify({ id, object: "event", type });
  const signature = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { "content-type": "application/json", "stripe-signature": `t=${at},v1=${signature}` };
  return raw(gate, { method: "POST", path: "/api/webhooks/stripe", headers, body });
}

export function raw(gate, { method = "GET", path = "/", headers = {}, body = "" }) {
  return new Promise((done, fail) => {
    const request = http.request({ host: "127.0.0.1", port: gate.port, method, path, headers: { ...headers, "content-length": Buffer.byteLength(body) } }, (response) => {
      response.resume().on("end", () => done(response.statusCode));
    });
    request.on("error", fail);
    request.end(body);
  });
}

export const chromiumPath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

export async function startBrowser() {
  const root = process.getuid?.() === 0;
  const browser = await chromium.launch({ executablePath: chromiumPath, args: root ? ["--no-sandbox"] : [] });
  atEnd(() => browser.close());
  return browser;
}

/** A page that may speak to the inspector alone, and tells of whatever it complains about. */
export async function open(browser, gate, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  const complaints = [];
  const elsewhere = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(`${message.type()}: ${message.text()}`));
  await context.route("**", (route) => {
    const url = route.request().url();
    if (new URL(url).origin === gate.url || url.startsWith("data:")) return route.continue();
    elsewhere.push(url);
    return route.abort();
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(gate.url);
  await page.locator("#state[data-state=live]").waitFor();
  await until("all rows", () =>
    page.evaluate(async () => {
      const { decisions } = await (await fetch("/api/decisions")).json();
      return document.querySelectorAll("#rows tr").length === decisions.length;
    }),
  );
  return { context, page, complaints, elsewhere };
}
