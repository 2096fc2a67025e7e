// Any middleware at all opens the /_next/data door to API routes; /mwalias is a rewrite no manifest shows.
import { NextResponse } from "next/server";

// The echo route stays out of it: before a proxy runs, Next holds back the whole body.
export const config = { matcher: "/((?!api/echo).*)" };

export function proxy(request) {
  if (request.nextUrl.pathname === "/mwalias") {
    const url = request.nextUrl.clone();
    url.pathname = "/api/clerk-webhook";
    return NextResponse.rewrite(url);
  }
  return NextResponse.next();
}
