// The configuration that most tests use: the app's three webhook routes, each with its provider.
import { upstreamOf } from "./processes.mjs";

export function routesFor() {
  const clerk = [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }];
  return {
    clerk: { path: "/api/webhooks/clerk", provider: "clerk", secrets: clerk },
    pages: { path: "/api/clerk-webhook", provider: "svix", secrets: clerk },
    standard: {
      path: "/api/webhooks/standard",
      provider: "standard-webhooks",
      secrets: [{ label: "current", env: "STANDARD_SECRET" }],
    },
  };
}

export function configFor(app, more = {}) {
  return {
    server: { upstream: upstreamOf(app), ...more.server },
    app: {
      framework: "nextjs",
      base_path: app.base,
      locales: app.base || app.variant === "i18n" ? ["en", "fr", "sk"] : [],
      aliases: ["/bf/clerk", "/hooks/clerk", "/fb/clerk", "/legacy-hook", "/gw", "/mwalias"],
      ...more.app,
    },
    client_ip: more.client_ip,
    limits: more.limits,
    routes: { ...routesFor(), ...more.routes },
  };
}

// A delivery as a sender makes it: POST, JSON, its headers.
export function delivery(target, body, headers, more = []) {
  return { method: "POST", target, headers: [["content-type", "application/json"], ...Object.entries(headers), ...more], body };
}
