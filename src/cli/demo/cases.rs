//! The demo's requests, and what should become of each.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::app::Count;
use super::sender::{Request, Sender};
use crate::clock;
use crate::config::{self, Environment, Report};
use crate::plan::Plan;

const BODY: &str = r#"{"data":{"id":"user_29w83sxmDNGwOuEthce5gg56FcC","first_name":"Example"},"object":"event","type":"user.created"}"#;
const TAMPERED: &str = r#"{"data":{"id":"user_29w83sxmDNGwOuEthce5gg56FcC","first_name":"Mallory"},"object":"event","type":"user.created"}"#;
const UNWANTED: &str = r#"{"data":{"id":"sess_1"},"object":"event","type":"session.created"}"#;
const ROUTE: &str = "/api/webhooks/clerk";
/// Addresses for documentation (RFC 5737): the demo's ingress says that the sender is here.
const ALLOWED: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.66";

/// One row of the table.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) request: Request,
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) app: Seen,
    /// What is offered as a curl line: this one has run.
    pub(super) paste: Option<Request>,
}

/// What the app saw of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Plain,
    Verified,
    Confused,
}

impl Seen {
    pub(super) fn between(before: Count, after: Count) -> Self {
        match (after.requests.wrapping_sub(before.requests), after.verified.wrapping_sub(before.verified)) {
            (0, 0) => Self::Nothing,
            (1, 0) => Self::Plain,
            (1, 1) => Self::Verified,
            _ => Self::Confused,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "not reached",
            Self::Plain => "reached, without verified-event",
            Self::Verified => "reached, with verified-event",
            Self::Confused => "reached more than once",
        })
    }
}

/// The demo's configuration, compiled like any other.
pub(super) fn plan(app: SocketAddr, sender: &Sender) -> Result<Plan, Report> {
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://{app}"
[client_ip]
trusted_proxies = ["127.0.0.1"]
[routes.clerk]
path = "{ROUTE}"
provider = "clerk"
allow_ips = ["203.0.113.0/24"]
max_body = "4KiB"
events = ["user.*"]
"#
    );
    config::compile(&text, Path::new("demo.toml"), &Secret(sender.secret())).map(|loaded| loaded.plan)
}

/// An environment in which only the demo's secret is set.
struct Secret(String);

impl Environment for Secret {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        (name == "CLERK_WEBHOOK_SIGNING_SECRET").then(|| self.0.clone().into_bytes())
    }

    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Every row. Each check of the gate has at least one that is wrong without it.
pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    let now = clock::unix_now();
    let from = |client: &str| ("x-forwarded-for", client.to_owned());
    let signed = |id: &str, at: u64, body: &str| {
        let mut headers = vec![from(ALLOWED)];
        headers.extend(sender.sign(id, at, body));
        headers
    };
    let post = |headers: Vec<(&'static str, String)>, body: &str| Request {
        method: "POST",
        target: ROUTE,
        headers,
        body: body.to_owned(),
    };
    let case = |what, request, status, code, app| Case { what, request, status, code, app, paste: None };

    let genuine = post(signed("msg_demo_1", now, BODY), BODY);
    let again = genuine.clone();
    let mut spoofed = genuine.clone();
    spoofed.headers = vec![("verified-event", r#"type="user.created""#.to_owned()), ("Verified_Event", "x".to_owned())];
    spoofed.method = "GET";
    spoofed.target = "/dashboard";
    spoofed.body.clear();
    let mut page = spoofed.clone();
    page.headers.clear();
    page.target = "/";
    let mut elsewhere = genuine.clone();
    if let Some(client) = elsewhere.headers.first_mut() {
        *client = from(ELSEWHERE);
    }
    // The usual lie: the first entry of the list is the sender's own word.
    let mut lying = genuine.clone();
    if let Some(client) = lying.headers.first_mut() {
        *client = from(&format!("{ALLOWED}, {ELSEWHERE}"));
    }
    let mut trick = genuine.clone();
    trick.target = "/x/..%2fapi/webhooks/%63lerk";
    let mut got = genuine.clone();
    got.method = "GET";
    let mut ambiguous = genuine.clone();
    ambiguous.headers.push(("transfer-encoding", "chunked".to_owned()));
    let large = format!(r#"{{"type":"user.created","padding":"{}"}}"#, "x".repeat(5000));

    let cases = vec![
        case("a genuine user.created", genuine, 200, "", Seen::Verified),
        case("the same one once more", again, 200, "duplicate", Seen::Nothing),
        case(
            "its body tampered with",
            post(signed("msg_demo_1", now, BODY), TAMPERED),
            401,
            "signature_mismatch",
            Seen::Nothing,
        ),
        case(
            "a stale timestamp, properly signed",
            post(signed("msg_demo_2", now.saturating_sub(3600), BODY), BODY),
            401,
            "timestamp_too_old",
            Seen::Nothing,
        ),
        case(
            "an unknown signer",
            post(
                std::iter::once(from(ALLOWED))
                    .chain(Sender::with_fresh_secret().sign("msg_demo_3", now, BODY))
                    .collect(),
                BODY,
            ),
            401,
            "signature_mismatch",
            Seen::Nothing,
        ),
        case("no signature at all", post(vec![from(ALLOWED)], BODY), 400, "header_missing", Seen::Nothing),
        case("genuine, from a disallowed address", elsewhere, 403, "ip_not_allowed", Seen::Nothing),
        case("the same, with a lie before it", lying, 403, "ip_not_allowed", Seen::Nothing),
        case("a path trick (/x/..%2fapi/webhooks/%63lerk)", trick, 400, "bad_target", Seen::Nothing),
        case("the wrong method", got, 405, "method_not_allowed", Seen::Nothing),
        case("two lengths at once", ambiguous, 400, "framing", Seen::Nothing),
        case(
            "a body over the route's limit",
            post(signed("msg_demo_4", now, &large), &large),
            413,
            "body_too_large",
            Seen::Nothing,
        ),
        case(
            "genuine, of a type nobody asked for",
            post(signed("msg_demo_5", now, UNWANTED), UNWANTED),
            204,
            "",
            Seen::Nothing,
        ),
        case("a page, with a spoofed verified-event", spoofed, 200, "", Seen::Plain),
        case("a normal page", page, 200, "", Seen::Plain),
    ];
    let offered = [
        (0, Some(post(signed("msg_demo_6", now, BODY), BODY))),
        (2, Some(post(signed("msg_demo_7", now, BODY), TAMPERED))),
        (8, None),
        (14, None),
    ];
    offering(cases, offered)
}

/// The rows, some of which are offered: as they are, unless an own request is given.
fn offering<const N: usize>(mut cases: Vec<Case>, offered: [(usize, Option<Request>); N]) -> Vec<Case> {
    for (index, request) in offered {
        if let Some(case) = cases.get_mut(index) {
            case.paste = request.or_else(|| Some(case.request.clone()));
        }
    }
    cases
}
