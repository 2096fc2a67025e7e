// Any middleware at all opens the /_next/data door to API routes; /mwalias is a rewrite no manifest shows.
import { NextResponse } from "next/server";

export function proxy(request) {
  if (request.nextUrl.pathname === "/mwalias") {
    const url = request.nextUrl.clone();
    url.pathname = "/api/clerk-webhook";
    return NextResponse.rewrite(url);
  }
  return NextResponse.next();
}
