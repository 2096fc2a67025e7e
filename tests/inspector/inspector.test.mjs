// The inspector's page in a real browser: what a developer sees, with a mouse, with keys alone, on a phone, in the dark.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { binary, charge, deliver, end, now, open, raw, PLAIN, shots, SECRET, sleep, startApp, startBrowser, startHookward, until } from "./lib.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let app;
let gate;
let browser;

before(async () => {
  app = await startApp();
  gate = await startHookward(app);
  browser = await startBrowser();
});
after(end);

const rows = (page) => page.locator("#rows tr");
const rowOf = (page, text) => page.locator("#rows tr", { hasText: text }).first();
const shoot = (page, name, options = {}) => page.screenshot({ path: join(shots, `${name}.png`), animations: "disabled", ...options });

/** No violation of any rule, whatever its weight. The page's own policy allows no inline script, so it is run past it. */
async function accessible(page, what) {
  await page.evaluate(axe);
  const ending = () => document.getAnimations().filter((moving) => moving.effect.getTiming().iterations !== Infinity);
  await until("stillness", async () => (await page.evaluate(`(${ending})().length`)) === 0);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map((rule) => `${rule.impact} ${rule.id}: ${rule.help}: ${rule.nodes.map((node) => node.target).join(" | ")}`);
  assert.deepEqual(found, [], what);
  assert.ok(passes.length > 10);
}

async function quiet({ page, complaints, elsewhere }) {
  assert.deepEqual(await page.evaluate(() => window.violations), [], "violations of the page's policy");
  assert.deepEqual(complaints, [], "the console is quiet");
  assert.deepEqual(elsewhere, [], "nothing is asked of anybody else");
}

test("an empty page says what to do, and its command is one that hookward understands", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  await page.getByText("No webhook has arrived yet.").waitFor();
  const line = await page.locator("#empty pre").innerText();
  assert.equal(line, `hookward send --provider clerk --event user.created --secret-env SECRET --to http://127.0.0.1:${gate.port}/api/webhooks/clerk`);
  await accessible(page, "empty");
  await shoot(page, "empty");
  const words = line.split(" ").slice(1);
  const sent = await promisify(execFile)(binary, words, { env: { ...process.env, SECRET } });
  assert.match(sent.stdout, /200 OK/);
  await rowOf(page, "user.created").waitFor();
  assert.equal(await page.locator("#empty").isVisible(), false);
  await quiet(view);
  await view.context.close();
});

test("the offered command is one that works: base path, method, and where the route has its secret from", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "inspector-secret-")), "secret");
  writeFileSync(file, PLAIN);
  const github = (path, secret) => `[routes.hub]\npath = "${path}"\nprovider = "github"\nsecrets = [{ ${secret} }]`;
  const base = '[app]\nbase_path = "/docs"';
  const put = 'methods = ["PUT"]';
  for (const [routes, offered] of [
    [[base, github("/pre/*", 'env = "PLAIN"')], "--secret-env PLAIN --to http://127.0.0.1:PORT/docs/pre/test"],
    [[base, `${github("/x", `file = "${file}"`)}\n${put}`], `--secret-file ${file} --method PUT --to http://127.0.0.1:PORT/docs/x`],
    [[github("/x", `insecure_value = "${PLAIN}"`)], "--secret-env SECRET --to http://127.0.0.1:PORT/x"],
  ]) {
    const own = await startHookward(app, { routes });
    const view = await open(browser, own);
    const { page } = view;
    const line = await page.locator("#empty pre").innerText();
    assert.equal(line, `hookward send --provider github ${offered.replace("PORT", own.port)}`);
    const path = line.slice(line.lastIndexOf(`:${own.port}`) + `:${own.port}`.length);
    await page.locator("#empty li", { hasText: path.replace("test", "*") }).first().waitFor();
    // What is in the configuration is for the reader to put there.
    const sent = await promisify(execFile)(binary, line.split(" ").slice(1), { env: { ...process.env, PLAIN, SECRET: PLAIN } });
    assert.match(sent.stdout, /200 OK/);
    await page.locator("#rows .badge", { hasText: "forwarded" }).waitFor();
    await view.context.close();
    await own.stop();
  }
});

test("the app's middleware is told of the path as it sees it: without the base path", async () => {
  const own = await startHookward(app, { routes: ['[app]\nbase_path = "/api"', '[routes.guarded]\npath = "/webhooks/guarded"\nprovider = "clerk"\nsecrets = [{ env = "SECRET" }]'] });
  assert.equal(await deliver(own, { id: "msg_base", path: "/api/webhooks/guarded" }), 401);
  const view = await open(browser, own);
  await rowOf(view.page, "app answered 401").click();
  const guard = await view.page.locator("#detail").innerText();
  assert.ok(guard.includes('createRouteMatcher(["/webhooks/guarded(.*)"])'), guard);
  await view.context.close();
  await own.stop();
});

test("deliveries appear as they end, and say how", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  const reached = app.reached();
  assert.equal(await deliver(gate, { id: "msg_live_1" }), 200);
  assert.equal(await deliver(gate, { id: "msg_live_1" }), 200);
  assert.equal(await deliver(gate, { id: "msg_forged", forged: true }), 401);
  assert.equal(await deliver(gate, { id: "msg_old", at: now() - 3600 }), 401);
  assert.equal(await deliver(gate, { signed: false }), 400);
  assert.equal(await deliver(gate, { id: "msg_ip", path: "/api/webhooks/office" }), 403);
  assert.equal(await deliver(gate, { id: "msg_guard", path: "/api/webhooks/guarded", type: "session.created" }), 401);
  assert.equal(await deliver(gate, { id: "msg_signin", path: "/api/webhooks/signin" }), 307);
  assert.equal(await deliver(gate, { id: "msg_500", path: "/api/webhooks/broken" }), 500);
  assert.equal(await deliver(gate, { id: "msg_tried", path: "/api/webhooks/tried", forged: true }), 200);
  assert.equal(await raw(gate, { method: "GET", path: "/api/webhooks/clerk" }), 405);
  assert.equal(await raw(gate, { path: "/api/webhooks/./clerk" }), 400);
  assert.equal(await raw(gate, { path: "/some/page" }), 200);
  assert.equal(app.reached() - reached, 6, "the refused and the duplicate did not reach the app");

  await page.locator("#rows .badge", { hasText: "bad_target" }).waitFor();
  const seen = async (text) => (await page.locator("#rows .badge", { hasText: text }).count()) > 0;
  for (const text of ["forwarded", "duplicate", "signature_mismatch", "timestamp_too_old", "header_missing", "ip_not_allowed", "app answered 401", "app answered 307", "app answered 500", "would: signature_mismatch", "method_not_allowed"]) {
    assert.ok(await seen(text), text);
  }
  assert.equal(await page.getByText("/some/page").count(), 0, "nothing of what was only passed on");
  const first = rows(page).first();
  assert.match(await first.innerText(), /bad_target/, "the newest is on top");
  const genuine = rowOf(page, "msg_live_1");
  assert.match(await genuine.innerText(), /clerk[\s\S]*user\.created[\s\S]*current[\s\S]*200/);
  await until("the route's counts", async () => /accepted/.test(await page.locator("#routes").innerText()) && /1 duplicate\b/.test(await page.locator("#routes").innerText()));
  // Every number on a route's button is that of the filter with the same word.
  await page.locator("#routes button", { hasText: "signin" }).click();
  await page.locator("#outcome").selectOption("accepted");
  await page.getByText("Nothing matches the filter.").waitFor();
  assert.match(await page.locator("#routes button", { hasText: "signin" }).innerText(), /\b0 accepted\s+1 app said no/);
  await page.locator("#clear").click();
  await accessible(page, "with deliveries");
  await shoot(page, "deliveries");
  await shoot(page, "whole", { fullPage: true });
  await quiet(view);
  await view.context.close();
});

test("the details say which step refused, why, and what to do, in the words of the reject table", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  const refused = page.locator("#rows tr", { has: page.locator(".badge.bad", { hasText: "signature_mismatch" }) });
  await refused.click();
  const detail = page.locator("#detail");
  const words = await page.evaluate(() => fetch("/api/words").then((answer) => answer.json()));
  const reject = words.rejects.find((row) => row.code === "signature_mismatch");
  const text = await detail.innerText();
  assert.ok(text.includes(reject.title) && text.includes(reject.fix));
  assert.match(await detail.locator(".steps .stopped").innerText(), /Signature/);
  assert.equal(await detail.locator(".steps .passed").count(), 7);
  assert.match(text, /Body received\s+\d+ B/);
  await accessible(page, "details");
  await shoot(page, "refused");
  await page.keyboard.press("Escape");

  await rowOf(page, "bad_target").click();
  assert.match(await detail.innerText(), /Detail: dot_segment: it has a `\.` or `\.\.` segment/);
  await page.keyboard.press("Escape");

  await rowOf(page, "timestamp_too_old").click();
  assert.match(await detail.innerText(), /60 min behind this machine's clock/);
  await page.keyboard.press("Escape");

  await rowOf(page, "app answered 401").click();
  const guard = await detail.innerText();
  assert.match(guard, /probably its middleware did, not the handler/);
  assert.ok(guard.includes('createRouteMatcher(["/api/webhooks/guarded(.*)"])'));
  assert.match(guard, /hookward send --provider clerk --event session\.created --secret-env SECRET --to/);
  await shoot(page, "guarded");
  await accessible(page, "details of a guard");
  await page.keyboard.press("Escape");

  await rowOf(page, "app answered 500").click();
  assert.match(await detail.innerText(), /the app answered 500/);
  assert.equal((await detail.innerText()).includes("middleware"), false);
  await page.keyboard.press("Escape");

  await rowOf(page, "would: signature_mismatch").click();
  assert.equal(await detail.locator(".steps .passed").count(), 9, "it went to the app, past the filter and the claim");
  await page.keyboard.press("Escape");

  await page.locator("#rows tr", { has: page.locator(".badge", { hasText: "duplicate" }) }).first().click();
  assert.ok((await detail.innerText()).includes("hookward forget --route clerk --id msg_live_1"));
  await page.locator("#close").click();
  assert.equal(await detail.isVisible(), false);
  await quiet(view);
  await view.context.close();
});

test("the filter narrows by text, route and outcome, and can be cleared", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  const all = await rows(page).count();
  await page.locator("#text").fill("msg_gu");
  assert.equal(await rows(page).count(), 1);
  assert.equal(await page.locator("#count").innerText(), `1 of ${all}`);
  await page.locator("#text").press("Escape");
  assert.equal(await rows(page).count(), all);
  await page.locator("#outcome").selectOption("refused");
  const refused = await rows(page).count();
  assert.equal(refused, await page.locator("#rows .badge.bad").count());
  await page.locator("#route").selectOption("office");
  assert.equal(await rows(page).count(), 1);
  await page.locator("#outcome").selectOption("accepted");
  await page.getByText("Nothing matches the filter.").waitFor();
  await accessible(page, "nothing matches");
  await page.locator("#clear").click();
  assert.equal(await rows(page).count(), all);
  await page.locator("#routes button", { hasText: "guarded" }).click();
  assert.equal(await page.locator("#route").inputValue(), "guarded");
  assert.equal(await rows(page).count(), 1);
  await page.locator("#routes button", { hasText: "guarded" }).click();
  // What comes while a filter is set obeys it.
  await page.locator("#route").selectOption("broken");
  await deliver(gate, { id: "msg_hidden" });
  await deliver(gate, { id: "msg_shown", path: "/api/webhooks/broken" });
  await rowOf(page, "msg_shown").waitFor();
  assert.equal(await page.getByText("msg_hidden").count(), 0);
  await page.locator("#route").selectOption("-");
  assert.equal(await rows(page).count(), 1, "what came to no route");
  await quiet(view);
  await view.context.close();
});

test("keys alone are enough", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName);
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "deliveries");
  const order = [];
  for (let i = 0; i < 12 && order.at(-1) !== "open"; i += 1) {
    await page.keyboard.press("Tab");
    order.push(await focused());
  }
  assert.deepEqual(order, ["text", "route", "outcome", "open"]);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "focus is seen");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const number = await page.evaluate(() => document.activeElement.closest("tr").dataset.number);
  assert.equal(number, await rows(page).nth(2).getAttribute("data-number"));
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("#detail").isVisible());
  assert.equal(await focused(), "detail-title");
  // What comes meanwhile takes the focus from nobody.
  await deliver(gate, { id: "msg_meanwhile" });
  await rowOf(page, "msg_meanwhile").waitFor({ state: "attached" });
  assert.equal(await focused(), "detail-title");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr")?.dataset.number), number, "back where it was");
  await page.keyboard.press("Home");
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr")?.dataset.number), await rows(page).first().getAttribute("data-number"));
  await quiet(view);
  await view.context.close();
});

test("pause holds what comes, and resume shows it", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  await page.locator("#pause").click();
  assert.equal(await page.locator("#state").getAttribute("data-state"), "paused");
  await deliver(gate, { id: "msg_paused" });
  await page.getByRole("button", { name: "Resume (1 new)" }).waitFor();
  assert.equal(await page.getByText("msg_paused").count(), 0);
  await accessible(page, "paused");
  await page.locator("#pause").click();
  await rowOf(page, "msg_paused").waitFor();
  assert.equal(await page.locator("#state").getAttribute("data-state"), "live");
  await quiet(view);
  await view.context.close();
});

test("what a stranger writes is shown as text", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  const markup = '<img src=x onerror="window.hit=1"><script>window.hit=2</script>';
  assert.equal(await charge(gate, { id: markup }), 200, "a sender may call its events what it likes");
  assert.equal(await charge(gate, { id: "evt_markup", type: '"><svg/onload=window.hit=3>' }), 200);
  const socket = net.connect(gate.port, "127.0.0.1");
  // No path with `<` gets this far; one that could end an attribute does.
  const path = "/./'onload='window.hit=4'/api/webhooks/clerk";
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  await new Promise((done) => socket.resume().on("close", done));
  await page.locator("#rows td", { hasText: path }).first().waitFor();
  const row = page.locator("#rows tr", { hasText: "<script>" }).first();
  await row.waitFor();
  assert.ok((await row.innerText()).includes(markup));
  await row.click();
  assert.ok((await page.locator("#detail-body").innerText()).includes(markup));
  await shoot(page, "markup");
  await page.keyboard.press("Escape");
  await page.locator("#rows tr", { hasText: "window.hit=3" }).first().click();
  await page.keyboard.press("Escape");
  await sleep(200);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator("#rows img, #rows svg, #rows script, #detail img, #detail svg, #detail script").count(), 0);
  await quiet(view);
  await view.context.close();
});

test("the line to copy is one word of a shell each, whatever is in them", async () => {
  const view = await open(browser, gate, { permissions: ["clipboard-read", "clipboard-write"] });
  const { page } = view;
  const nasty = "it's $(touch /tmp/never) `id` \"x\" ; & | \\ *";
  assert.equal(await charge(gate, { id: nasty }), 200);
  assert.equal(await charge(gate, { id: nasty }), 200);
  await page.locator("#rows tr", { hasText: "$(touch", has: page.locator(".badge", { hasText: "duplicate" }) }).click();
  await page.getByRole("button", { name: "Copy the command" }).first().click();
  await page.getByText("Copied.").waitFor();
  const line = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(line, /^hookward forget --route stripe --id '/);
  const words = execFileSync("bash", ["-c", line.replace(/^hookward /, "printf '%s\\n' ")], { encoding: "utf8" }).trimEnd().split("\n");
  assert.deepEqual(words, ["forget", "--route", "stripe", "--id", nasty]);
  await page.keyboard.press("Escape");
  await charge(gate, { id: "-rf" });
  await charge(gate, { id: "-rf" });
  await page.locator("#rows tr", { hasText: "-rf", has: page.locator(".badge", { hasText: "duplicate" }) }).click();
  assert.match(await page.locator("#detail").innerText(), /hookward forget --route stripe --id=-rf/);
  await page.keyboard.press("Escape");
  // Without an id that can be shown the key is the same delivery.
  for (const [type, id] of [["id.long", "x".repeat(300)], ["id.odd", "a\nb"]]) {
    assert.deepEqual([await charge(gate, { id, type }), await charge(gate, { id, type })], [200, 200]);
    await page.locator("#rows tr", { hasText: type, has: page.locator(".badge", { hasText: "duplicate" }) }).click();
    assert.match(await page.locator("#detail").innerText(), /hookward forget --route stripe --key [0-9a-f]{32}\n/);
    await page.keyboard.press("Escape");
  }
  await quiet(view);
  await view.context.close();
});

test("a phone shows it all without scrolling sideways", async () => {
  const view = await open(browser, gate, { viewport: { width: 375, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
  const { page } = view;
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(await overflow(), 0);
  await accessible(page, "phone");
  await shoot(page, "phone");
  await page.locator("#deliveries").scrollIntoViewIfNeeded();
  await page.evaluate(() => document.getElementById("deliveries").scrollIntoView());
  await shoot(page, "phone-deliveries");
  await rowOf(page, "app answered 401").click();
  assert.equal(await overflow(), 0);
  await accessible(page, "details on a phone");
  await shoot(page, "phone-detail");
  await quiet(view);
  await view.context.close();
});

test("the dark and the still", async () => {
  const view = await open(browser, gate, { colorScheme: "dark", reducedMotion: "reduce" });
  const { page } = view;
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(background, "rgb(15, 18, 23)");
  await accessible(page, "dark");
  await shoot(page, "dark");
  await rowOf(page, "timestamp_too_old").click();
  await accessible(page, "details in the dark");
  await shoot(page, "dark-detail");
  const moving = await page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0);
  await quiet(view);
  await view.context.close();
});

test("a refused reload is said on the page", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  writeFileSync(gate.config, `${gate.text}\n[nonsense]\n`);
  await page.getByText("The configuration on the disk was refused").waitFor({ timeout: 20_000 });
  await accessible(page, "refused reload");
  await shoot(page, "reload-refused");
  writeFileSync(gate.config, gate.text);
  await page.locator("#reload-banner").waitFor({ state: "hidden", timeout: 20_000 });
  await view.context.close();
});

test("a lost connection is said, and a hookward that comes back begins anew", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  assert.ok((await rows(page).count()) > 5);
  await gate.stop();
  await page.locator("#state[data-state=lost]").waitFor();
  await page.getByText("No connection to hookward since").waitFor();
  assert.ok((await rows(page).count()) > 5, "what was there can still be read");
  await accessible(page, "connection lost");
  await shoot(page, "lost");
  const again = await startHookward(app, { port: gate.port, inspector: gate.inspector });
  await page.locator("#state[data-state=live]").waitFor({ timeout: 20_000 });
  await page.getByText("No webhook has arrived yet.").waitFor();
  await deliver(again, { id: "msg_again" });
  await rowOf(page, "msg_again").waitFor();
  assert.equal(await rows(page).count(), 1);
  await view.context.close();
});

test("a flood is shown, bounded, and the page stays usable", async () => {
  const view = await open(browser, gate);
  const { page } = view;
  for (let batch = 0; batch < 24; batch += 1) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => deliver(gate, { id: `msg_flood_${batch}_${i}`, forged: true })));
  }
  await until("a thousand rows", async () => (await rows(page).count()) === 1000, 20_000);
  assert.equal(await page.getByText("msg_again").count(), 1, "the genuine one is not pushed out");
  await page.locator("#outcome").selectOption("accepted");
  assert.equal(await rows(page).count(), 1);
  await quiet(view);
  await view.context.close();
});

test("a delivery whose body was written anew is explained, as the README shows it", async () => {
  const own = await startHookward(app, { only: ["clerk", "office", "stripe"] });
  await deliver(own, { id: "msg_2yT0kVbXq1", type: "user.created" });
  await deliver(own, { id: "msg_2yT0kXwR7c", type: "session.created" });
  await charge(own, { id: "evt_1QLm8R2eZv", type: "invoice.paid" });
  await deliver(own, { id: "msg_2yT0kXwR7c", type: "session.created" });
  await deliver(own, { id: "msg_2yT0m2Hc9f", type: "user.updated" });
  await deliver(own, { id: "msg_2yT0m8Kd3s", path: "/api/webhooks/office" });
  await deliver(own, { id: "msg_2yT0m9Qz5a", type: "organization.created", at: now() - 900 });
  await deliver(own, { id: "msg_2yT0mAbC7d", type: "email.created" });
  await charge(own, { id: "evt_1QLm9T2eZv", type: "invoice.paid" });
  // The reason is looked for once a second.
  await sleep(1100);
  assert.equal(await deliver(own, { id: "msg_2yT0nE4Gh6", type: "user.updated", rewritten: true }), 401);
  const view = await open(browser, own, { viewport: { width: 1180, height: 640 } });
  const { page } = view;
  await rowOf(page, "signature_mismatch").click();
  const text = await page.locator("#detail").innerText();
  assert.match(text, /computing the signature again/);
  assert.match(text, /body_reserialised: /);
  await shoot(page, "readme");
  await quiet(view);
  await view.context.close();
});
