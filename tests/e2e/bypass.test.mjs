// Every recorded way around a webhook's path, byte for byte: none may run the handler once hookward stands in front,
// and without hookward the same requests do run it, or this test would prove nothing.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { cases, messageOf, placesOf } from "./lib/cases.mjs";
import { svixHeaders, userCreated } from "./lib/deliveries.mjs";
import { noHookward, startApp, startHookward, upstreamOf } from "./lib/processes.mjs";
import { request } from "./lib/wire.mjs";

// Recorded on older releases only: .rsc on 15.5, control bytes on Node 18. hookward refuses these all the same.
const notInThisNext = new Set(["an internal suffix", "a control or non-ASCII byte"]);
// One reading of a request is known to no path rule: a rewrite that asks for a query or a header (`has:`).
const knownLimit = (recorded) => recorded.rule === "pass";

const apps = new Map();
const appAt = (place) => {
  if (!apps.has(place)) apps.set(place, startApp(...place.split(" ")));
  return apps.get(place);
};
after(async () => {
  for (const app of apps.values()) await (await app).stop();
});

describe("without hookward", () => {
  const reached = new Set();

  test("the recorded requests are all there and each has a class", () => {
    assert.equal(cases.length, 671);
    assert.deepEqual(cases.filter(({ classes }) => classes.length === 0), []);
  });

  test("the requests are sent straight to the app", async (t) => {
    for (const recorded of cases) {
      for (const place of placesOf(recorded)) {
        const app = await appAt(place);
        await app.reset();
        await request(app, messageOf(recorded));
        const { runs } = await app.runs();
        if (runs.some(({ handler }) => recorded.routes.includes(handler))) {
          reached.add(recorded);
          break;
        }
      }
    }
    t.diagnostic(`${reached.size} of ${cases.length} requests run the protected handler of this Next.js`);
  });

  for (const name of new Set(cases.flatMap(({ classes }) => classes))) {
    const verb = notInThisNext.has(name) ? "does not reach" : "reaches";
    test(`${name} ${verb} the handler`, () => {
      const hits = cases.filter((recorded) => recorded.classes.includes(name) && reached.has(recorded));
      if (notInThisNext.has(name)) assert.deepEqual(hits, []);
      else assert.notEqual(hits.length, 0);
    });
  }
});

describe("through hookward", { skip: noHookward }, () => {
  const groups = new Map();
  for (const item of cases.flatMap(placed)) groups.set(groupOf(item), [...(groups.get(groupOf(item)) ?? []), item]);

  for (const [name, items] of groups) {
    test(`none of ${items.length} requests runs the handler: ${name}`, async () => {
      const [{ place, recorded: first }] = items;
      const app = await appAt(place);
      const door = await startHookward(configFor(first, app));
      try {
        await app.reset();
        const wrong = [];
        for (const { recorded } of items) {
          const answer = await request(door, messageOf(recorded));
          const verdict = verdictOf(recorded, answer);
          if (verdict) wrong.push(`${recorded.method} ${JSON.stringify(recorded.request_target)}: ${verdict}`);
        }
        const { runs } = await app.runs();
        assert.deepEqual(wrong, []);
        const unexpected = runs.filter(({ target }) => !items.some(({ recorded }) => knownLimit(recorded) && target.includes("svc=")));
        assert.deepEqual(unexpected, [], "the app ran a handler");
        for (const run of runs) assert.equal(run.verifiedEvent, null, "the app could have seen that this is not verified");
        await assertGenuineGetsThrough(door, app, first);
      } finally {
        await door.stop();
      }
    });
  }

  test("a rewrite with a condition is refused once it is declared as an alias", async () => {
    const [recorded] = cases.filter((each) => knownLimit(each) && each.base_path === "");
    const app = await appAt("base start");
    const config = configFor(recorded, app);
    config.app.aliases.push("/gw");
    const door = await startHookward(config);
    try {
      await app.reset();
      assert.equal((await request(door, messageOf(recorded))).status, 400);
      assert.equal((await app.runs()).total, 0);
    } finally {
      await door.stop();
    }
  });
});

function placed(recorded) {
  return placesOf(recorded).map((place) => ({ place, recorded }));
}

function groupOf({ place, recorded }) {
  const { base_path, asset_prefix = "", locales, protected: path } = recorded;
  return `${place}, ${path ?? "the rewrites"}, base path "${base_path}", asset prefix "${asset_prefix}", locales [${locales}]`;
}

function configFor({ routes, aliases, base_path, asset_prefix = "", locales }, app) {
  const route = (path) => ({ path, provider: "clerk", secrets: [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }] });
  return {
    server: { upstream: upstreamOf(app) },
    app: { framework: "nextjs", base_path, asset_prefix, locales, aliases: [...aliases] },
    routes: Object.fromEntries(routes.map((path, number) => [`hook-${number}`, route(path)])),
  };
}

// What is wrong with the answer, or undefined.
function verdictOf({ rule, request_target: target, method }, { status, headers, body }) {
  const code = method === "HEAD" || !headers["content-type"]?.startsWith("application/problem+json") ? null : JSON.parse(body).code;
  if (rule === "reject") {
    if (status !== 400) return `answered ${status} instead of 400`;
    // A byte that no request line may hold is refused by the parser, which has no problem+json to give.
    if (method !== "HEAD" && code !== "bad_target" && !/[^\x21-\x7e]/.test(target)) return `refused as ${code}, not as bad_target`;
    return undefined;
  }
  if (rule === "verify") {
    return [400, 405].includes(status) && ["header_missing", "method_not_allowed"].includes(code) ? undefined : `answered ${status} ${code}`;
  }
  return code === null ? undefined : `refused as ${code} instead of passed on`;
}

// A door that lets nothing through would pass the test above.
async function assertGenuineGetsThrough(door, app, { routes, base_path }) {
  await app.reset();
  const headers = { "content-type": "application/json", ...svixHeaders(userCreated) };
  const { status } = await request(door, { method: "POST", target: base_path + routes[0], headers, body: userCreated });
  assert.equal(status, 200);
  assert.deepEqual((await app.runs()).counts, { [routes[0]]: 1 });
}
