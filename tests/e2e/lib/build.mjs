// `next build` for each variant of the app; skipped while its sources and the lock file are what they were. Before that the
// handlers of deploy/nextjs are type-checked as they are, and put into the app under paths of their own.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const app = join(here, "app");

prepareExamples();

const hash = createHash("sha256").update(readFileSync(join(here, "package-lock.json"))).update(process.version);
for (const entry of readdirSync(app, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath ?? entry.path, entry.name);
  if (entry.isFile() && !path.startsWith(join(app, ".next"))) hash.update(path.slice(app.length)).update(readFileSync(path));
}
const sources = hash.digest("hex");

for (const variant of process.argv.slice(2)) {
  const stamp = join(app, ".next", variant, "e2e-sources");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === sources) continue;
  const began = Date.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(here, "node_modules/next/dist/bin/next"), "build"], {
    cwd: app,
    env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1", VARIANT: variant, DIST: variant },
    encoding: "utf8",
  });
  if (status !== 0) {
    console.error(stdout, stderr);
    process.exit(1);
  }
  writeFileSync(stamp, sources);
  console.log(`built the app as "${variant}" in ${Math.round((Date.now() - began) / 1000)} s`);
}

function prepareExamples() {
  const deploy = join(here, "../../deploy/nextjs");
  const examples = join(here, "examples");
  const [source, made] = [join(examples, "ts"), join(examples, "js")];
  const parts = ["verified-event.ts", "app/api/webhooks/clerk/route.ts", "pages/api/webhooks/clerk.ts"];
  const hash = createHash("sha256").update(readFileSync(join(here, "package-lock.json"))).update(readFileSync(join(here, "tsconfig.json")));
  for (const part of parts) hash.update(readFileSync(join(deploy, part)));
  const now = hash.digest("hex");
  const stamp = join(examples, "sources");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== now) {
    rmSync(examples, { recursive: true, force: true });
    for (const part of parts) cpSync(join(deploy, part), join(source, part));
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", here], { encoding: "utf8" });
    if (status !== 0) {
      console.error(stdout, stderr);
      process.exit(1);
    }
    writeFileSync(stamp, now);
  }
  // As deep as they were, for their import of verified-event.
  const places = {
    "verified-event.js": "verified-event.js",
    "app/api/webhooks/clerk/route.js": "app/api/example/proof/route.js",
    "pages/api/webhooks/clerk.js": "pages/api/pexample/proof.js",
  };
  for (const [from, to] of Object.entries(places)) cpSync(join(made, from), join(app, to));
}
