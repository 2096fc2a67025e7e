// Pages Router handlers: these run for every method, whatever the app had in mind.
import { rawBody, sha256, started } from "./runs.js";

export function hook(handler, verify) {
  return async function run(req, res) {
    const run = started(handler, req.method, req.url);
    // As in app-route.js. Next puts the route's own parameters beside those of the query string.
    const params = [req.query.provider ?? req.query.path ?? []].flat();
    if (params.length) run.handler = [handler, ...params].join("/");
    const body = await rawBody(req);
    run.sha256 = sha256(body);
    run.length = body.length;
    run.verifiedEvent = req.headers["verified-event"] ?? null;
    run.headers = Object.keys(req.headers);
    if (verify) {
      try {
        run.type = verify(body, req.headers).type;
        run.verified = true;
      } catch (error) {
        run.verified = false;
        run.error = String(error.message ?? error);
      }
    }
    res.status(run.verified === false ? 400 : 200).json(run);
  };
}
