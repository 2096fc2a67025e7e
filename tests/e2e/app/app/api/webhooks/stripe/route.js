// No route in hookward's configuration names this one: `hookward check --next-manifest` has to find it.
import { hook } from "../../../../hooks/app-route.js";

export const POST = hook("/api/webhooks/stripe");
