// Reads what hookward proved about a webhook delivery: the `verified-event` header, and with a key its token as well.
//
// The header alone is proof only where nobody but hookward can reach the app. With `options.token` it is proof everywhere:
// the token is signed, short-lived, and names the body by its hash. Copy this file into your app; it needs the npm
// package `jose`, and works in route handlers (App Router), API routes (Pages Router) and on the edge.
import { importSPKI, jwtVerify } from "jose";

export interface VerifiedEvent {
  /** The delivery's id, the same in every retry. Absent where the sender has none. */
  id?: string;
  /** The event's type, `user.created`. */
  type?: string;
  /** The provider's or scheme's name. */
  provider: string;
  /** The route's name in hookward's configuration. */
  route: string;
  /** The label of the secret that fitted. */
  secret: string;
  /** When this attempt was signed, in unix seconds. */
  timestamp?: number;
  /** Absent: every byte of the body is signed. `partial`: some of its fields. `token`: nothing of it. */
  proof?: "partial" | "token";
  /** Members that the sender's signature does not cover: hints, not facts. The token never vouches for them. */
  unsigned: ("id" | "type")[];
  /** The raw body, as the sender wrote it. */
  body: Uint8Array;
}

export interface TokenOptions {
  algorithm: "HS256" | "EdDSA";
  /** HS256: the shared key, as hookward has it. EdDSA: the public key in PEM. While a key is replaced: both. */
  key: Key | Key[];
  /** As in `[verified_event.token]`. Default: "app" */
  audience?: string;
  /** As in `[verified_event.token]`. Default: "hookward" */
  issuer?: string;
  /** Seconds by which hookward's clock may differ from this machine's. Default: 5 */
  clockTolerance?: number;
}

type Key = string | Uint8Array | undefined;

export interface Options {
  /** Check `verified-event-token`. Leave it out only if nobody but hookward can reach the app. */
  token?: TokenOptions;
  /** The raw body, if you have read it already. */
  body?: Uint8Array;
  /** Hears why a request is refused. For logs: the sender must not be told. */
  onRefused?: (reason: string) => void;
}

/** `NextApiRequest`, or any request of Node.js. Its body must not have been parsed. */
export interface NodeRequest extends AsyncIterable<unknown> {
  headers: Record<string, string | string[] | undefined>;
  body?: unknown;
  readableEnded?: boolean;
}

/**
 * The proven event, or `null` if the request proves nothing: answer 403 then.
 *
 * A `Request` can still be read afterwards. The body of a Node.js request is read here: take it from `event.body`.
 *
 * @throws If the app is wrong rather than the request: no usable key, or a body that was parsed or read before.
 */
export async function readVerifiedEvent(request: Request | NodeRequest, options: Options = {}): Promise<VerifiedEvent | null> {
  const proof = options.token && { ...options.token, keys: await usableKeys(options.token) };
  try {
    const value = header(request, "verified-event") ?? refuse("there is no verified-event header");
    const event = eventOf(parseDictionary(value));
    // Decided by the options alone: an empty token is one that does not hold. And before the body is read: a forger's is
    // not worth the memory.
    const claims = proof && (await claimsOf(header(request, "verified-event-token") ?? refuse("there is no verified-event-token header"), proof));
    if (claims) compare(event, claims);
    const body = options.body ?? (await rawBody(request));
    if (claims && claims.body_sha256 !== (await sha256(body))) refuse("the token is that of another body");
    return { ...event, body };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    options.onRefused?.(error.message);
    return null;
  }
}

class Refusal extends Error {}

function refuse(reason: string): never {
  throw new Refusal(reason);
}

function header(request: Request | NodeRequest, name: string): string | undefined {
  const value = isWeb(request) ? request.headers.get(name) : request.headers[name];
  return (Array.isArray(value) ? value.join(", ") : value) ?? undefined;
}

function isWeb(request: Request | NodeRequest): request is Request {
  return typeof request.headers.get === "function";
}

async function rawBody(request: Request | NodeRequest): Promise<Uint8Array> {
  // Throws if it was read already.
  if (isWeb(request)) return new Uint8Array(await request.clone().arrayBuffer());
  if (request.body !== undefined || request.readableEnded) {
    throw new Error("the body was parsed: write `export const config = { api: { bodyParser: false } }` beside the handler");
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  const body = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  chunks.reduce((at, chunk) => (body.set(chunk, at), at + chunk.length), 0);
  return body;
}

async function sha256(body: Uint8Array): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body as Uint8Array<ArrayBuffer>));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ---- The token -------------------------------------------------------------------------------------------------------

type Claims = Record<string, unknown>;

async function usableKeys({ algorithm, key }: TokenOptions): Promise<(Uint8Array | CryptoKey)[]> {
  const keys = [key].flat();
  if (keys.length === 0 || keys.some((one) => !one?.length)) throw new Error("verified-event-token: the key is missing or empty");
  return Promise.all(
    (keys as (string | Uint8Array)[]).map(async (one) => {
      const isPem = (typeof one === "string" ? one : new TextDecoder().decode(one)).trimStart().startsWith("-----BEGIN");
      if (algorithm === "EdDSA") {
        if (!isPem) throw new Error("verified-event-token: EdDSA needs the public key in PEM");
        return importSPKI(typeof one === "string" ? one : new TextDecoder().decode(one), "EdDSA");
      }
      if (algorithm !== "HS256") throw new Error("verified-event-token: the algorithm is HS256 or EdDSA");
      // A public key is known to everybody: as a shared one, it would let everybody sign.
      if (isPem) throw new Error("verified-event-token: HS256 needs the shared key, not a PEM text");
      // Without the newline that a file ends in, as hookward takes it.
      const bytes = typeof one === "string" ? new TextEncoder().encode(one.replace(/\r?\n$/, "")) : one;
      if (bytes.length < 32) throw new Error("verified-event-token: an HS256 key has at least 32 bytes");
      return bytes;
    }),
  );
}

async function claimsOf(token: string, options: TokenOptions & { keys: (Uint8Array | CryptoKey)[] }): Promise<Claims> {
  const checks = {
    algorithms: [options.algorithm],
    audience: options.audience ?? "app",
    issuer: options.issuer ?? "hookward",
    clockTolerance: options.clockTolerance ?? 5,
    typ: "JWT",
    requiredClaims: ["exp", "iat", "jti", "body_sha256"],
  };
  let reason = "";
  for (const key of options.keys) {
    try {
      return (await jwtVerify(token, key, checks)).payload;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
  }
  return refuse(`the token does not hold: ${reason}`);
}

// The header says nothing but what the token says, save for unsigned members, and the token nothing more.
function compare(event: Omit<VerifiedEvent, "body">, claims: Claims): void {
  for (const name of ["id", "type", "provider", "route", "secret", "timestamp", "proof"] as const) {
    const said = (event.unsigned as string[]).includes(name) ? undefined : event[name];
    if (said !== claims[name]) refuse(`header and token differ in ${name}`);
  }
}

// ---- The header: a dictionary of RFC 9651 ----------------------------------------------------------------------------

type Bare = string | number | boolean | Uint8Array | Date;
type Member = { value: Bare | Member[]; parameters: Map<string, Bare> };

function eventOf(members: Map<string, Member>): Omit<VerifiedEvent, "body"> {
  const text = (name: string) => {
    const value = members.get(name)?.value;
    return value === undefined || typeof value === "string" ? value : refuse(`${name} is not a text`);
  };
  const needed = (name: string) => text(name) ?? refuse(`verified-event has no ${name}`);
  const timestamp = members.get("timestamp")?.value;
  if (timestamp !== undefined && !Number.isSafeInteger(timestamp)) refuse("timestamp is not an integer");
  const proof = text("proof");
  if (proof !== undefined && proof !== "partial" && proof !== "token") refuse("proof is not known");
  return {
    ...present("id", text("id")),
    ...present("type", text("type")),
    provider: needed("provider"),
    route: needed("route"),
    secret: needed("secret"),
    ...present("timestamp", timestamp as number | undefined),
    ...present("proof", proof as "partial" | "token" | undefined),
    unsigned: (["id", "type"] as const).filter((name) => members.get(name)?.parameters.get("unsigned") === true),
  };
}

function present<N extends string, V>(name: N, value: V | undefined): { [K in N]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [K in N]?: V });
}

/** RFC 9651 §4.2.2. */
function parseDictionary(text: string): Map<string, Member> {
  let at = 0;
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at += found[0].length;
    return found;
  };
  const key = () => take(/[a-z*][a-z0-9_.*-]*/y)?.[0] ?? malformed();
  const malformed = () => refuse("verified-event is malformed");
  const parameters = () => {
    const found = new Map<string, Bare>();
    while (take(/; */y)) {
      const name = key();
      found.set(name, take(/=/y) ? bare() : true);
    }
    return found;
  };
  const item = (): Member => ({ value: bare(), parameters: parameters() });
  const bare = (): Bare => {
    let found: RegExpExecArray | null;
    if ((found = take(/"((?:[ !#-[\]-~]|\\["\\])*)"/y))) return found[1]!.replace(/\\(.)/g, "$1");
    // What it holds besides the escapes is ASCII without `%`; not UTF-8 throws.
    if ((found = take(/%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"/y))) return decoded(found[1]!);
    if ((found = take(/-?(?:\d{1,12}\.\d{1,3}|\d{1,15})(?![\d.])/y))) return Number(found[0]);
    if ((found = take(/[A-Za-z*][!#$%&'*+.^_`|~\w:/-]*/y))) return found[0];
    if ((found = take(/\?([01])/y))) return found[1] === "1";
    if ((found = take(/@(-?\d{1,15})(?![\d.])/y))) return new Date(Number(found[1]) * 1000);
    if ((found = take(/:([A-Za-z0-9+/=]*):/y))) return bytes(found[1]!);
    return malformed();
  };
  const decoded = (escaped: string) => {
    try {
      return decodeURIComponent(escaped);
    } catch {
      return malformed();
    }
  };
  const bytes = (encoded: string) => {
    try {
      return Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    } catch {
      return malformed();
    }
  };
  const list = (): Member => {
    const value: Member[] = [];
    while (take(/ */y) && !take(/\)/y)) {
      value.push(item());
      if (!/[ )]/.test(text[at] ?? "")) malformed();
    }
    return { value, parameters: parameters() };
  };
  const members = new Map<string, Member>();
  take(/ */y);
  while (at < text.length) {
    const name = key();
    const member = !take(/=/y) ? { value: true, parameters: parameters() } : take(/\(/y) ? list() : item();
    members.set(name, member); // the last one of a name counts
    take(/[ \t]*/y);
    if (at === text.length) break;
    if (!take(/,[ \t]*/y) || at === text.length) malformed();
  }
  return members;
}
