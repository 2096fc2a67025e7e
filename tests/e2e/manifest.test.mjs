// `hookward check --next-manifest` reads what `next build` wrote and names the ways to a webhook that nobody declared.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { configFile, manifestOf, noHookward, runHookward } from "./lib/processes.mjs";
import { configFor } from "./lib/setup.mjs";

const scratch = mkdtempSync(join(tmpdir(), "hookward-manifest-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const fakeApp = (variant) => ({ variant, base: variant === "basepath" ? "/base" : "", host: "127.0.0.1", port: 3000 });
const route = (path) => ({ path, provider: "clerk", secrets: [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }] });
const declared = { edge: route("/api/webhooks/edge"), stripe: route("/api/webhooks/stripe"), grouped: route("/api/grouped") };
// Dynamic handlers are protected as a whole.
const dynamic = { dyn: route("/api/dyn/*"), pdyn: route("/api/pdyn/*"), catch: route("/api/catch/*"), popt: route("/api/popt/*") };

function complete(variant) {
  return configFor(fakeApp(variant), { routes: { ...declared, ...dynamic } });
}

async function check(config, manifest) {
  return runHookward(["check", "--config", configFile(config), "--next-manifest", manifest]);
}

test("the real build says what these tests rely on", () => {
  for (const variant of ["base", "slash", "i18n", "basepath"]) {
    const manifest = JSON.parse(readFileSync(manifestOf(variant), "utf8"));
    assert.equal(manifest.version, 3);
    assert.equal(manifest.basePath, fakeApp(variant).base);
    assert.deepEqual(manifest.i18n?.locales, configFor(fakeApp(variant)).app.locales.length ? ["en", "fr", "sk"] : undefined);
    assert.ok(manifest.staticRoutes.some(({ page }) => page === "/api/webhooks/stripe"), "handlers without parameters are listed");
    assert.ok(manifest.rewrites.afterFiles.some(({ destination }) => destination.endsWith("/api/clerk-webhook")));
  }
  assert.ok(!existsSync(manifestOf("none")));
});

describe("hookward check --next-manifest", { skip: noHookward }, () => {
  for (const variant of ["base", "slash", "i18n", "basepath"]) {
    test(`is content when everything of "${variant}" is declared`, async () => {
      const { code, output } = await check(complete(variant), manifestOf(variant));
      assert.equal(code, 0, output);
    });

    for (const alias of ["/bf/clerk", "/hooks/clerk", "/legacy-hook", "/fb/clerk", "/gw"]) {
      test(`finds the undeclared rewrite ${alias} of "${variant}"`, async () => {
        const config = complete(variant);
        config.app.aliases = config.app.aliases.filter((each) => each !== alias);
        await assertFinds(config, manifestOf(variant), alias);
      });
    }
  }

  test("finds a base path that the configuration does not know", async () => {
    const config = complete("basepath");
    for (const wrong of ["", "/other"]) {
      config.app.base_path = wrong;
      await assertFinds(config, manifestOf("basepath"), "/base");
    }
  });

  test("finds an asset prefix that the configuration does not know", async () => {
    const config = complete("i18n");
    await assertFinds(config, manifestOf("assets"), 'asset_prefix = "/cdn"');
    config.app.asset_prefix = "/cdn";
    const { code, output } = await check(config, manifestOf("assets"));
    assert.equal(code, 0, output);
  });

  test("finds a base path that the app does not have", async () => {
    const config = complete("base");
    config.app.base_path = "/base";
    await assertFinds(config, manifestOf("base"), "base_path");
  });

  test("finds a locale that the configuration does not know", async () => {
    for (const variant of ["i18n", "basepath"]) {
      const config = complete(variant);
      config.app.locales = ["en", "fr"];
      await assertFinds(config, manifestOf(variant), /\bsk\b/);
    }
  });

  test("finds a webhook-like handler without a route", async () => {
    for (const [name, path] of [["stripe", "/api/webhooks/stripe"], ["edge", "/api/webhooks/edge"], ["clerk", "/api/webhooks/clerk"], ["pages", "/api/clerk-webhook"]]) {
      const config = complete("base");
      delete config.routes[name];
      // The aliases lead nowhere once their target is no route; what is left is the handler itself.
      await assertFinds(config, manifestOf("base"), path);
    }
  });

  test("finds rewrites by pattern, and in the older list form", async () => {
    const manifest = JSON.parse(readFileSync(manifestOf("base"), "utf8"));
    const rewrites = {
      "/old/:path*": { destination: "/api/:path*", regex: "^/old(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?(?:/)?$" },
      "/h/:kind(clerk|stripe)": { destination: "/api/webhooks/:kind", regex: "^/h(?:/(clerk|stripe))(?:/)?$" },
      "/query": { destination: "/api/webhooks/clerk?x=1", regex: "^/query(?:/)?$", missing: [{ type: "header", key: "x-a" }] },
    };
    for (const [source, rewrite] of Object.entries(rewrites)) {
      const rule = { source, ...rewrite };
      const object = { ...manifest.rewrites, afterFiles: [...manifest.rewrites.afterFiles, rule] };
      const list = [...manifest.rewrites.beforeFiles, ...manifest.rewrites.afterFiles, ...manifest.rewrites.fallback, rule];
      for (const shape of [object, list]) {
        const file = join(scratch, "routes-manifest.json");
        writeFileSync(file, JSON.stringify({ ...manifest, rewrites: shape }));
        await assertFinds(complete("base"), file, source);
      }
    }
  });

  test("finds a rewrite that calls the app by its own address, around hookward", async () => {
    const manifest = JSON.parse(readFileSync(manifestOf("base"), "utf8"));
    const rule = { source: "/back", destination: "http://127.0.0.1:3000/api/webhooks/clerk", regex: "^/back(?:/)?$" };
    const file = join(scratch, "absolute.json");
    writeFileSync(file, JSON.stringify({ ...manifest, rewrites: { ...manifest.rewrites, fallback: [rule] } }));
    await assertFinds(complete("base"), file, "/back");
  });

  test("says so when the file is not there or is no manifest", async () => {
    const other = join(scratch, "other.json");
    for (const text of ["{", "[]", "null"]) {
      writeFileSync(other, text);
      await assertFinds(complete("base"), other, "other.json");
    }
    await assertFinds(complete("base"), join(scratch, "missing.json"), "missing.json");
  });
});

async function assertFinds(config, manifest, word) {
  const { code, output } = await check(config, manifest);
  assert.equal(code, 1, `expected a problem that names ${word}:\n${output}`);
  assert.ok(word instanceof RegExp ? word.test(output) : output.includes(word), `${word} is not named in:\n${output}`);
  assert.doesNotMatch(output, /panicked/);
}
