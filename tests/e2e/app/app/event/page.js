// Shows the header that hookward sets, so that a test can see what a page is told.
import { headers } from "next/headers";

export default async function Event() {
  const seen = [...(await headers())].filter(([name]) => name.replaceAll("_", "-").startsWith("verified-event"));
  return <pre id="seen">{JSON.stringify(seen)}</pre>;
}
