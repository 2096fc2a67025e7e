//! Headers that only we may write, and headers that would change what the app does: gone in every spelling, on every path.

use std::collections::BTreeSet;

use crate::harness::*;
use crate::sender::*;

const PROOFS: &[&str] = &[
    "verified-event",
    "Verified-Event",
    "VERIFIED-EVENT",
    "verified_event",
    "Verified_Event",
    "VERIFIED_EVENT",
    "verified-event-token",
    "Verified-Event_Token",
    "verified_event_token",
    "verified_event-token",
    "verified-event-",
    "verified-event--x",
    "verified_event_",
];

/// NEXTJS.md, "Inbound headers": gone on all traffic.
const ROUTING: &[&str] = &[
    "x-middleware-subrequest",
    "x-middleware-subrequest-id",
    "X-Middleware-Rewrite",
    "x-middleware-redirect",
    "x-middleware-next",
    "x-middleware-skip",
    "x-middleware-override-headers",
    "x-middleware-set-cookie",
    "x-middleware-invoke",
    "x-middleware-request-authorization",
    "x-matched-path",
    "x-now-route-matches",
    "x-invoke-path",
    "x-invoke-query",
    "x-invoke-status",
    "x-invoke-output",
    "x-nextjs-rewritten-path",
    "x-nextjs-rewritten-query",
    "x-action-forwarded",
    "next-resume",
    "x-next-resume-state-length",
    "x-prerender-revalidate",
    "x-prerender-revalidate-if-generated",
    "x-original-url",
    "X-Rewrite-URL",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "location",
    "x_middleware_subrequest",
    "X_Middleware_Rewrite",
    "x-middleware_next",
    "x_matched_path",
    "x_invoke_path",
    "x_http_method_override",
    "x_original_url",
    "next_resume",
];

/// Make Next.js answer a webhook without running its handler.
const PREFETCH: &[&str] = &[
    "rsc",
    "RSC",
    "next-router-prefetch",
    "next-router-state-tree",
    "next-router-segment-prefetch",
    "next-url",
    "next-action",
    "next-hmr-refresh",
    "purpose",
    "x-middleware-prefetch",
    "x-nextjs-data",
    "next_router_prefetch",
    "x_nextjs_data",
];

/// Stay wherever the request goes.
const KEPT: &[&str] = &[
    "origin",
    "if-none-match",
    "range",
    "content-type",
    "accept",
    "cookie",
    "authorization",
    "user-agent",
    "x-request-id",
    "traceparent",
    "verified-events",
    "x-verified-event",
];

fn with(target: &str, names: &[&str]) -> Sent {
    names.iter().fold(Sent::clerk(target, BODY), |sent, name| sent.with(name, b"id=\"forged\""))
}

fn names(seen: &Recorded) -> BTreeSet<String> {
    seen.headers.keys().map(|name| name.as_str().to_owned()).collect()
}

async fn sent(gate: &Gate, app: &App, sent: &Sent) -> Recorded {
    let before = app.seen().len();
    let answer = gate.exchange(sent.bytes()).await;
    assert_eq!(answer.status, 200, "{}{}", answer.head, answer.text());
    assert_eq!(app.seen().len(), before + 1);
    app.seen()[before].clone()
}

#[tokio::test]
async fn nobody_else_writes_the_proof() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    for one in PROOFS.iter().map(std::slice::from_ref).chain([PROOFS]) {
        let seen = sent(&gate, &app, &with("/page", one)).await;
        assert!(
            names(&seen).iter().all(|name| !name.replace('_', "-").starts_with("verified-event")),
            "page, {one:?}: {:?}",
            seen.headers
        );
        let seen = sent(&gate, &app, &with(PATH, one)).await;
        let proofs: Vec<_> =
            names(&seen).into_iter().filter(|name| name.replace('_', "-").starts_with("verified-event")).collect();
        assert_eq!(proofs, ["verified-event"], "webhook, {one:?}");
        assert_eq!(seen.headers.get_all("verified-event").iter().count(), 1);
        assert!(event(&seen).starts_with("id=\"msg_1\"") && !event(&seen).contains("forged"), "{}", event(&seen));
    }
    // Other methods, and an app that is not Next.js.
    let gate = Gate::start(app.addr, "[app]\nframework = \"none\"\n").await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        let before = app.seen().len();
        let _ = gate.exchange(with("/page", PROOFS).method(method).bytes()).await;
        let seen = app.seen()[before].clone();
        assert_eq!(seen.method, method);
        assert!(
            names(&seen).iter().all(|name| !name.replace('_', "-").starts_with("verified-event")),
            "{method}: {:?}",
            seen.headers
        );
    }
}

#[tokio::test]
async fn routing_state_of_the_framework_is_not_for_clients() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    for target in ["/page", PATH] {
        for one in ROUTING.iter().map(std::slice::from_ref).chain([ROUTING]) {
            let seen = sent(&gate, &app, &with(target, one)).await;
            for name in one {
                assert!(!seen.headers.contains_key(name.to_ascii_lowercase()), "{target}: {name}");
            }
        }
        let seen = sent(&gate, &app, &with(target, KEPT)).await;
        for name in KEPT {
            assert!(seen.headers.contains_key(*name), "{target}: {name} is the client's to send");
        }
    }
    // Another app may want them, save the proof and what would take it to a protected handler.
    let gate = Gate::start(app.addr, "[app]\nframework = \"none\"\n").await;
    let retargeting = ["x-original-url", "x_original_url", "x-rewrite-url"];
    let seen = sent(&gate, &app, &with("/page", &[&["x-matched-path", "location"], &retargeting[..]].concat())).await;
    assert!(seen.headers.contains_key("x-matched-path") && seen.headers.contains_key("location"));
    for name in retargeting {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn where_an_app_is_mounted_a_stranger_does_not_say() {
    // Of gunicorn, which believes its proxy, and of Daphne, which believes anyone.
    let servers = ["script-name", "SCRIPT_NAME", "path-info", "PATH_INFO", "daphne-root-path", "daphne_root_path"];
    let middleware =
        ["x-script-name", "x-forwarded-prefix", "x-forwarded-script-name", "x-forwarded-path", "x-forwarded-uri"];
    let app = App::start().await;
    for framework in ["none", "nextjs"] {
        for trusted in [false, true] {
            let proxies = if trusted { "[client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n" } else { "" };
            let gate = Gate::start(app.addr, &format!("[app]\nframework = \"{framework}\"\n{proxies}")).await;
            let names = [&servers[..], &middleware[..]].concat();
            let seen = sent(&gate, &app, &with("/page", &names)).await;
            for name in servers {
                assert!(!seen.headers.contains_key(name.to_ascii_lowercase()), "{framework}, {trusted}: {name}");
            }
            for name in middleware {
                assert_eq!(seen.headers.contains_key(name), trusted, "{framework}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn prefetch_headers_end_before_a_webhook_and_reach_a_page() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    for one in PREFETCH.iter().map(std::slice::from_ref).chain([PREFETCH]) {
        let seen = sent(&gate, &app, &with(PATH, one)).await;
        for name in one {
            assert!(
                !seen.headers.contains_key(name.to_ascii_lowercase()),
                "webhook: {name} would make Next.js skip the handler"
            );
        }
        let seen = sent(&gate, &app, &with("/page", one)).await;
        for name in one.iter().filter(|name| !name.contains('_')) {
            assert!(seen.headers.contains_key(name.to_ascii_lowercase()), "page: {name} is the router's own");
        }
    }
}

#[tokio::test]
async fn an_upgrade_never_takes_a_webhook_elsewhere() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let offer = |sent: Sent, token: &str| {
        sent.with("connection", "Upgrade, HTTP2-Settings")
            .with("upgrade", token)
            .with("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA")
            .with("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw==")
            .with("sec-websocket-version", "13")
    };
    for token in ["websocket", "WebSocket", "h2c", "tls/1.0", "websocket, h2c"] {
        let seen = sent(&gate, &app, &offer(Sent::clerk(PATH, BODY), token)).await;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(!seen.headers.contains_key(name), "{token}: {name}: {:?}", seen.headers);
        }
        assert!(seen.headers.contains_key("verified-event"));
        let before = app.seen().len();
        let unsigned = offer(Sent::post(PATH, ""), token);
        let answer = gate.exchange(unsigned.framed("", "")).await;
        assert_refusal(&answer, 400, "header_missing", token);
        let answer = gate.exchange(unsigned.method("GET").framed("", "")).await;
        assert_refusal(&answer, 405, "method_not_allowed", token);
        assert_eq!(app.seen().len(), before, "{token}");
    }
}

#[tokio::test]
async fn a_connection_list_cannot_drop_what_a_proof_needs() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for sender in SENDERS {
        for name in sender.needed {
            for list in [
                (*name).to_owned(),
                name.to_uppercase(),
                format!("close, {name}"),
                format!("{name} ,keep-alive"),
                format!(",,\t{name},"),
            ] {
                let sent = sender.genuine(BODY).with("connection", &list);
                cases.push((sent.bytes(), 400, "framing", format!("{}: Connection: {list}", sender.name)));
            }
        }
    }
    for target in ["/hooks/clerk", "/page"] {
        for list in [
            "verified-event",
            "Verified-Event",
            "verified_event",
            "VERIFIED_EVENT",
            "verified-event-token",
            "close, verified-event",
            "host",
            "content-length",
            "Content-Type",
            "content-encoding",
            "transfer-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "X-Forwarded-Proto",
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "cookie",
            "authorization",
        ] {
            cases.push((
                Sent::clerk(target, BODY).with("connection", list).bytes(),
                400,
                "framing",
                format!("{target}: Connection: {list}"),
            ));
            let split = Sent::clerk(target, BODY).with("connection", "keep-alive").with("Connection", list);
            cases.push((split.bytes(), 400, "framing", format!("{target}: a second line, Connection: {list}")));
        }
    }
    // GitHub's unsigned id and type are headers of the scheme as well.
    for name in ["x-github-delivery", "x-github-event"] {
        cases.push((
            sender("github").genuine(BODY).with("connection", name).bytes(),
            400,
            "framing",
            format!("github: Connection: {name}"),
        ));
    }
    assert_all_refused(&gate, &app, cases).await;

    // What it may drop, it drops, before ours are written.
    let sent = Sent::clerk("/hooks/clerk", BODY)
        .with("connection", "close, X-Hop")
        .with("x-hop", "1")
        .with("keep-alive", "1")
        .with("proxy-connection", "x")
        .with("te", "trailers, gzip");
    let seen = assert_delivered(&gate, &app, &sent, "a harmless list").await;
    for gone in ["x-hop", "keep-alive", "proxy-connection", "connection"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn reserved_names_do_not_come_in_trailers_either() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let upload = |trailers: &[&str]| {
        let announced = trailers.iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>().join(", ");
        let lines: String = trailers.iter().map(|line| format!("{line}\r\n")).collect();
        format!(
            "POST /upload HTTP/1.1\r\nhost: app.example\r\nte: trailers\r\ntrailer: {announced}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{lines}\r\n"
        )
    };
    for proof in PROOFS {
        let sent = upload(&["x-sum: 1", &format!("{proof}: id=\"forged\"")]);
        let answer = gate.exchange(sent).await;
        assert_ne!(answer.status, 200, "{proof}: {answer:?}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert!(app.seen().iter().all(|seen| !seen.whole && seen.trailers.is_empty()), "{:?}", app.seen());

    // Refused or removed, never delivered.
    for name in ROUTING.iter().chain(PREFETCH).chain(&["x-real-ip", "X_Forwarded_For", "connection", "upgrade"]) {
        let before = app.seen().len();
        let answer = gate.exchange(upload(&["x-sum: 1", &format!("{name}: /admin")])).await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        for seen in &app.seen()[before..] {
            let reserved = ROUTING.contains(name) || !PREFETCH.contains(name);
            assert!(
                !(reserved && seen.trailers.contains_key(name.to_ascii_lowercase())),
                "{name}: {} {:?}",
                answer.status,
                seen.trailers
            );
        }
    }
    let before = app.seen().len();
    assert_eq!(gate.exchange(upload(&["x-sum: 1"])).await.status, 200);
    assert_eq!(app.seen()[before].trailers.get("x-sum").unwrap(), "1", "other trailers pass, so this test can fail");
}
