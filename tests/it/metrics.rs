//! What a scraper reads after what was sent, and what it cannot do to the gate.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::runs::*;
use crate::script::*;
use crate::sender::*;

const HEALTH: &str = "[admin]\nhealth = \"127.0.0.1:0\"\n";

async fn gate(app: SocketAddr, more: &str) -> (Gate, SocketAddr) {
    let gate = Gate::deduping(app, &format!("{more}{HEALTH}")).await;
    let health = gate.health.unwrap();
    (gate, health)
}

/// Every sample of the routes and of the process.
async fn samples(health: SocketAddr) -> BTreeMap<String, f64> {
    let text = scrape(health, "").await.text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

async fn scrape(health: SocketAddr, headers: &str) -> Message {
    let mut wire = Wire::dial(health).await;
    wire.send(get("/metrics", headers)).await;
    wire.answer().await
}

/// A request is counted when its answer has been handed to the socket, which a quick client may notice first.
async fn assert_metric(health: SocketAddr, name: &str, expected: f64) {
    let counted = async {
        while (metric(health, name).await - expected).abs() > 1e-9 {
            pause(5).await;
        }
    };
    soon(&format!("{name} is {expected}"), counted).await;
}

#[tokio::test]
async fn a_request_is_counted_by_what_it_came_to() {
    let app = Worker::start().await;
    let (gate, health) = gate(app.addr, "events = [\"user.*\"]\n").await;
    let unwanted = r#"{"type":"sms.created"}"#;
    let sms =
        Sent::post(PATH, unwanted).signed(svix_family("svix", SECRET, "sms", &now().to_string(), unwanted.as_bytes()));
    let old = svix_family("svix", SECRET, "old", &(now() - 400).to_string(), BODY.as_bytes());
    for (sent, status) in [
        (asking("ok", ""), 200),
        (asking("ok", ""), 200),
        (asking("fails", "status=500"), 500),
        (asking("moved", "status=302"), 302),
        (asking("gone", "close"), 502),
        (sms, 204),
        (asking("forged", "").set("svix-id", "other"), 401),
        (Sent::post(PATH, BODY).signed(old), 401),
        (asking("get", "").method("PUT"), 405),
    ] {
        assert_eq!(ask(gate.addr, &sent).await.status(), status);
    }
    app.assert_begun(4);
    for (name, expected) in [
        ("requests_total{route=\"clerk\",outcome=\"forwarded\"}", 3.0),
        ("requests_total{route=\"clerk\",outcome=\"duplicate\"}", 1.0),
        ("requests_total{route=\"clerk\",outcome=\"filtered\"}", 1.0),
        ("requests_total{route=\"clerk\",outcome=\"signature_mismatch\"}", 1.0),
        ("rejects_total{route=\"clerk\",code=\"signature_mismatch\"}", 1.0),
        ("rejects_total{route=\"clerk\",code=\"timestamp_too_old\"}", 1.0),
        ("rejects_total{route=\"clerk\",code=\"method_not_allowed\"}", 1.0),
        ("rejects_total{route=\"clerk\",code=\"upstream_invalid\"}", 1.0),
        ("upstream_responses_total{route=\"clerk\",class=\"2xx\"}", 1.0),
        ("upstream_responses_total{route=\"clerk\",class=\"3xx\"}", 1.0),
        ("upstream_responses_total{route=\"clerk\",class=\"5xx\"}", 1.0),
        // Genuine: five kinds, and the first one twice.
        ("verified_total{route=\"clerk\",secret=\"current\"}", 6.0),
        ("request_duration_seconds_count{route=\"clerk\"}", 9.0),
        ("upstream_duration_seconds_count{route=\"clerk\"}", 4.0),
        ("added_duration_seconds_count{route=\"clerk\"}", 4.0),
        ("request_body_bytes_count{route=\"clerk\"}", 9.0),
        ("replay_unknown_total", 1.0),
        ("build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_metric(health, &format!("hookward_{name}"), expected).await;
    }
    let samples = samples(health).await;
    assert!((samples["hookward_process_start_time_seconds"] - now() as f64).abs() < 60.0);
    // The one that was too old says by how much, and of the others each is as old as its way here.
    let behind = "hookward_clock_skew_seconds_bucket{le=\"300.0\",route=\"clerk\",direction=\"behind\"}";
    let all = "hookward_clock_skew_seconds_count{route=\"clerk\",direction=\"behind\"}";
    assert_eq!((samples[behind], samples[all]), (6.0, 7.0));
}

#[tokio::test]
async fn traffic_of_no_route_is_counted_without_one() {
    let app = App::start().await;
    let (gate, health) = gate(app.addr, "").await;
    gate.exchange(get("/", "connection: close\r\n")).await;
    gate.exchange(get("//a/../b", "connection: close\r\n")).await;
    assert_metric(health, "hookward_requests_total{route=\"\",outcome=\"passed\"}", 1.0).await;
    assert_metric(health, "hookward_rejects_total{route=\"\",code=\"bad_target\"}", 1.0).await;
    assert_eq!(samples(health).await["hookward_request_duration_seconds_count{route=\"clerk\"}"], 0.0);
}

#[tokio::test]
async fn the_senders_time_the_apps_and_ours_are_told_apart() {
    let app = Worker::start().await;
    let (gate, health) = gate(app.addr, "").await;
    let sent = asking("msg_1", "delay=300");
    let mut wire = Wire::dial(gate.addr).await;
    wire.send(sent.framed(&format!("content-length: {}\r\n", BODY.len()), "")).await;
    pause(400).await;
    wire.send(BODY).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_metric(health, "hookward_request_duration_seconds_count{route=\"clerk\"}", 1.0).await;
    let samples = samples(health).await;
    let sum = |name: &str| samples[&format!("hookward_{name}_sum{{route=\"clerk\"}}")];
    let (total, upstream, added) =
        (sum("request_duration_seconds"), sum("upstream_duration_seconds"), sum("added_duration_seconds"));
    assert!(upstream >= 0.3, "{upstream}");
    assert!(added > 0.0 && total >= upstream + added + 0.39, "{total} = {upstream} + {added} + the body's time");
    assert_eq!(sum("request_body_bytes"), BODY.len() as f64);
}

#[tokio::test]
async fn the_last_success_is_absent_until_there_is_one_and_stays_when_deliveries_fail() {
    const LAST: &str = "hookward_route_last_success_timestamp_seconds{route=\"clerk\"}";
    let app = Worker::start().await;
    let (gate, health) = gate(app.addr, "").await;
    for (n, wanted) in ["status=500", "close", "status=404"].iter().enumerate() {
        ask(gate.addr, &asking(&format!("msg_{n}"), wanted)).await;
    }
    ask(gate.addr, &asking("msg_9", "").set("svix-id", "other")).await;
    assert_metric(health, "hookward_request_duration_seconds_count{route=\"clerk\"}", 4.0).await;
    assert!(!samples(health).await.contains_key(LAST));
    let before = now() as f64;
    ask(gate.addr, &asking("msg_10", "")).await;
    assert_metric(health, "hookward_request_duration_seconds_count{route=\"clerk\"}", 5.0).await;
    let last = samples(health).await[LAST];
    assert!((before..=now() as f64).contains(&last), "{last}");
    pause(1100).await;
    ask(gate.addr, &asking("msg_11", "status=500")).await;
    assert_metric(health, "hookward_request_duration_seconds_count{route=\"clerk\"}", 6.0).await;
    assert_eq!(samples(health).await[LAST], last);
    // Its sender hears that it ran.
    ask(gate.addr, &asking("msg_10", "")).await;
    assert_metric(health, "hookward_request_duration_seconds_count{route=\"clerk\"}", 7.0).await;
    assert!(samples(health).await[LAST] > last);
}

#[tokio::test]
async fn a_delivery_that_waits_and_one_that_runs_are_seen() {
    let app = Worker::start().await;
    let (gate, health) = gate(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=600"));
    app.wait_begun(1).await;
    assert_metric(health, "hookward_replay_waits_total", 0.0).await;
    let second = asked(gate.addr, &asking("msg_1", ""));
    assert_metric(health, "hookward_requests_in_flight", 2.0).await;
    assert_metric(health, "hookward_connections", 2.0).await;
    assert_metric(health, "hookward_replay_waits_total", 1.0).await;
    assert_eq!((first.await.unwrap().status(), second.await.unwrap().status()), (200, 200));
    app.assert_begun(1);
    assert_metric(health, "hookward_requests_in_flight", 0.0).await;
    assert_metric(health, "hookward_replay_waits_total", 1.0).await;
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let app = App::start().await;
    let (_gate, health) = gate(app.addr, "").await;
    let open = scrape(health, "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n").await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.text().contains("# TYPE hookward_requests counter\n") && open.text().ends_with("\n# EOF\n"));
    let older = scrape(health, "").await;
    assert_eq!(older.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(older.text().contains("# TYPE hookward_requests_total counter\n") && !older.text().contains("# EOF"));
}

/// As `printf … | nc` does.
#[tokio::test]
async fn a_scraper_that_has_said_all_is_answered() {
    let app = Worker::start().await;
    let (_gate, health) = gate(app.addr, "").await;
    for attempt in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(health).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{attempt}: {text:?}");
    }
}

#[tokio::test]
async fn what_is_odd_on_the_health_port_gets_a_short_4xx() {
    let app = App::start().await;
    let (_gate, health) = gate(app.addr, "").await;
    let long = "a".repeat(40_000);
    let many: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
    for (request, status) in [
        (get("/", ""), 404),
        (get("/metrics/", ""), 404),
        (get(&format!("/{long}"), ""), 414),
        (get("/metrics", &format!("x-long: {long}\r\n")), 431),
        (get("/metrics", &many), 431),
        ("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\na".to_owned(), 405),
        ("nothing that is HTTP\r\n\r\n".to_owned(), 400),
    ] {
        let mut wire = Wire::dial(health).await;
        let _ = wire.try_send(&request).await;
        let answer = wire.answer().await;
        let asked: String = request.chars().take(40).collect();
        let allowed = if status == 414 { vec![414, 431] } else { vec![status] };
        assert!(allowed.contains(&answer.status()), "{asked}: {answer:?}");
        assert!(answer.body.len() < 200, "{asked}: {}", answer.body.len());
    }
}

#[tokio::test]
async fn a_crowd_of_silent_scrapers_neither_shuts_probes_out_nor_holds_up_webhooks() {
    let app = Worker::start().await;
    let (gate, health) = gate(app.addr, "").await;
    let mut silent = Vec::new();
    for n in 0..100 {
        let mut wire = Wire::dial(health).await;
        match n % 2 {
            // One that asks for everything and reads nothing, and one that never asks.
            0 => wire.send(get("/metrics", "")).await,
            _ => wire.send("GET /met").await,
        }
        silent.push(wire);
    }
    let mut probe = Wire::dial(health).await;
    probe.send(get("/livez", "")).await;
    assert_eq!(probe.answer().await.status(), 200);
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 200);
    assert_metric(health, "hookward_requests_total{route=\"clerk\",outcome=\"forwarded\"}", 1.0).await;
    // Of so many, the oldest had to go.
    silent[1].assert_ends("the oldest that never asked").await;
}
