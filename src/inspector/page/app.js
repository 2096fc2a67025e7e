// The inspector's page. Whatever comes from the network is put into the page as text (textContent), never as markup: paths,
// addresses and details are a stranger's own words.

const MOST = 1000;
const STATUS_EVERY = 5000;
const SILENCE = 40_000;
const ANNOUNCE_EVERY = 10_000;

const find = (id) => document.getElementById(id);
const decisions = new Map();
let words = { rejects: {}, outcomes: {}, details: [], steps: [], guards: [] };
let status = null;
let waiting = 0;
let paused = false;
let run = null;
let source = null;
let heard = Date.now();
let opener = null;
let shown = null;
let unannounced = [];

// ---- Building

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

const fill = (node, ...children) => node.replaceChildren(...children.flat().filter(Boolean));

// ---- What a decision is

const APP_SAYS_NO = (d) => d.outcome === "forwarded" && d.status >= 300;

function kind(d) {
  switch (d.outcome) {
    case "forwarded":
      return APP_SAYS_NO(d) ? "guard" : "accepted";
    case "filtered":
    case "handshake":
      return "accepted";
    case "duplicate":
      return "duplicate";
    case "would_reject":
      return "would";
    case "client_left":
      return "left";
    default:
      return "refused";
  }
}

const LOOK = {
  accepted: ["ok", "✓"],
  guard: ["warn", "!"],
  refused: ["bad", "✕"],
  duplicate: ["info", "="],
  would: ["warn", "~"],
  left: ["", "…"],
};

const asked = (d) => (d.method === "-" ? "(not readable)" : `${d.method} ${d.path}`);

function label(d) {
  if (d.outcome === "forwarded") return APP_SAYS_NO(d) ? `app answered ${d.status}` : "forwarded";
  if (d.outcome === "would_reject") return `would: ${d.would_reject ?? "refused"}`;
  return d.outcome;
}

function badge(d) {
  const [tone, mark] = LOOK[kind(d)];
  return el("span", { class: `badge ${tone}` }, el("span", { "aria-hidden": "true" }, mark), el("span", {}, label(d)));
}

// ---- Writing values

const pad = (number, width = 2) => String(number).padStart(width, "0");

function clockTime(text) {
  const at = new Date(text);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const today = at.toDateString() === new Date().toDateString();
  return today ? `${time}.${pad(at.getMilliseconds(), 3)}` : `${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

function duration(us) {
  if (us === undefined) return undefined;
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(1)} s`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1 << 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

function span(seconds) {
  const units = [[86_400, "d"], [3600, "h"], [60, "min"]];
  for (const [unit, name] of units) if (seconds >= unit * 2) return `${Math.floor(seconds / unit)} ${name}`;
  return `${seconds} s`;
}

const ago = (text) => `${span(Math.max(0, Math.round((Date.now() - new Date(text)) / 1000)))} ago`;

function skew(seconds) {
  if (seconds === undefined) return undefined;
  if (seconds === 0) return "0 s";
  return seconds > 0 ? `${span(seconds)} ahead of this machine's clock` : `${span(-seconds)} behind this machine's clock`;
}

// ---- The line that sends a delivery once more

/** One word of a POSIX shell, whatever is in it. */
function quote(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** `null`: it cannot be written. */
function command(parts) {
  const line = [];
  for (const part of parts) {
    if (!Array.isArray(part)) line.push(part);
    // A value that begins like an option would be taken for one.
    else if (part[1].startsWith("-")) line.push(`${part[0]}=${part[1]}`);
    else line.push(...part);
  }
  // eslint-disable-next-line no-control-regex
  return line.some((word) => /[\u0000-\u001f\u007f-\u009f]/.test(word)) ? null : line.map(quote).join(" ");
}

/** What is sent, and what to know about it; `line` is null where nothing can be sent. */
function sendLine(route, path, type) {
  const { possible, own, events, body, options, secret, variable } = route.send;
  if (!possible) {
    return { line: null, notes: [`Only ${route.provider} can sign: its private key is its own. Ask it to send the event again.`] };
  }
  const parts = ["hookward", "send", ["--provider", route.provider]];
  const notes = [];
  if (own) parts.push(["--config", "hookward.toml"]);
  const known = events.includes(type) ? type : undefined;
  if (known) {
    parts.push(["--event", known]);
    notes.push("Sends the sample of this type under a new id, so that it runs.");
  } else if (body || (type && events.length > 0)) {
    parts.push(["--body", "event.json"]);
    notes.push("Save the event's body as event.json first: hookward keeps none.");
  } else {
    if (events.length > 0) parts.push(["--event", events.includes("user.created") ? "user.created" : events[0]]);
    notes.push("Sends a genuine sample to the same path.");
  }
  for (const name of options) parts.push(["--option", `${name}=…`]);
  if (secret?.env) {
    if (secret.env !== variable) parts.push(["--secret-env", secret.env]);
    notes.push(`The secret is read from ${secret.env}, as the route's is: set it where you run this.`);
  } else if (secret?.file) {
    parts.push(["--secret-file", secret.file]);
    notes.push("The secret is read from the route's file: run this where that file is.");
  } else if (secret) {
    parts.push(["--secret-env", "SECRET"]);
    notes.push("The route's secret is in the configuration (insecure_value): put it into the variable SECRET first.");
  }
  if (!route.methods.includes("POST")) {
    parts.push(["--method", route.methods.find((method) => !["GET", "HEAD"].includes(method)) ?? route.methods[0]]);
  }
  if (route.url) parts.push(["--url", route.path.endsWith("*") ? route.url.slice(0, -route.path.length) + path : route.url]);
  parts.push(["--to", (status?.doors[0] ?? "http://localhost:8080") + path]);
  return { line: command(parts), notes };
}

function copyBlock(text, what) {
  const code = el("pre", {}, el("code", {}, text));
  const said = el("span", { role: "status", class: "note" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = "Selected: copy it with the keyboard.";
    }
  };
  const button = el("button", { type: "button", on: { click: copy } }, `Copy ${what}`);
  return el("div", { class: "copy" }, code, el("div", {}, button, " ", said));
}

function repeat(route, path, type) {
  const { line, notes } = sendLine(route, path, type);
  return [line && copyBlock(line, "the command"), ...notes.map((note) => el("p", { class: "note" }, note))];
}

// ---- Rows

const matches = (d) => {
  const text = find("text").value.trim().toLowerCase();
  const route = find("route").value;
  const outcome = find("outcome").value;
  if (route === "-" ? d.route !== undefined : route && d.route !== route) return false;
  if (outcome && kind(d) !== outcome) return false;
  if (!text) return true;
  const all = [d.event_id, d.event_type, d.path, d.route, d.provider, d.client, d.peer, d.outcome, d.status, d.secret, d.detail, d.hint, d.request_id];
  return all.some((value) => value !== undefined && String(value).toLowerCase().includes(text));
};

const cell = (value, className = "") =>
  el("td", { role: "cell", class: value === undefined ? `${className} nothing` : className, title: value }, value ?? el("span", { class: "none", "aria-label": "none" }, "–"));

function row(d, fresh) {
  const open = el("button", { type: "button", class: "open", "aria-haspopup": "dialog" }, clockTime(d.time), el("span", { class: "quiet" }, " details"));
  const tr = el(
    "tr",
    { role: "row", class: fresh ? "fresh" : undefined, "data-number": d.number },
    el("td", { role: "cell", title: d.time }, open),
    el("td", { role: "cell", title: d.outcome }, badge(d)),
    cell(d.route),
    cell(d.event_type ?? (d.route ? undefined : asked(d))),
    cell(d.event_id, "mono"),
    cell(d.client ?? d.peer, "mono"),
    cell(d.secret),
    cell(d.status, "number"),
    cell(duration(d.duration_us), "number"),
  );
  tr.addEventListener("click", () => openDetail(d, open));
  return tr;
}

function inOrder() {
  return [...decisions.values()].sort((one, other) => other.number - one.number);
}

function drawAll() {
  const active = document.activeElement?.closest?.("#rows tr")?.dataset.number;
  fill(find("rows"), inOrder().filter(matches).map((d) => row(d, false)));
  if (active) find("rows").querySelector(`tr[data-number="${Number(active)}"] .open`)?.focus();
  drawFrame();
}

function drawFrame() {
  const rows = find("rows").children.length;
  const all = decisions.size;
  find("count").textContent = all === 0 ? "" : rows === all ? `${all}` : `${rows} of ${all}`;
  find("table").hidden = rows === 0;
  find("empty").hidden = rows !== 0;
  const filtered = Boolean(find("text").value || find("route").value || find("outcome").value);
  find("clear").hidden = !filtered;
  if (rows === 0) drawEmpty(all > 0);
}

let emptyDrawn = "";
function drawEmpty(filtered) {
  const state = JSON.stringify([filtered, status?.routes.map((route) => [route.name, route.path]), status?.doors]);
  if (state === emptyDrawn && find("empty").children.length > 0) return;
  emptyDrawn = state;
  if (filtered) {
    fill(find("empty"), el("h3", {}, "Nothing matches the filter."), el("p", {}, "There are others: use Clear, or Escape in the search field."));
    return;
  }
  const routes = status?.routes ?? [];
  const first = routes.find((route) => route.send.possible);
  const unmatched = status?.unmatched === "deny" ? "is refused as no_route, and shown here" : "goes to the app unverified, and is not shown here";
  fill(
    find("empty"),
    el("h3", {}, "No webhook has arrived yet."),
    el("p", {}, "This page shows each one as it ends, genuine or refused. To see one:"),
    el(
      "ol",
      {},
      el(
        "li",
        {},
        "Let the sender call one of these paths, exactly. A request to another path ",
        unmatched,
        ".",
        el("ul", {}, routes.map((route) => el("li", {}, el("span", { class: "mono" }, route.path)))),
      ),
      first && el("li", {}, "Or send a signed sample from this machine:", repeat(first, first.path.replace(/\*$/, "test"), undefined)),
      el("li", {}, "Still nothing? Then no request reaches hookward: check the address that the sender has, its DNS name, the ingress and the Service's port."),
    ),
  );
}

/** As hookward itself does: no kind pushes out the others. */
function trim() {
  while (decisions.size > MOST) {
    const rings = {};
    for (const d of inOrder()) (rings[d.secret ? "genuine" : d.route ? "unproven" : "unrouted"] ??= []).push(d.number);
    const longest = Object.values(rings).sort((one, other) => other.length - one.length)[0];
    for (const number of longest.slice(-(decisions.size - MOST))) {
      decisions.delete(number);
      find("rows").querySelector(`tr[data-number="${number}"]`)?.remove();
    }
  }
}

let gathered = [];
function take(d) {
  if (paused) {
    waiting += 1;
    drawState();
    return;
  }
  gathered.push(d);
  // Not a frame of animation: a hidden tab has none.
  if (gathered.length === 1) setTimeout(takeGathered, 30);
}

function takeGathered() {
  const fresh = gathered.filter((d) => !decisions.has(d.number));
  gathered = [];
  const few = fresh.length < 20;
  for (const d of fresh) decisions.set(d.number, d);
  const rows = fresh.filter(matches).sort((one, other) => other.number - one.number);
  find("rows").prepend(...rows.map((d) => row(d, few)));
  unannounced.push(...fresh);
  trim();
  drawFrame();
}

document.addEventListener("visibilitychange", () => !document.hidden && askStatus());

// ---- Detail

function fact(name, value, className) {
  return value === undefined || value === null ? null : el("div", {}, el("dt", {}, name), el("dd", { class: className }, value));
}

/** Of one step: how it looks, its mark, and what is said of it. */
function stepState(d, number, reached) {
  const is = kind(d);
  if (number === reached) {
    if (is === "refused") return ["stopped bad", "✕", "refused here"];
    if (is === "would") return ["stopped warn", "~", "would have been refused here"];
    if (is === "guard") return ["stopped warn", "!", "the app said no"];
    return ["stopped", "●", "ended here"];
  }
  // What a check only logs goes on, past the filter and the claim.
  if (is === "would" && (number === 9 || number === 10)) return ["", "·", "left out"];
  return number < reached || is === "would" ? ["passed", "✓", "passed"] : ["", "·", "not reached"];
}

function steps(d) {
  const last = words.steps.length;
  const reached = d.outcome === "forwarded" ? (APP_SAYS_NO(d) ? last : last + 1) : d.step;
  if (!reached) return [];
  const items = words.steps.map((name, index) => {
    const [look, mark, said] = stepState(d, index + 1, reached);
    return el("li", { class: look }, el("span", { class: "mark", "aria-hidden": "true" }, mark), el("span", {}, name, el("span", { class: "quiet" }, `: ${said}`)));
  });
  return [el("h3", {}, "The gate's steps, in order"), el("ol", { class: "steps" }, items)];
}

function callout(tone, title, ...rest) {
  return el("div", { class: `callout ${tone}` }, el("strong", {}, title), rest.filter(Boolean).map((text) => (text instanceof Node ? text : el("p", {}, text))));
}

function why(d) {
  const code = d.outcome === "would_reject" ? d.would_reject : d.outcome;
  const reject = words.rejects[code];
  const outcome = words.outcomes[d.outcome];
  const notes = [];
  if (d.header) notes.push(el("p", {}, "Header: ", el("code", {}, d.header)));
  const said = words.details.find((detail) => detail.reject === code && detail.code === d.detail);
  if (d.detail) notes.push(el("p", {}, "Detail: ", d.detail, said && `: ${said.why}`));
  const tone = LOOK[kind(d)][0];
  const parts = [];
  if (d.outcome === "would_reject") parts.push(callout("warn", outcome?.title ?? "", outcome?.fix));
  if (reject) parts.push(callout(tone, reject.title, reject.fix && `What to do: ${reject.fix}`, ...notes));
  else if (!APP_SAYS_NO(d)) parts.push(callout(tone, outcome?.title ?? d.outcome, outcome?.fix, ...notes));
  if (d.hint) parts.push(callout("info", "What was found out by computing the signature again", d.hint));
  if (APP_SAYS_NO(d)) parts.push(...appSaysNo(d));
  if (d.outcome === "duplicate" && d.route && d.replay_key) {
    // Where deliveries are told apart by their content, or the id is nothing to be shown, only the key names one.
    const byId = d.event_id && status?.routes.find((route) => route.name === d.route)?.replay === "dedupe";
    const line = command(["hookward", "forget", ["--route", d.route], byId ? ["--id", d.event_id] : ["--key", d.replay_key]]);
    if (line) parts.push(copyBlock(line, "the command"));
  }
  return parts;
}

function appSaysNo(d) {
  const guard = words.guards.find((guard) => guard.from <= d.status && d.status <= guard.to);
  if (!d.app_guard || !guard) {
    return [callout("warn", `Proven genuine and forwarded; the app answered ${d.status}.`, "The sender sees this answer and tries again. The reason is in the app's log.")];
  }
  // The app's middleware sees paths without its basePath.
  const base = status?.base_path ?? "";
  const seen = d.path.startsWith(`${base}/`) ? d.path.slice(base.length) : d.path;
  const path = `${seen.replace(/[^A-Za-z0-9/_.~-].*$/, "")}(.*)`;
  const example = `const isWebhook = createRouteMatcher([${JSON.stringify(path)}]);

export default clerkMiddleware(async (auth, request) => {
  if (!isWebhook(request)) await auth.protect();
});`;
  return [
    callout("warn", guard.title, guard.fix),
    el("p", { class: "note" }, "With Clerk, in proxy.ts (middleware.ts before Next.js 16):"),
    copyBlock(example, "the example"),
  ];
}

function openDetail(d, from) {
  opener = from;
  shown = d.number;
  const route = status?.routes.find((route) => route.name === d.route);
  fill(find("detail-title"), badge(d), ` ${d.event_type ?? asked(d)}`);
  const took = d.upstream_us === undefined ? undefined : `${duration(d.upstream_us)} until the app's answer began`;
  fill(
    find("detail-body"),
    why(d),
    steps(d),
    el("h3", {}, "What is known"),
    el(
      "dl",
      { class: "facts" },
      fact("Time", `${clockTime(d.time)} (${d.time})`),
      fact("Event id", d.event_id, "mono"),
      fact("Event type", d.event_type),
      fact("Route", d.route),
      fact("Provider", d.provider),
      fact("Request", asked(d), "mono"),
      fact("Answered with", d.status),
      fact("Secret that fitted", d.secret),
      fact("Timestamp", skew(d.skew_seconds)),
      fact("Client", d.client, "mono"),
      fact("Connection from", d.peer, "mono"),
      fact("Took", duration(d.duration_us)),
      fact("App", took),
      fact("Body received", d.bytes_in > 0 || d.route ? size(d.bytes_in) : undefined),
      fact("Answer's body", `${size(d.bytes_out)}${d.cut_off ? ", broken off" : ""}`),
      fact("Replay key", d.replay_key, "mono"),
      fact("Request id", d.request_id, "mono"),
    ),
    route && [el("h3", {}, "Send one like it"), repeat(route, d.path, d.event_type)].flat(),
  );
  const dialog = find("detail");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  find("detail-title").focus();
}

find("close").addEventListener("click", () => find("detail").close());
find("detail").addEventListener("click", (event) => {
  if (event.target === find("detail")) find("detail").close();
});
find("detail").addEventListener("close", () => {
  // Where the browser has put the focus back, or a key has moved it on since, it stays. The table may have been drawn anew meanwhile.
  if (document.activeElement !== document.body) return;
  const again = opener?.isConnected ? opener : find("rows").querySelector(`tr[data-number="${shown}"] .open`);
  (again ?? find("deliveries")).focus();
});

// ---- Status

function tally(name, count, tone) {
  return el("span", { class: count > 0 ? tone : "" }, el("b", {}, count), ` ${name}`);
}

function drawStatus() {
  find("version").textContent = status.version;
  const chosen = find("route").value;
  const focused = document.activeElement?.closest?.("#routes button")?.dataset.route;
  fill(
    find("routes"),
    status.routes.map((route) => {
      const { accepted, app_failed, refused, duplicates, would_reject } = route.counts;
      const button = el(
        "button",
        { type: "button", "aria-pressed": String(chosen === route.name), "data-route": route.name, title: "Show only this route" },
        el("span", { class: "route-name" }, el("strong", {}, route.name), el("span", { class: "mono" }, route.path)),
        el(
          "span",
          { class: "tallies" },
          tally("accepted", accepted, "ok"),
          app_failed > 0 && tally("app said no", app_failed, "warn"),
          tally("refused", refused, "bad"),
          tally(duplicates === 1 ? "duplicate" : "duplicates", duplicates, ""),
          would_reject > 0 && tally("would be refused", would_reject, "warn"),
        ),
      );
      button.addEventListener("click", () => {
        find("route").value = find("route").value === route.name ? "" : route.name;
        changedFilter();
      });
      return el("li", {}, button);
    }),
  );
  if (focused !== undefined) [...find("routes").querySelectorAll("button")].find((button) => button.dataset.route === focused)?.focus();
  const names = ["", ...status.routes.map((route) => route.name), "-"];
  if (names.join("\n") !== [...find("route").options].map((option) => option.value).join("\n")) {
    fill(find("route"), names.map((name) => el("option", { value: name }, name === "" ? "All" : name === "-" ? "None (refused before)" : name)));
    find("route").value = names.includes(chosen) ? chosen : "";
  }
  drawPlan();
  if (find("rows").children.length === 0) drawFrame();
}

function drawPlan() {
  const reload = status.last_reload;
  fill(
    find("plan"),
    fact("Plan", status.plan.fingerprint, "mono"),
    fact("Loaded", `${ago(status.plan.loaded)} (${status.plan.loaded})`),
    fact("Last reload", reload ? `${reload.outcome}, ${ago(reload.time)}` : "none since the start"),
    fact("App", status.upstream, "mono"),
    fact("Other paths", status.unmatched === "deny" ? "refused with 404" : "forwarded unverified"),
    fact("Deliveries remembered", status.replay_store === "redis" ? "in Redis" : "in memory"),
    fact("Running since", `${ago(status.started)}`),
  );
  const refused = reload?.outcome === "refused";
  find("reload-banner").hidden = !refused;
  if (refused) {
    const text = "The configuration on the disk was refused: the plan before it is still in force. The log and `hookward check` say why.";
    if (find("reload-banner").textContent !== text) find("reload-banner").textContent = text;
  }
  const head = (...names) => el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));
  fill(
    find("checks"),
    el("table", {}, head("Route", "Path", "Sender", "Checks", "Secrets", "Limits"), el("tbody", {}, status.routes.map(planRow))),
  );
  find("lists").hidden = status.ip_lists.length === 0;
  const list = ({ name, entries, age_seconds, refresh_failures, error }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, entries),
      el("td", {}, age_seconds === null ? "not fetched yet" : span(age_seconds)),
      el("td", {}, refresh_failures > 0 ? el("span", { class: "chip bad" }, `${refresh_failures}: ${error ?? ""}`) : "none"),
    );
  fill(find("lists"), el("table", {}, head("List of addresses", "Entries", "Age", "Failed fetches"), el("tbody", {}, status.ip_lists.map(list))));
}

function planRow(route) {
  const chip = (text, tone = "") => el("span", { class: `chip ${tone}` }, text);
  const reported = (name) => (route.insecure_report.includes(name) ? "warn" : "");
  const checks = [
    chip(reported("signature") ? "signature: only logged" : "signature", reported("signature")),
    route.tolerance_seconds !== null
      ? chip(`${reported("timestamp") ? "time only logged" : "time"} ±${span(route.tolerance_seconds)}`, reported("timestamp"))
      : chip("time: not signed", "off"),
    route.allow_ips ? chip(reported("ip") ? "addresses: only logged" : "addresses", reported("ip")) : chip("any address", "off"),
    route.allow_ips_pending && chip("address list not fetched yet", "bad"),
    route.replay === "off" ? chip("duplicates run", "off") : chip(route.replay === "content" ? "runs once, by content" : "runs once"),
    route.events.length > 0 && chip(`only ${route.events.join(", ")}`),
    route.handshake && chip("handshake"),
  ];
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, route.name),
    el("td", { class: "mono" }, `${route.methods.join(", ")} ${route.path}`),
    el("td", {}, route.provider),
    el("td", {}, el("div", { class: "chips" }, checks)),
    el("td", {}, route.secrets.join(", ")),
    el("td", {}, `${size(route.max_body)}, ${(route.deadline_ms / 1000).toString()} s`),
  );
}

async function json(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function askStatus() {
  try {
    status = await json("/api/status");
    drawStatus();
  } catch {
    // The event stream tells of a lost connection.
  }
}

// ---- State

function drawState() {
  const lost = source === null || source.readyState !== EventSource.OPEN;
  const state = lost ? "lost" : paused ? "paused" : "live";
  const known = find("state").dataset.state;
  const text = { lost: "Connection lost", paused: "Paused", live: "Live" }[state];
  if (known !== state) {
    find("state").dataset.state = state;
    find("state-text").textContent = text;
    find("banner").hidden = !lost;
    find("banner").textContent = lost
      ? `No connection to hookward since ${clockTime(new Date().toISOString()).slice(0, 8)}; trying again. Is it running, and kubectl port-forward too? What is shown may be old.`
      : "";
  }
  const button = find("pause");
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? (waiting > 0 ? `Resume (${waiting} new)` : "Resume") : "Pause";
}

find("pause").addEventListener("click", async () => {
  paused = !paused;
  waiting = 0;
  drawState();
  if (paused) return;
  try {
    // hookward has kept what came meanwhile.
    const missed = await json(`/api/decisions?after=${Math.max(0, ...decisions.keys())}`);
    if (missed.run === run) missed.decisions.forEach(take);
  } catch {
    // The event stream tells of a lost connection.
  }
});

function connect() {
  source?.close();
  source = new EventSource("/api/events");
  const current = source;
  const alive = () => {
    heard = Date.now();
    if (current === source) drawState();
  };
  current.addEventListener("open", alive);
  current.addEventListener("alive", alive);
  current.addEventListener("hello", (event) => {
    const hello = JSON.parse(event.data);
    if (hello.run !== run || hello.after === 0) {
      // Another process, or all of it once more.
      run = hello.run;
      decisions.clear();
      waiting = 0;
      drawAll();
      askStatus();
    }
    alive();
  });
  current.addEventListener("decision", (event) => {
    heard = Date.now();
    take(JSON.parse(event.data));
  });
  current.addEventListener("error", () => {
    if (current !== source) return;
    drawState();
    // The browser tries again by itself, unless it was refused.
    if (current.readyState === EventSource.CLOSED) setTimeout(() => current === source && connect(), 3000);
  });
}

setInterval(() => {
  if (Date.now() - heard > SILENCE && source?.readyState === EventSource.OPEN) connect();
}, 5000);

setInterval(() => {
  if (!document.hidden) askStatus();
}, STATUS_EVERY);

// One sentence now and then, and nothing for what was there before the page.
let first = true;
setInterval(() => {
  const refused = unannounced.filter((d) => kind(d) === "refused").length;
  if (!first && unannounced.length > 0) find("announce").textContent = `${unannounced.length} new: ${refused} refused.`;
  first = false;
  unannounced = [];
}, ANNOUNCE_EVERY);

// ---- Filter and keyboard

function changedFilter() {
  drawAll();
  for (const button of find("routes").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.route === find("route").value));
  }
}

function clearFilter() {
  find("filter").reset();
  changedFilter();
}

find("filter").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["text", "route", "outcome"]) find(id).addEventListener("input", changedFilter);
find("text").addEventListener("keydown", (event) => event.key === "Escape" && clearFilter());
find("clear").addEventListener("click", () => {
  clearFilter();
  find("text").focus();
});

find("rows").addEventListener("keydown", (event) => {
  const tr = event.target.closest("tr");
  const rows = find("rows").children;
  const to = { ArrowDown: tr?.nextElementSibling, ArrowUp: tr?.previousElementSibling, Home: rows[0], End: rows[rows.length - 1] }[event.key];
  if (!to) return;
  event.preventDefault();
  to.querySelector(".open").focus();
});

// ---- Begin

const byCode = (list) => Object.fromEntries(list.map((row) => [row.code, row]));
try {
  const told = await json("/api/words");
  words = { ...told, rejects: byCode(told.rejects), outcomes: byCode(told.outcomes) };
} catch {
  // The details do without.
}
await askStatus();
drawAll();
connect();
