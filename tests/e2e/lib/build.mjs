// `next build` for each variant of the app; skipped while its sources and the lock file are what they were.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const app = join(here, "app");

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
