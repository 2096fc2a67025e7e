// One app, several builds: VARIANT chooses how Next reads paths. Each build has a directory of its own.
import { fileURLToPath } from "node:url";

const locales = { locales: ["en", "fr", "sk"], defaultLocale: "en", localeDetection: false };

const variants = {
  base: {},
  slash: { skipTrailingSlashRedirect: true },
  i18n: { i18n: locales },
  basepath: { basePath: "/base", i18n: locales },
  // With a build id like a branch's name.
  assets: { assetPrefix: "/cdn", i18n: locales, generateBuildId: () => "rel/1.2" },
};

const variant = process.env.VARIANT ?? "base";

export default {
  generateBuildId: () => "BUILDID", // as the recorded cases spell it
  ...variants[variant],
  distDir: `.next/${process.env.DIST ?? variant}`,
  turbopack: { root: fileURLToPath(new URL("..", import.meta.url)) },
  outputFileTracingRoot: fileURLToPath(new URL("..", import.meta.url)),
  experimental: { proxyClientMaxBodySize: "64mb" }, // a proxy.js lets only the first 10 MB through otherwise
  rewrites: async () => ({
    beforeFiles: [
      { source: "/bf/clerk", destination: "/api/clerk-webhook" },
      { source: "/gw", has: [{ type: "query", key: "svc", value: "clerk" }], destination: "/api/clerk-webhook" },
    ],
    afterFiles: [
      { source: "/hooks/clerk", destination: "/api/clerk-webhook" },
      { source: "/legacy-hook", destination: "/api/clerk-webhook" },
    ],
    fallback: [{ source: "/fb/clerk", destination: "/api/clerk-webhook" }],
  }),
};
