import { abortedRequests } from "../../../hooks/runs.js";

export const dynamic = "force-dynamic";

export function GET() {
  return Response.json({ aborted: abortedRequests() });
}
