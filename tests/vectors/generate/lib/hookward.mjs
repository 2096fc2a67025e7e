// The built hookward: as the proxy in front of a recording upstream, and as a command.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

process.env.HOOKWARD_BIN ??= "target/debug/hookward";
const { hookwardBin, noHookward, startHookward } = await import("../../../e2e/lib/processes.mjs");
const { request: overTheWire } = await import("../../../e2e/lib/wire.mjs");
export { noHookward };

export const publicUrl = "https://hooks.example.com";

const directory = mkdtempSync(join(tmpdir(), "hookward-sdks-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

// The providers of this binary; one that has no `providers` yet knows seven.
export function knownProviders() {
  const { stdout, missing } = command(["providers"]);
  if (missing) return ["clerk", "github", "shopify", "slack", "standard-webhooks", "stripe", "svix"];
  return [...stdout.matchAll(/^\s*([a-z0-9][a-z0-9-]*)/gm)].map(([, name]) => name);
}

// hookward with one route for each vendor, and what reaches the app behind it: { send, seen, stop }.
export async function startGate(vendors) {
  const seen = [];
  const app = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    seen.push({ method: request.method, url: request.url, headers: request.headers, bytes: Buffer.concat(chunks) });
    response.end();
  });
  await new Promise((done) => app.listen(0, "127.0.0.1", done));
  app.unref(); // it must not keep a test alive whose hookward does not start
  const routes = Object.fromEntries(vendors.map(({ vendor, keys }) => [vendor.name, route(vendor, keys)]));
  const door = await startHookward({
    server: { upstream: `http://127.0.0.1:${app.address().port}`, unmatched: "deny", public_url: vendors.some(({ vendor }) => vendor.signsUrl) ? publicUrl : undefined },
    app: { framework: "none" },
    routes,
  });
  return {
    seen: (name) => seen.filter(({ url }) => new URL(url, publicUrl).pathname === `/hooks/${name}`),
    async send({ method, url, headers, bytes }) {
      const { host, pathname, search } = new URL(url);
      const answer = await overTheWire(door, { method, target: pathname + search, headers: { host, ...headers }, body: bytes });
      const problem = /problem\+json/.test(answer.headers["content-type"]) ? JSON.parse(answer.body) : {};
      return { status: answer.status, code: problem.code };
    },
    async stop() {
      await door.stop();
      await new Promise((done) => app.close(done));
    },
  };
}

// Does this binary have `hookward sign`?
export function signs() {
  return !command(["sign", "--help"]).missing;
}

// What `hookward sign` makes of a delivery: headers anew, and body and address where it changes them.
export function sign(vendor, keys, { method, url, headers, bytes }) {
  const file = secretFile(`${vendor.name}.body`, bytes);
  const signatures = [vendor.signature ?? []].flat();
  const others = Object.entries(headers).filter(([name]) => !signatures.includes(name));
  const args = [
    ...["sign", "--provider", vendor.provider, "--secret-env", "SIGNING_SECRET", "--body", file, "--url", url, "--format", "json"],
    ...Object.entries(optionsOf(keys)).flatMap(([name, value]) => ["--option", `${name}=${value}`]),
    ...others.flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
  ];
  const { status, stdout, stderr } = hookward(args, { SIGNING_SECRET: keys.signing_key ?? keys.secret ?? keys.public_key });
  if (status !== 0) throw new Error(`hookward sign ended with ${status}: ${stderr}`);
  const made = JSON.parse(stdout);
  return { method, url: made.url ?? url, headers: made.headers, bytes: made.body ? Buffer.from(made.body, "base64") : bytes };
}

// A command that this version may not have yet; that it fails is no reason to go without it.
function command(args) {
  const { status, stdout, stderr } = hookward(args);
  const missing = status === 2 && stderr.includes("unrecognized subcommand");
  if (status !== 0 && !missing) throw new Error(`hookward ${args.join(" ")} ended with ${status}: ${stderr}`);
  return { stdout, missing };
}

function hookward(args, env = {}) {
  return spawnSync(hookwardBin, args, { encoding: "utf8", env: { ...process.env, ...env } });
}

// A vendor's keys as a route has them: every secret in a file, a second key as a second secret.
function route(vendor, keys) {
  const { secondary_secret: secondary, next_key: next } = keys.options ?? {};
  const all = [keys.secret ?? keys.public_key, secondary ?? next].filter(Boolean);
  const secrets = all.map((secret, index) => ({
    label: ["current", "next"][index],
    file: secretFile(`${vendor.name}.${index}`, secret),
  }));
  const options = optionsOf(keys);
  if (keys.options?.cert_pem) Object.assign(options, { cert_file: secretFile(`${vendor.name}.pem`, keys.options.cert_pem), topics: keys.topic });
  return {
    path: `/hooks/${vendor.name}`,
    provider: vendor.provider,
    secrets: secrets.length ? secrets : undefined,
    options: Object.keys(options).length ? options : undefined,
  };
}

function optionsOf({ options = {} }) {
  return Object.fromEntries(Object.entries(options).filter(([name]) => ["key_id", "api_key", "label", "alg"].includes(name)));
}

function secretFile(name, content) {
  const path = join(directory, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
