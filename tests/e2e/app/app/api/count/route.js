// What ran: GET reads, DELETE resets, POST ?hit= is for the edge handler, which cannot reach the record itself.
import { read, reset, started } from "../../../hooks/runs.js";

export const dynamic = "force-dynamic";

export function GET() {
  return Response.json(read());
}

export function DELETE() {
  reset();
  return Response.json(read());
}

export function POST(request) {
  started(new URL(request.url).searchParams.get("hit"), "POST", request.url);
  return Response.json(read());
}
