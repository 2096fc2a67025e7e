//! Checks that only log: what they would refuse is forwarded, and is never taken for genuine.

use crate::harness::*;
use crate::runs::*;
use crate::script::*;
use crate::sender::*;

/// A gate that trusts this machine's `x-forwarded-for`, with a route that lets one network in.
async fn reporting(app: std::net::SocketAddr, listed: &str, more: &str) -> (Gate, Lines) {
    Gate::untouched(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [routes.strict]\npath = \"/strict\"\nprovider = \"clerk\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nallow_ips = [\"192.0.2.0/24\"]\ninsecure_report = [{listed}]\n{more}"
    ))
    .await
}

const IP: usize = 1;
const TIMESTAMP: usize = 2;
const SIGNATURE: usize = 4;
const CHECKS: [(usize, &str, u16, &str); 3] = [
    (IP, "\"ip\"", 403, "ip_not_allowed"),
    (TIMESTAMP, "\"timestamp\"", 401, "timestamp_too_old"),
    (SIGNATURE, "\"signature\"", 401, "signature_mismatch"),
];

/// A delivery that is wrong in these ways, and claims to be proven.
fn wrong(faults: usize, id: &str) -> Sent {
    let time = now() - if faults & TIMESTAMP == 0 { 0 } else { 400 };
    let secret = if faults & SIGNATURE == 0 { SECRET } else { NEXT_SECRET };
    let client = if faults & IP == 0 { "192.0.2.7" } else { "203.0.113.7" };
    Sent::post(PATH, BODY)
        .signed(svix_family("svix", secret, id, &time.to_string(), BODY.as_bytes()))
        .with("x-forwarded-for", client)
        .with("verified-event", "id=\"msg_1\", provider=\"clerk\"")
        .with("Verified_Event", "id=\"msg_1\"")
        .with("verified-event-token", "a.b.c")
}

fn claims_to_be_proven(request: &Message) -> bool {
    request.head.to_ascii_lowercase().replace('_', "-").contains("\nverified-event")
}

fn is_problem(answer: &Message) -> bool {
    answer.header("content-type") == Some("application/problem+json")
}

#[tokio::test]
async fn only_what_is_listed_is_let_through_and_never_as_genuine() {
    for listed in 0..8 {
        let names: Vec<_> = CHECKS.iter().filter(|check| listed & check.0 != 0).map(|check| check.1).collect();
        let app = Worker::start().await;
        let (gate, lines) = reporting(app.addr, &names.join(","), "").await;
        let mut reached = 0;
        for faults in 1..8_usize {
            let sent = wrong(faults, &format!("msg_{faults}"));
            let answer = ask(gate.addr, &sent).await;
            let refused = CHECKS.iter().find(|check| faults & check.0 & !listed != 0);
            let would = CHECKS.iter().find(|check| faults & check.0 != 0).unwrap();
            let line = lines.wait(faults).await.pop().unwrap();
            if let Some((_, _, status, code)) = refused {
                assert_eq!((answer.status(), answer.code().as_str()), (*status, *code), "{names:?} {faults}");
                assert_eq!(line["outcome"], *code);
            } else {
                assert_eq!(answer.status(), 200, "{names:?} {faults}: {answer:?}");
                reached += 1;
                assert_eq!(
                    (line["outcome"].as_str(), line["would_reject"].as_str()),
                    (Some("would_reject"), Some(would.3))
                );
                assert!(line.get("event_id").is_none(), "nothing of it is believed: {line}");
                let request = app.runs().pop().unwrap().request;
                assert!(!claims_to_be_proven(&request), "{names:?} {faults}: {}", request.head);
                assert_eq!(
                    (request.body.as_slice(), request.header("svix-id")),
                    (BODY.as_bytes(), Some(&*format!("msg_{faults}")))
                );
            }
            app.assert_begun(reached);
        }
        let health = gate.health.unwrap();
        assert_eq!(metric(health, "hookward_replay_entries").await, 0.0);
        let enforcing = |route: &str| format!("hookward_route_enforcing{{route=\"{route}\"}}");
        assert_eq!(metric(health, &enforcing("clerk")).await, f64::from(u8::from(listed == 0)));
        assert_eq!(metric(health, &enforcing("strict")).await, 1.0);
        let counted = metric(health, "hookward_requests_total{route=\"clerk\",outcome=\"would_reject\"}").await;
        assert_eq!(counted as usize, reached);

        // A genuine one is what it always was.
        let answer = ask(gate.addr, &wrong(0, "msg_1")).await;
        assert_eq!(answer.status(), 200);
        let request = app.runs().pop().unwrap().request;
        assert_eq!(request.all("verified-event").len(), 1);
        assert!(request.header("verified-event").unwrap().contains("id=\"msg_1\", type=\"user.created\""));
        assert!(request.header("verified-event-token").is_none());
        assert_eq!(ask(gate.addr, &wrong(0, "msg_1")).await.code(), "duplicate");
        app.assert_begun(reached + 1);
    }
}

/// A middleware that parses the body and writes it anew.
#[tokio::test]
async fn the_log_says_why_a_signature_would_have_been_refused_like_why_it_was() {
    let app = Worker::start().await;
    let signed = "{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\"}}";
    for (listed, outcome) in [("\"signature\"", "would_reject"), ("\"ip\"", "signature_mismatch")] {
        let (gate, lines) = reporting(app.addr, listed, "").await;
        let mut sent = Sent::clerk(PATH, signed).with("x-forwarded-for", "192.0.2.7");
        sent.body = signed.replace(':', ": ").replace(',', ", ").into_bytes();
        ask(gate.addr, &sent).await;
        let line = lines.wait(1).await.pop().unwrap();
        assert_eq!(line["outcome"], outcome);
        assert!(line["hint"].as_str().is_some_and(|hint| hint.starts_with("body_reserialised")), "{line}");
    }
    app.assert_begun(1);
    assert_eq!(app.runs().pop().unwrap().request.body, signed.replace(':', ": ").replace(',', ", ").into_bytes());
}

#[tokio::test]
async fn what_is_not_proven_touches_no_replay_store() {
    let app = Worker::start().await;
    let (gate, _) = reporting(app.addr, "\"ip\", \"timestamp\", \"signature\"", "").await;
    let health = gate.health.unwrap();
    let mut begun = 0;
    for faults in 1..8 {
        for _ in 0..2 {
            assert_eq!(ask(gate.addr, &wrong(faults, "msg_1")).await.header("content-type"), Some("text/run"));
            begun += 1;
            app.assert_begun(begun);
        }
    }
    assert_eq!(metric(health, "hookward_replay_entries").await, 0.0);
    assert_eq!(ask(gate.addr, &wrong(0, "msg_1")).await.header("content-type"), Some("text/run"));
    assert_eq!(ask(gate.addr, &wrong(0, "msg_1")).await.code(), "duplicate");
    // Nor does a committed id keep one out, which would tell that it is known.
    for faults in 1..8 {
        assert_eq!(ask(gate.addr, &wrong(faults, "msg_1")).await.header("content-type"), Some("text/run"));
    }
    app.assert_begun(begun + 1 + 7);
    // Nor does it wait for a genuine one that runs.
    let running = asked(gate.addr, &wrong(0, "msg_2").with("x-do", "delay=200"));
    app.wait_begun(begun + 9).await;
    assert_eq!(ask(gate.addr, &wrong(SIGNATURE, "msg_2")).await.status(), 200);
    assert!(!running.is_finished());
    assert_eq!(running.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_signature_that_is_not_there_or_unreadable_is_forwarded_where_signatures_only_log() {
    let app = Worker::start().await;
    for (listed, passes) in [("\"signature\"", true), ("\"ip\", \"timestamp\"", false)] {
        let (gate, lines) = reporting(app.addr, listed, "").await;
        let genuine = || wrong(0, "msg_1").without("verified-event").without("verified_event");
        let cases = [
            (genuine().without("svix-signature"), 400, "header_missing"),
            (genuine().without("svix-id"), 400, "header_missing"),
            (genuine().without("svix-timestamp"), 400, "header_missing"),
            (genuine().without("svix-id").without("svix-signature").without("svix-timestamp"), 400, "header_missing"),
            (genuine().with("svix-signature", "v1,AAAA"), 400, "header_repeated"),
            (genuine().set("svix-signature", "v1,!!"), 400, "header_malformed"),
            (genuine().set("svix-id", "msg_2"), 401, "signature_mismatch"),
        ];
        for (index, (sent, status, code)) in cases.into_iter().enumerate() {
            let before = app.begun();
            let answer = ask(gate.addr, &sent).await;
            let line = lines.wait(index + 1).await.pop().unwrap();
            if passes {
                assert_eq!((answer.status(), is_problem(&answer)), (200, false), "{code}: {answer:?}");
                assert_eq!(line["would_reject"], code, "{line}");
                assert!(!claims_to_be_proven(&app.runs().pop().unwrap().request));
            } else {
                assert_eq!((answer.status(), answer.code().as_str()), (status, code));
            }
            app.assert_begun(before + usize::from(passes));
        }
    }
}

/// Without it there is no signature to check either, so both have to be listed.
#[tokio::test]
async fn a_time_that_cannot_be_read_is_refused_unless_signatures_only_log_too() {
    let app = Worker::start().await;
    for (listed, passes) in
        [("\"ip\", \"timestamp\"", false), ("\"ip\", \"signature\"", false), ("\"timestamp\", \"signature\"", true)]
    {
        let (gate, lines) = reporting(app.addr, listed, "").await;
        for (index, time) in ["soon", "-1", "+1", "1.5"].into_iter().enumerate() {
            let answer = ask(gate.addr, &wrong(0, "msg_1").set("svix-timestamp", time)).await;
            let line = lines.wait(index + 1).await.pop().unwrap();
            if passes {
                assert_eq!((answer.status(), line["would_reject"].as_str()), (200, Some("timestamp_malformed")));
                assert!(!claims_to_be_proven(&app.runs().pop().unwrap().request));
            } else {
                assert_eq!((answer.status(), answer.code().as_str()), (400, "timestamp_malformed"), "{listed} {time}");
                app.assert_begun(0);
            }
        }
    }
    app.assert_begun(4);
}

/// In the future too: by the same rule, with its own name.
#[tokio::test]
async fn a_time_in_the_future_only_logs_where_times_do() {
    let app = Worker::start().await;
    let sent = || {
        let headers = svix_family("svix", SECRET, "msg_1", &(now() + 400).to_string(), BODY.as_bytes());
        Sent::post(PATH, BODY).signed(headers).with("x-forwarded-for", "192.0.2.7")
    };
    let (gate, lines) = reporting(app.addr, "\"timestamp\"", "").await;
    assert_eq!(ask(gate.addr, &sent()).await.status(), 200);
    let line = lines.wait(1).await.pop().unwrap();
    assert_eq!(
        (&line["would_reject"], line["skew_seconds"].as_i64().map(i64::abs).map(|skew| skew / 10)),
        (&"timestamp_in_future".into(), Some(40)),
        "{line}"
    );
    assert!(!claims_to_be_proven(&app.runs().pop().unwrap().request));
    let (gate, _) = reporting(app.addr, "\"ip\", \"signature\"", "").await;
    assert_eq!(ask(gate.addr, &sent()).await.code(), "timestamp_in_future");
    app.assert_begun(1);
}

#[tokio::test]
async fn methods_targets_framing_and_limits_are_enforced_all_the_same() {
    let app = Worker::start().await;
    let more = "max_body = \"1KiB\"\n[limits]\nbody_timeout = \"1s\"\n";
    let (gate, _) = reporting(app.addr, "\"ip\", \"timestamp\", \"signature\"", more).await;
    let forged = || wrong(IP | TIMESTAMP | SIGNATURE, "msg_1");
    let long = "x".repeat(1025);
    let mut large = forged();
    large.body = long.clone().into_bytes();
    let mut spelled = forged();
    spelled.target = b"/api/webhooks/%63lerk".to_vec();
    let chunked = forged().framed("transfer-encoding: chunked\r\n", format!("401\r\n{long}\r\n0\r\n\r\n"));
    let both = forged().framed("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n");
    let listed = forged().with("connection", "svix-id");
    let slow = forged().framed("content-length: 20\r\n", "x");
    for (sent, status, code) in [
        (forged().method("PUT").bytes(), 405, "method_not_allowed"),
        (forged().method("GET").bytes(), 405, "method_not_allowed"),
        (spelled.bytes(), 400, "bad_target"),
        (both, 400, "framing"),
        (listed.bytes(), 400, "framing"),
        (large.bytes(), 413, "body_too_large"),
        (chunked, 413, "body_too_large"),
        (slow, 408, "body_timeout"),
    ] {
        let mut wire = Wire::dial(gate.addr).await;
        let _ = wire.try_send(sent).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{answer:?}");
    }
    pause(30).await;
    app.assert_begun(0);
    assert_eq!(ask(gate.addr, &forged()).await.status(), 200);
}

/// They would stop a sender's retries, or disable its endpoint: an app answers so to whoever it takes for nobody.
#[tokio::test]
async fn the_apps_orders_to_the_sender_reach_only_a_proven_one() {
    let app = Worker::start().await;
    let (gate, _) = reporting(app.addr, "\"ip\", \"timestamp\", \"signature\"", "").await;
    for status in [200, 429, 503] {
        let wanted = format!("status={status}");
        for faults in 1..8 {
            let answer = ask(gate.addr, &wrong(faults, "msg_1").with("x-do", &wanted)).await;
            assert_eq!(answer.status(), status);
            assert_eq!((answer.header("webhook-delivery"), answer.header("retry-after")), (None, None), "{faults}");
            assert!(answer.header("x-run").is_some());
        }
        let answer = ask(gate.addr, &wrong(0, &format!("msg_{status}")).with("x-do", &wanted)).await;
        assert_eq!(answer.status(), status);
        assert_eq!((answer.header("webhook-delivery"), answer.header("retry-after")), (Some("stop"), Some("77")));
    }
}

#[tokio::test]
async fn what_is_not_proven_passes_the_filter_and_is_sent_once() {
    let app = Worker::start().await;
    let more = "events = [\"user.deleted\"]\ndeadline = \"300ms\"\nretry = { attempts = 3, within = \"5s\", on_status = [503] }\n";
    let (gate, _) = reporting(app.addr, "\"ip\", \"timestamp\", \"signature\"", more).await;
    for faults in 1..8 {
        assert_eq!(ask(gate.addr, &wrong(faults, "msg_1").with("x-do", "status=503")).await.status(), 503);
        app.assert_begun(faults);
    }
    assert_eq!(ask(gate.addr, &wrong(0, "msg_1")).await.status(), 204, "genuine, and not wanted");
    app.assert_begun(7);
    let answer = ask(gate.addr, &wrong(SIGNATURE, "msg_1").with("x-do", "delay=800")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
}
