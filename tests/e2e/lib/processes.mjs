// Starts the app and hookward, waits until they answer, and ends them with the test process, whatever happens.
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { request } from "./wire.mjs";

export const here = fileURLToPath(new URL("..", import.meta.url));
export const appDir = join(here, "app");
const projectRoot = resolve(here, "../..");
const started = new Set();
const ports = new Set();
let configs;

export const hookwardBin = resolve(projectRoot, process.env.HOOKWARD_BIN ?? "target/release/hookward");
export const noHookward = existsSync(hookwardBin) ? false : `no hookward binary at ${hookwardBin} (HOOKWARD_BIN)`;

// Secrets of the test signers; nothing outside this directory knows them.
export const secrets = {
  CLERK_WEBHOOK_SIGNING_SECRET: `whsec_${Buffer.from("the clerk endpoint's e2e secret!").toString("base64")}`,
  VERIFIED_EVENT_KEY: "the key of the e2e tests' tokens, in base64 usually",
  STANDARD_SECRET: `whsec_${Buffer.from("a standard webhooks e2e secret!!").toString("base64")}`,
};

export function manifestOf(variant) {
  return join(appDir, ".next", variant, "routes-manifest.json");
}

// mode: "start" is `next start`, "custom" the app's own server.mjs, "dev" is `next dev`.
export async function startApp(variant = "base", mode = "start", port = undefined) {
  port ??= await freePort();
  const base = variant === "basepath" ? "/base" : "";
  const next = join(here, "node_modules/next/dist/bin/next");
  // `localhost`, not 127.0.0.1: with an address as its hostname Next 16 proxies some requests to itself in a loop.
  const args = {
    start: [next, "start", "-H", "localhost", "-p", String(port)],
    dev: [next, "dev", "-H", "localhost", "-p", String(port)],
    custom: ["server.mjs"],
  }[mode];
  const child = launch(process.execPath, args, {
    cwd: appDir,
    env: {
      ...process.env,
      ...secrets,
      NODE_ENV: mode === "dev" ? "development" : "production",
      NEXT_TELEMETRY_DISABLED: "1",
      VARIANT: variant,
      DIST: mode === "dev" ? `dev-${variant}` : variant,
      PORT: String(port),
      COUNT_URL: `http://localhost:${port}${base}/api/count`,
    },
  });
  const host = await child.until(async () => {
    for (const address of ["127.0.0.1", "::1"]) {
      if (await accepts(address, port)) return address;
    }
    return undefined;
  });
  const app = { variant, mode, base, host, port, stop: child.stop, log: child.log };
  const counter = async (method) => JSON.parse((await request(app, { method, target: `${base}/api/count` })).body);
  app.runs = () => counter("GET");
  app.reset = () => counter("DELETE");
  await child.until(async () => (await request(app, { target: `${base}/api/count` })).status === 200 || undefined);
  return app;
}

// `config` is the configuration as an object of TOML tables; the listening addresses are filled in here.
export async function startHookward(config, env = {}) {
  const port = await freePort();
  const health = await freePort();
  const full = {
    ...config,
    server: { listen: `127.0.0.1:${port}`, ...config.server },
    admin: { health: `127.0.0.1:${health}`, ...config.admin },
  };
  const file = configFile(full);
  const child = launch(hookwardBin, ["run", "--config", file], { env: { ...process.env, ...secrets, ...env } });
  await child.until(async () => {
    if (!(await accepts("127.0.0.1", health))) return undefined;
    return (await request({ host: "127.0.0.1", port: health }, { target: "/readyz" })).status === 200 || undefined;
  }, 10);
  return { host: "127.0.0.1", port, health, stop: child.stop, kill: child.kill, log: child.log };
}

export function upstreamOf(app) {
  return `http://${app.host.includes(":") ? `[${app.host}]` : app.host}:${app.port}`;
}

// Gone with the test process.
export function configFile(config) {
  configs ??= mkdtempSync(join(tmpdir(), "hookward-e2e-"));
  const file = join(configs, `${readdirSync(configs).length}.toml`);
  writeFileSync(file, toml(config));
  return file;
}

export async function runHookward(args, env = {}) {
  const child = launch(hookwardBin, args, { env: { ...process.env, ...secrets, ...env } });
  const code = await child.ended;
  return { code, output: child.log() };
}

// Never a port the system hands out to connections (32768 and up): one of those could be taken before it is used.
async function freePort() {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    if (ports.has(port)) continue;
    ports.add(port);
    const server = net.createServer();
    const free = await new Promise((done) => server.once("error", () => done(false)).listen(port, () => done(true)));
    await new Promise((done) => server.close(done));
    if (free) return port;
  }
}

function accepts(host, port) {
  return new Promise((done) => {
    const socket = net.connect({ host, port });
    socket.once("connect", () => done(true) || socket.destroy());
    socket.once("error", () => done(false));
  });
}

// A process group of its own, so that nothing it starts outlives the test.
function launch(command, args, options) {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  const keep = (text) => (output = (output + text).slice(-200_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  started.add(child);
  const ended = new Promise((done) => {
    child.once("error", (error) => {
      keep(String(error));
      started.delete(child);
      done(-1);
    });
    child.once("close", (code) => {
      started.delete(child);
      done(code);
    });
  });
  let over = false;
  ended.then(() => (over = true));
  return {
    ended,
    log: () => output,
    async stop() {
      if (!over) signal(child, "SIGTERM");
      const late = setTimeout(() => signal(child, "SIGKILL"), 3000);
      await ended;
      clearTimeout(late);
    },
    kill: () => signal(child, "SIGKILL"),
    async until(ready, seconds = 60) {
      const deadline = Date.now() + seconds * 1000;
      while (Date.now() < deadline && !over) {
        const value = await ready().catch(() => undefined);
        if (value !== undefined) return value;
        await new Promise((next) => setTimeout(next, 25));
      }
      signal(child, "SIGKILL");
      throw new Error(`${command} ${args.join(" ")} did not become ready:\n${output}`);
    },
  };
}

function signal(child, name) {
  try {
    process.kill(-child.pid, name);
  } catch {
    // already gone
  }
}

process.on("exit", () => {
  started.forEach((child) => signal(child, "SIGKILL"));
  if (configs) rmSync(configs, { recursive: true, force: true });
});
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => process.exit(1));

// Enough TOML for these configurations: objects are tables, or inline tables inside an array.
export function toml(config, path = []) {
  const entries = Object.entries(config).filter(([, value]) => value !== undefined);
  const isTable = ([, value]) => isObject(value);
  const plain = entries.filter((entry) => !isTable(entry)).map(([key, value]) => `${key} = ${tomlValue(value)}\n`);
  const tables = entries.filter(isTable).map(([key, value]) => toml(value, [...path, JSON.stringify(key)]));
  const title = path.length && (plain.length || !tables.length) ? `[${path.join(".")}]\n` : "";
  return title + plain.join("") + tables.join("");
}

function tomlValue(value) {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`;
  if (isObject(value)) return `{ ${Object.entries(value).map(([key, inner]) => `${key} = ${tomlValue(inner)}`).join(", ")} }`;
  return JSON.stringify(value);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
