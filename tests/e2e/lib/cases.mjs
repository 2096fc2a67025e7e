// The recorded requests that did run a handler around its path (data/bypass-cases.json), sorted into classes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { here } from "./processes.mjs";

const aliases = ["/bf/clerk", "/hooks/clerk", "/fb/clerk", "/legacy-hook", "/mwalias"];

export const cases = JSON.parse(readFileSync(join(here, "data/bypass-cases.json"), "utf8")).map((recorded) => ({
  ...recorded,
  // Cases without a protected route were recorded against an app whose Pages Router handlers are all webhooks; the
  // aliases lead to /api/clerk-webhook.
  routes: recorded.protected ? [recorded.protected] : ["/api/clerk-webhook", "/api/pdyn/clerk", "/api/grouped", "/api/webhooks/clerk"],
  aliases: recorded.protected ? [] : aliases,
  classes: classesOf(recorded),
}));

// The builds of the app in which this case can run its handler, and how they are started.
export function placesOf({ base_path, asset_prefix, locales, request_target }) {
  if (request_target.startsWith("/_next/data/development/")) return ["i18n dev"];
  if (base_path) return ["basepath start"];
  if (asset_prefix) return ["assets start"];
  if (locales.length) return ["i18n start"];
  return ["base start", "slash start", "base custom"];
}

export function messageOf({ method, request_target, headers }) {
  const body = method === "POST" ? Buffer.from('{"type":"user.created","data":{"id":"user_forged"}}') : undefined;
  return { method, target: request_target, headers: body ? { "content-type": "application/json", ...headers } : headers, body };
}

function classesOf({ method, request_target: target, base_path, locales }) {
  const path = target.split(/[?#]/)[0];
  const plain = path.replace(base_path, "");
  const dotted = path.replace(/%2e/gi, ".").split(/[/\\]/).some((segment) => segment === "." || segment === "..");
  const found = {
    "a /_next/data address": /\/_next\/data\/(BUILDID|development|rel\/1\.2)\//.test(path),
    "a build id with a slash": path.startsWith("/_next/data/rel/1.2/"),
    "an asset prefix": /^\/cdn\//i.test(path),
    "the image optimizer": /\/_next\/image\/?$/i.test(path),
    "the image optimizer behind a /_next/data address": /\/_next\/data\/.*\/_next\/image\.json$/.test(path),
    "a fragment": target.includes("#"),
    "dot segments": dotted,
    "a backslash": path.includes("\\"),
    "encoded letters": /%[4-7][0-9a-f]/i.test(path.replace(/%5c/gi, "")),
    "a control or non-ASCII byte": /[^\x21-\x7e]/.test(target),
    "an internal suffix": /\.rsc\/?$/.test(path),
    "a locale prefix": locales.length > 0 && new RegExp(`(^|/BUILDID)/(${locales.join("|")})/`, "i").test(plain),
    "a trailing slash": /[^/]\/$/.test(path) && !/_next\/image/.test(path),
    "the app's own rewrites": /^(\/(en|fr|sk|_next\/data\/\w+))*\/(bf\/clerk|hooks\/clerk|fb\/clerk|legacy-hook|mwalias|gw)(\.json)?\/?$/i.test(plain),
    "another method": method !== "POST",
  };
  return Object.keys(found).filter((name) => found[name]);
}
