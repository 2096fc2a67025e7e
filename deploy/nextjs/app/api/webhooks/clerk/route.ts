import { headers } from "next/headers";
import type { NextRequest } from "next/server";
import { parseDictionary } from "structured-headers";
import { verifyWebhook } from "@clerk/nextjs/webhooks";

export async function POST(request: NextRequest) {
  const value = (await headers()).get("verified-event"); // or request.headers.get("verified-event")
  if (value === null) return new Response("not verified", { status: 403 });
  const proof = parseDictionary(value);
  const id = String(proof.get("id")?.[0]);

  const event = await verifyWebhook(request); // the second belt; throws if the signature does not fit
  if (event.type === "user.created") await createUserOnce(id, event.data.id);
  return new Response(null, { status: 204 });
}

// Idempotent: the same id may come again. An INSERT … ON CONFLICT DO NOTHING is enough.
async function createUserOnce(deliveryId: string, userId: string) {}
