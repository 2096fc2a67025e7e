// App Router handlers: one recording wrapper, with or without a verification of the app's own.
import { sha256, started } from "./runs.js";

export function hook(handler, verify) {
  return async function run(request, context) {
    const run = started(handler, request.method, request.url);
    // A dynamic route is one handler per name: /api/dyn/[provider] called as clerk is the one that a test protects.
    const params = Object.values((await context?.params) ?? {}).flat();
    if (params.length) run.handler = [handler, ...params].join("/");
    const copy = request.clone();
    const body = Buffer.from(await copy.arrayBuffer());
    run.sha256 = sha256(body);
    run.length = body.length;
    run.verifiedEvent = request.headers.get("verified-event");
    run.headers = [...request.headers.keys()];
    if (verify) {
      try {
        run.type = (await verify(request)).type;
        run.verified = true;
      } catch (error) {
        run.verified = false;
        run.error = String(error.message ?? error);
      }
    }
    return Response.json(run, { status: run.verified === false ? 400 : 200 });
  };
}

// A handler that answers every method it can, as a careless app does.
export function everyMethod(handler) {
  const run = hook(handler);
  return { GET: run, POST: run, PUT: run, PATCH: run, DELETE: run };
}
