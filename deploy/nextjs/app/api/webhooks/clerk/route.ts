import { verifyWebhook } from "@clerk/nextjs/webhooks";
import type { NextRequest } from "next/server";
import { readVerifiedEvent } from "../../../../verified-event";

export async function POST(request: NextRequest) {
  const proven = await readVerifiedEvent(request, {
    // Leave `token` out if nobody but hookward can reach the app.
    token: { algorithm: "HS256", key: process.env.VERIFIED_EVENT_KEY },
    onRefused: (reason) => console.warn(`webhook refused: ${reason}`),
  });
  if (!proven) return new Response("not verified", { status: 403 });

  const event = await verifyWebhook(request); // the second belt; throws if the signature does not fit
  if (event.type === "user.created") await createUserOnce(proven.id!, event.data.id);
  return Response.json({ id: proven.id, type: event.type });
}

// Idempotent: the same id may come again. An INSERT … ON CONFLICT DO NOTHING is enough.
async function createUserOnce(deliveryId: string, userId: string) {}
