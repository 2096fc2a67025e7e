import { verifyWebhook } from "@clerk/nextjs/webhooks";
import { hook } from "../../../../hooks/app-route.js";

export const POST = hook("/api/webhooks/clerk", (request) => verifyWebhook(request));
