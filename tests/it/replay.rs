//! A delivery runs once: never two runs at once, never one after a success, none lost.
//!
//! Written from the design ("Replay and idempotency"); the app's runs are what counts, not what hookward says of them.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::harness::*;
use crate::runs::*;
use crate::script::*;
use crate::sender::*;

/// Two rules for all runs of one id.
#[track_caller]
fn assert_once(runs: &[Run]) {
    let mut by_id: HashMap<&str, Vec<&Run>> = HashMap::new();
    for run in runs {
        by_id.entry(run.id()).or_default().push(run);
    }
    for (id, runs) in by_id {
        for pair in runs.windows(2) {
            let (ended, status) = pair[0].ended.unwrap_or_else(|| panic!("{id}: two at once"));
            assert!(ended <= pair[1].began, "{id}: two at once");
            assert!(!(200..300).contains(&status), "{id}: ran after it was committed");
        }
    }
}

fn assert_duplicate(answer: &Message) {
    assert_eq!((answer.status(), answer.text().as_str()), (200, DUPLICATE), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

fn assert_in_flight(answer: &Message) {
    assert_eq!((answer.status(), answer.code().as_str()), (409, "replay_in_flight"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
}

/// The answer of this run: the app's own.
fn assert_of_run(answer: &Message, index: usize) {
    assert_eq!((answer.status(), answer.text()), (200, format!("run {index} ")), "{answer:?}");
}

#[tokio::test]
async fn a_delivery_runs_once_and_others_beside_it() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 0);
    for _ in 0..3 {
        assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    }
    assert_of_run(&ask(gate.addr, &asking("msg_2", "")).await, 1);
    assert_duplicate(&ask(gate.addr, &asking("msg_2", "")).await);
    app.assert_begun(2);
}

#[tokio::test]
async fn only_a_2xx_is_a_success() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    for status in [300, 302, 308, 400, 401, 404, 409, 410, 429, 500, 503, 599] {
        let (id, before) = (format!("msg_{status}"), app.begun());
        for _ in 0..2 {
            let answer = ask(gate.addr, &asking(&id, &format!("status={status}"))).await;
            assert_eq!(answer.status(), status, "as the app said");
        }
        assert_of_run(&ask(gate.addr, &asking(&id, "")).await, before + 2);
        assert_duplicate(&ask(gate.addr, &asking(&id, "")).await);
        app.assert_begun(before + 3);
    }
    for status in [201, 202, 299] {
        let (id, before) = (format!("msg_{status}"), app.begun());
        assert_eq!(ask(gate.addr, &asking(&id, &format!("status={status}"))).await.status(), status);
        assert_duplicate(&ask(gate.addr, &asking(&id, "")).await);
        app.assert_begun(before + 1);
    }
    assert_once(&app.runs());
}

#[tokio::test]
async fn duplicates_wait_for_the_one_that_runs_and_get_its_answer() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=150 status=202"));
    app.wait_begun(1).await;
    let others: Vec<_> = (0..5).map(|_| asked(gate.addr, &asking("msg_1", "status=500"))).collect();
    let first = first.await.unwrap();
    assert_eq!((first.header("set-cookie"), first.header("webhook-delivery")), (Some("a=b"), Some("stop")));
    for other in others {
        let other = other.await.unwrap();
        assert_eq!((other.status(), &other.body), (202, &first.body));
        assert_eq!((other.header("content-type"), other.header("x-run")), (Some("text/run"), Some("0")));
        assert_eq!((other.header("set-cookie"), other.header("webhook-delivery")), (None, None), "{other:?}");
    }
    // Only those that waited.
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    app.assert_begun(1);
}

#[tokio::test]
async fn an_answer_without_a_body_is_copied_too() {
    let app = Scripted::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            pause(100).await;
            wire.send("HTTP/1.1 204 No Content\r\nx-run: 0\r\n\r\n").await;
        }
    })
    .await;
    let gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", ""));
    pause(40).await;
    let second = ask(gate.addr, &asking("msg_1", "")).await;
    assert_eq!((second.status(), second.header("x-run")), (204, Some("0")), "{second:?}");
    assert_eq!(first.await.unwrap().status(), 204);
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_long_answer_is_not_kept_for_those_that_wait() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    for (size, is_kept) in [(65_536, true), (65_537, false), (300_000, false)] {
        let id = format!("msg_{size}");
        let before = app.begun();
        let first = asked(gate.addr, &asking(&id, &format!("delay=100 size={size}")));
        app.wait_begun(before + 1).await;
        let second = ask(gate.addr, &asking(&id, "")).await;
        assert_eq!(first.await.unwrap().body.len(), size);
        if is_kept {
            assert_eq!((second.status(), second.body.len()), (200, size));
        } else {
            assert_duplicate(&second);
        }
        app.assert_begun(before + 1);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_success_all_the_same() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=100 pause=50 break"));
    app.wait_begun(1).await;
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    assert!(!first.await.unwrap().whole);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    app.assert_begun(1);
}

/// The head of a 2xx decides; the body may take its time.
#[tokio::test]
async fn who_waits_longer_than_allowed_for_a_body_is_told_that_it_ran() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "[replay]\nwait = \"100ms\"\n").await;
    let first = asked(gate.addr, &asking("msg_1", "pause=400"));
    app.wait_ended(1).await;
    pause(20).await;
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    assert_of_run(&first.await.unwrap(), 0);
    app.assert_begun(1);
}

/// As `nc -N` and some clients do: nothing more to send, but still there.
#[tokio::test]
async fn who_waits_with_its_half_closed_is_answered_too() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    for (id, doing, status, runs) in [("msg_1", "delay=200", 200, 1), ("msg_2", "delay=200 status=500", 500, 3)] {
        let first = asked(gate.addr, &asking(id, doing));
        app.wait_begun(runs).await;
        let mut waiting = Wire::dial(gate.addr).await;
        waiting.send(asking(id, "").bytes()).await;
        tokio::io::AsyncWriteExt::shutdown(&mut waiting.stream).await.unwrap();
        assert_eq!(waiting.answer().await.status(), 200);
        assert_eq!(first.await.unwrap().status(), status);
        if status == 200 {
            app.assert_begun(1);
            assert_eq!(ask(gate.addr, &asking("msg_between", "")).await.status(), 200);
        }
    }
    app.assert_begun(4);
}

#[tokio::test]
async fn after_a_failure_one_of_those_that_wait_runs() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=100 status=500"));
    app.wait_begun(1).await;
    let others: Vec<_> = (0..12).map(|_| asked(gate.addr, &asking("msg_1", "delay=100"))).collect();
    assert_eq!(first.await.unwrap().status(), 500);
    for other in others {
        assert_of_run(&other.await.unwrap(), 1);
    }
    app.assert_begun(2);
    assert_once(&app.runs());
}

/// Each fails, so each gets its turn, one after the other, while half of its deadline is left.
#[tokio::test]
async fn failures_are_handed_down_the_line() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let all: Vec<_> = (0..6).map(|_| asked(gate.addr, &asking("msg_1", "delay=20 status=503"))).collect();
    for answer in all {
        assert_eq!((answer.await.unwrap().header("x-run").is_some(), app.begun() <= 6), (true, true));
    }
    app.assert_begun(6);
    assert_once(&app.runs());
}

#[tokio::test]
async fn who_has_waited_too_long_does_not_begin_a_run() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "deadline = \"600ms\"\n").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=400 status=500"));
    app.wait_begun(1).await;
    assert_in_flight(&ask(gate.addr, &asking("msg_1", "")).await);
    assert_eq!(first.await.unwrap().status(), 500);
    app.assert_begun(1);
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 1);
    // With more than half of it left, it runs.
    let first = asked(gate.addr, &asking("msg_2", "delay=150 status=500"));
    app.wait_begun(3).await;
    assert_of_run(&ask(gate.addr, &asking("msg_2", "")).await, 3);
    assert_eq!(first.await.unwrap().status(), 500);
    assert_once(&app.runs());
}

#[tokio::test]
async fn nobody_waits_longer_than_allowed() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "[replay]\nwait = \"100ms\"\n").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=400"));
    app.wait_begun(1).await;
    let since = Instant::now();
    assert_in_flight(&ask(gate.addr, &asking("msg_1", "")).await);
    assert!(since.elapsed() >= Duration::from_millis(100));
    assert!(!first.is_finished(), "it still runs");
    assert_of_run(&first.await.unwrap(), 0);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    app.assert_begun(1);
}

#[tokio::test]
async fn without_any_wait_a_duplicate_is_told_at_once() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "[replay]\nwait = \"0ms\"\n").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=200"));
    app.wait_begun(1).await;
    assert_in_flight(&ask(gate.addr, &asking("msg_1", "")).await);
    assert!(!first.is_finished());
    assert_of_run(&first.await.unwrap(), 0);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
}

#[tokio::test]
async fn a_run_outlives_the_sender_that_asked_for_it() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    hang_up(gate.addr, &asking("msg_1", "delay=300"), app.wait_begun(1)).await;
    pause(50).await;
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 0);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    // One whose sender left, and that failed: whoever waits runs.
    hang_up(gate.addr, &asking("msg_2", "delay=200 status=500"), app.wait_begun(2)).await;
    assert_of_run(&ask(gate.addr, &asking("msg_2", "")).await, 2);
    app.assert_begun(3);
    assert_once(&app.runs());
}

/// It has nothing, so nothing is kept from the others.
#[tokio::test]
async fn one_that_waits_may_leave() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=200 status=500"));
    app.wait_begun(1).await;
    hang_up(gate.addr, &asking("msg_1", ""), pause(50)).await;
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 1);
    assert_eq!(first.await.unwrap().status(), 500);
    app.assert_begun(2);
}

/// Whoever has one genuine delivery can send it as often as memory holds, while the app is at work on it.
#[tokio::test]
async fn copies_that_wait_keep_no_other_delivery_out() {
    let app = Worker::start().await;
    let limits = "max_body = \"30KiB\"\n[limits]\nmax_body = \"30KiB\"\nbuffered_bytes = \"64KiB\"\n";
    let gate = Gate::deduping(app.addr, limits).await;
    let large = |id: &str, wanted: &str| {
        let body = format!("{{\"fill\":\"{}\"}}", "x".repeat(25_000));
        let signed = svix_family("svix", SECRET, id, &now().to_string(), body.as_bytes());
        Sent::post(PATH, &body).signed(signed).with("x-do", wanted)
    };
    let first = asked(gate.addr, &large("msg_1", "delay=1000"));
    app.wait_begun(1).await;
    let copy = asked(gate.addr, &large("msg_1", ""));
    pause(200).await;
    assert_of_run(&ask(gate.addr, &large("msg_2", "")).await, 1);
    assert_in_flight(&copy.await.unwrap());
    let copies: Vec<_> = (0..8).map(|_| asked(gate.addr, &large("msg_1", ""))).collect();
    pause(200).await;
    assert_of_run(&ask(gate.addr, &large("msg_3", "")).await, 2);
    assert_of_run(&first.await.unwrap(), 0);
    let mut statuses = Vec::new();
    for copy in copies {
        statuses.push(copy.await.unwrap().status());
    }
    // The first of them has waited until its turn came, or gave way too.
    assert!(statuses.iter().all(|status| [200, 409, 503].contains(status)), "{statuses:?}");
    app.assert_begun(3);
    assert_once(&app.runs());
}

#[tokio::test]
async fn a_run_outlives_its_deadline_and_then_counts_as_what_it_was() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "deadline = \"150ms\"\n").await;
    let answer = ask(gate.addr, &asking("msg_1", "delay=450")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
    assert_in_flight(&ask(gate.addr, &asking("msg_1", "")).await);
    app.wait_ended(1).await;
    pause(20).await;
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    app.assert_begun(1);

    assert_eq!(ask(gate.addr, &asking("msg_2", "delay=300 status=500")).await.status(), 504);
    assert_in_flight(&ask(gate.addr, &asking("msg_2", "")).await);
    app.wait_ended(2).await;
    pause(20).await;
    assert_of_run(&ask(gate.addr, &asking("msg_2", "")).await, 2);
    app.assert_begun(3);
    assert_once(&app.runs());
}

#[tokio::test]
async fn after_a_run_whose_end_nobody_knows_nothing_runs_for_a_lease() {
    let app = Worker::start().await;
    let gate =
        Gate::deduping(app.addr, "[replay]\nwait = \"10ms\"\nlease = \"1s\"\n[admin]\nhealth = \"127.0.0.1:0\"\n")
            .await;
    let answer = ask(gate.addr, &asking("msg_1", "close")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"));
    let since = Instant::now();
    for _ in 0..3 {
        assert_in_flight(&ask(gate.addr, &asking("msg_1", "")).await);
    }
    // Others run meanwhile.
    assert_of_run(&ask(gate.addr, &asking("msg_2", "")).await, 1);
    assert_eq!(metric(gate.health.unwrap(), "hookward_replay_unknown_total").await, 1.0);
    let again = loop {
        let answer = ask(gate.addr, &asking("msg_1", "")).await;
        if answer.status() != 409 {
            break answer;
        }
        assert!(since.elapsed() < Duration::from_secs(3));
        pause(10).await;
    };
    assert!(since.elapsed() >= Duration::from_millis(950), "{:?}", since.elapsed());
    assert_of_run(&again, 2);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
}

#[tokio::test]
async fn an_app_that_never_answers_is_given_up_and_then_a_lease_passes() {
    let app = Worker::start().await;
    let gate = Gate::deduping(
        app.addr,
        "deadline = \"100ms\"\n[replay]\nwait = \"10ms\"\nlease = \"1s\"\n[limits]\nupstream_max = \"1s\"\n\
         [admin]\nhealth = \"127.0.0.1:0\"\n",
    )
    .await;
    let health = gate.health.unwrap();
    let since = Instant::now();
    assert_eq!(ask(gate.addr, &asking("msg_1", "hang")).await.status(), 504);
    assert_eq!(metric(health, "hookward_replay_unknown_total").await, 0.0, "it may still answer");
    loop {
        let answer = ask(gate.addr, &asking("msg_1", "")).await;
        if answer.status() == 200 {
            break;
        }
        assert_in_flight(&answer);
        assert!(since.elapsed() < Duration::from_secs(5));
        pause(10).await;
    }
    assert!(since.elapsed() >= Duration::from_millis(2000), "{:?}", since.elapsed());
    assert_eq!(metric(health, "hookward_replay_unknown_total").await, 1.0);
    app.assert_begun(2);
}

#[tokio::test]
async fn over_http_2_too() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let sender = http2(gate.addr).await;
    let first = ask_http2(&sender, &asking("msg_1", "delay=150"));
    let first = tokio::spawn(first);
    app.wait_begun(1).await;
    let others: Vec<_> = (0..8).map(|_| tokio::spawn(ask_http2(&sender, &asking("msg_1", "")))).collect();
    for answer in others.into_iter().chain([first]) {
        assert_eq!(answer.await.unwrap(), (200, "run 0 ".to_owned()));
    }
    assert_eq!(ask_http2(&sender, &asking("msg_1", "")).await, (200, DUPLICATE.to_owned()));
    app.assert_begun(1);

    // A stream that is reset, and the connection goes on.
    let reset = tokio::spawn(ask_http2(&sender, &asking("msg_2", "delay=200")));
    app.wait_begun(2).await;
    reset.abort();
    let _ = reset.await;
    assert_eq!(ask_http2(&sender, &asking("msg_2", "")).await, (200, "run 1 ".to_owned()));
    app.assert_begun(2);
}

#[tokio::test]
async fn two_on_one_connection_are_answered_in_turn() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let mut wire = Wire::dial(gate.addr).await;
    let sent = asking("msg_1", "delay=50");
    wire.send([sent.bytes(), sent.bytes(), asking("msg_2", "").bytes()].concat()).await;
    assert_of_run(&wire.answer().await, 0);
    assert_duplicate(&wire.answer().await);
    assert_of_run(&wire.answer().await, 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_those_that_wait() {
    let app = Worker::start().await;
    let mut gate = Gate::deduping(app.addr, "").await;
    let first = asked(gate.addr, &asking("msg_1", "delay=300"));
    app.wait_begun(1).await;
    let second = asked(gate.addr, &asking("msg_1", ""));
    // A third, whose sender has left: its run goes on too.
    hang_up(gate.addr, &asking("msg_2", "delay=300"), app.wait_begun(2)).await;
    pause(50).await;
    gate.stop();
    assert_of_run(&first.await.unwrap(), 0);
    assert_of_run(&second.await.unwrap(), 0);
    soon("the end", &mut gate.served).await.unwrap();
    app.wait_ended(2).await;
    app.assert_begun(2);
}

/// Clerk rotates with two endpoints at one address: the same id comes twice, signed with either secret.
#[tokio::test]
async fn one_event_of_two_endpoints_runs_once() {
    let app = Worker::start().await;
    let secrets = "secrets = [{ env = \"CLERK_WEBHOOK_SIGNING_SECRET\" }, { label = \"next\", env = \"NEXT\" }]\n";
    let gate = Gate::deduping(app.addr, secrets).await;
    let signed = |id: &str, secret| {
        let headers = svix_family("svix", secret, id, &now().to_string(), BODY.as_bytes());
        Sent::post(PATH, BODY).signed(headers).with("x-do", "delay=60")
    };
    for (index, [one, other]) in [[SECRET, NEXT_SECRET], [NEXT_SECRET, SECRET]].into_iter().enumerate() {
        let id = format!("msg_{index}");
        assert_of_run(&ask(gate.addr, &signed(&id, one)).await, app.begun() - 1);
        assert_duplicate(&ask(gate.addr, &signed(&id, other)).await);
        app.assert_begun(index + 1);
    }
    for n in 0..10 {
        let id = format!("msg_at_once_{n}");
        let (one, other) =
            tokio::join!(asked(gate.addr, &signed(&id, SECRET)), asked(gate.addr, &signed(&id, NEXT_SECRET)));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.status(), other.status(), one.body), (200, 200, other.body));
        app.assert_begun(3 + n);
    }
    assert_once(&app.runs());
}

fn two_routes(app: std::net::SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n\
         [routes.other]\npath = \"/other\"\nprovider = \"svix\"\nsecrets = [{{ insecure_value = \"{SECRET}\" }}]\n"
    )
}

#[tokio::test]
async fn the_same_id_on_another_route_is_another_delivery() {
    let app = Worker::start().await;
    let (gate, _) = Gate::untouched(&two_routes(app.addr)).await;
    let mut other = asking("msg_1", "");
    other.target = b"/other".to_vec();
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 0);
    assert_of_run(&ask(gate.addr, &other).await, 1);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    assert_duplicate(&ask(gate.addr, &other).await);
}

#[tokio::test]
async fn a_forged_request_neither_claims_an_id_nor_learns_of_it() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "").await;
    let mut forged = asking("msg_1", "");
    forged.body = BODY.replace("user_1", "user_2").into_bytes();
    // Before anything ran, while it runs, and after.
    let refused = async || {
        let answer = ask(gate.addr, &forged).await;
        assert_eq!((answer.status(), answer.code().as_str()), (401, "signature_mismatch"));
    };
    refused().await;
    let first = asked(gate.addr, &asking("msg_1", "delay=150"));
    app.wait_begun(1).await;
    refused().await;
    assert!(!first.is_finished(), "the forged one did not wait");
    assert_of_run(&first.await.unwrap(), 0);
    refused().await;
    // A genuine one of another age.
    let old = svix_family("svix", SECRET, "msg_1", &(now() - 400).to_string(), BODY.as_bytes());
    let answer = ask(gate.addr, &Sent::post(PATH, BODY).signed(old)).await;
    assert_eq!((answer.status(), answer.code().as_str()), (401, "timestamp_too_old"));
    app.assert_begun(1);
}

fn own_scheme(app: std::net::SocketAddr, route: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [routes.own]\npath = \"/own\"\nscheme = \"own\"\nsecrets = [{{ insecure_value = \"{PLAIN_SECRET}\" }}]\n{route}\n\
         [schemes.own]\nsignature = {{ header = \"x-signature\", encoding = \"hex\" }}\nid = {{ json = \"id\" }}\ncontent = \"{{body}}\"\n"
    )
}

fn own(body: impl AsRef<[u8]>) -> Sent {
    Sent::post("/own", &body).with("x-signature", hex(&hmac(PLAIN_SECRET.as_bytes(), &[body.as_ref()])))
}

#[tokio::test]
async fn an_id_in_the_body_may_be_long_or_odd() {
    let app = Worker::start().await;
    let (gate, lines) = Gate::untouched(&own_scheme(app.addr, "")).await;
    let long = "x".repeat(10_000);
    let mut near = long.clone();
    near.replace_range(9_999.., "y");
    let ids = [long.as_str(), &near, "\\u0000\\u0001\\u001b[31m", "ä☃", "\\ud83d\\ude00", " ", "a\\\"b"];
    let bodies: Vec<String> = ids.iter().enumerate().map(|(run, id)| format!(r#"{{"id":"{id}","n":{run}}}"#)).collect();
    for (index, body) in bodies.iter().enumerate() {
        assert_of_run(&ask(gate.addr, &own(body)).await, index);
    }
    for body in &bodies {
        assert_duplicate(&ask(gate.addr, &own(body)).await);
        // The id tells them apart, not the rest.
        assert_duplicate(&ask(gate.addr, &own(body.replace("\"n\":", "\"other\":"))).await);
    }
    // One id, however it is written.
    assert_duplicate(&ask(gate.addr, &own(r#"{"id":"\u00e4\u2603"}"#)).await);
    assert_duplicate(&ask(gate.addr, &own("{\"id\":\"😀\"}")).await);
    app.assert_begun(bodies.len());
    let logged = lines.wait(3 * bodies.len() + 2).await;
    assert!(logged.iter().all(|line| line.to_string().len() < 2_000), "nobody logs ten kilobytes");
}

#[tokio::test]
async fn without_an_id_each_delivery_runs() {
    let app = Worker::start().await;
    let (gate, _) = Gate::untouched(&own_scheme(app.addr, "")).await;
    let bodies = [
        r#"{"n":1}"#,
        r#"{"id":null}"#,
        r#"{"id":{}}"#,
        r#"{"id":["a"]}"#,
        r#"{"id":true}"#,
        // Too large to be read exactly, so another one could look the same.
        r#"{"id":18446744073709551616}"#,
        r#"{"id":1.5}"#,
        r#"{"id":""}"#,
        r#"{"id":"a","id":"b"}"#,
        r#"{"data":{"id":"a"}}"#,
        r#"[{"id":"a"}]"#,
        "not json",
        "",
    ];
    for body in bodies {
        for _ in 0..2 {
            let answer = ask(gate.addr, &own(body)).await;
            assert_eq!((answer.status(), answer.header("content-type")), (200, Some("text/run")), "{body}: {answer:?}");
        }
    }
    app.assert_begun(2 * bodies.len());
    assert_eq!(metric(gate.health.unwrap(), "hookward_replay_entries").await, 0.0);
}

#[tokio::test]
async fn an_id_that_is_a_number_tells_deliveries_apart() {
    let app = Worker::start().await;
    let (gate, _) = Gate::untouched(&own_scheme(app.addr, "")).await;
    for (index, id) in ["1", "2", "18446744073709551615"].iter().enumerate() {
        let body = format!("{{\"id\":{id}}}");
        assert_of_run(&ask(gate.addr, &own(&body)).await, index);
        assert_duplicate(&ask(gate.addr, &own(&body)).await);
    }
}

fn one_route(app: std::net::SocketAddr, provider: &str, secret: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [routes.r]\npath = \"/hooks/{provider}\"\nprovider = \"{provider}\"\nsecrets = [{{ insecure_value = \"{secret}\" }}]\n{more}"
    )
}

#[tokio::test]
async fn what_is_signed_can_tell_deliveries_apart_where_no_id_does() {
    let app = Worker::start().await;
    let github = sender("github");
    let (gate, _) = Gate::untouched(&one_route(app.addr, "github", GITHUB_SECRET, "")).await;
    for n in 0..2 {
        assert_of_run(&ask(gate.addr, &github.genuine("{\"a\":1}")).await, n);
    }
    drop(gate);
    let content = one_route(app.addr, "github", GITHUB_SECRET, "replay = \"content\"\n");
    let (gate, lines) = Gate::untouched(&content).await;
    assert_of_run(&ask(gate.addr, &github.genuine("{\"a\":1}")).await, 2);
    // The id is not signed: another one makes no other delivery of it.
    for id in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "other"] {
        assert_duplicate(&ask(gate.addr, &github.genuine("{\"a\":1}").set("x-github-delivery", id)).await);
    }
    assert_of_run(&ask(gate.addr, &github.genuine("{\"a\":1} ")).await, 3);
    app.assert_begun(4);
    let logged = lines.wait(4).await;
    let outcomes: Vec<_> = logged.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["forwarded", "duplicate", "duplicate", "forwarded"]);
    assert_eq!(logged[1]["replay_key"].as_str().unwrap().len(), 32);
}

/// Whoever is in between can change what is not signed, and a delivery must not run twice for it.
#[tokio::test]
async fn what_is_not_signed_makes_no_other_delivery_of_it() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let app = Worker::start().await;
    let route = |name: &str, provider: &str, secret: &str, options: &str| {
        format!(
            "[routes.{name}]\npath = \"/{name}\"\nprovider = \"{provider}\"\nmethods = [\"POST\", \"PUT\"]\n\
             replay = \"content\"\nsecrets = [{{ insecure_value = \"{secret}\" }}]\noptions = {options}\n"
        )
    };
    let covered = |components: &str| format!("{{ alg = \"hmac-sha256\", components = \"{components}\" }}");
    let key = base64(KEY.as_bytes());
    let toml = [
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\npublic_url = \"https://app.example\"\n",
            app.addr
        ),
        route("body", "rfc9421", &key, &covered("content-digest")),
        route("path", "rfc9421", &key, &covered("@method, @path, content-digest")),
        route("contentful", "contentful", PLAIN_SECRET, "{}"),
        route("livekit", "livekit", KEY, "{ api_key = \"APIkey\" }"),
    ]
    .concat();
    let (gate, _lines) = Gate::untouched(&toml).await;

    let hash = base64(&Sha256::digest(BODY));
    let message = |target: &str, components: &[(&str, &str)], time: u64| {
        let digest = format!("sha-256=:{hash}:");
        let all = || components.iter().copied().chain([("content-digest", digest.as_str())]);
        let names: Vec<String> = all().map(|(name, _)| format!("\"{name}\"")).collect();
        let parameters = format!("({});created={time}", names.join(" "));
        let lines: Vec<String> = all().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
        let base = format!("{}\"@signature-params\": {parameters}", lines.concat());
        Sent::post(target, BODY)
            .with("content-digest", &digest)
            .with("signature-input", format!("sig1={parameters}"))
            .with("signature", format!("sig1=:{}:", base64(&hmac(KEY.as_bytes(), &[base.as_bytes()]))))
    };
    let entry = |time: u64| {
        let names = "x-contentful-signed-headers,x-contentful-timestamp";
        let listed = format!("x-contentful-signed-headers:{names};x-contentful-timestamp:{time}000");
        let signed = format!("POST\n/contentful\n{listed}\n{BODY}");
        Sent::post("/contentful", BODY)
            .with("x-contentful-signed-headers", names)
            .with("x-contentful-timestamp", format!("{time}000"))
            .with("x-contentful-signature", hex(&hmac(PLAIN_SECRET.as_bytes(), &[signed.as_bytes()])))
    };
    let token = |time: u64| {
        let claims = format!(r#"{{"iss":"APIkey","nbf":{time},"exp":{},"sha256":"{hash}"}}"#, time + 300);
        let signed = [r#"{"alg":"HS256"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let mac = URL_SAFE_NO_PAD.encode(hmac(KEY.as_bytes(), &[signed.as_bytes()]));
        Sent::post("/livekit", BODY).with("authorization", format!("{signed}.{mac}"))
    };
    let on_path = [("@method", "POST"), ("@path", "/path")];
    let time = now();
    let mut runs = 0;
    for (first, anew, same) in [
        (
            message("/body", &[], time),
            message("/body", &[], time - 1),
            &["POST /body?x=1", "POST /body?x=2", "POST /body/", "PUT /body"][..],
        ),
        (message("/path", &on_path, time), message("/path", &on_path, time - 1), &["POST /path?x=1"]),
        (entry(time), entry(time - 1), &["POST /contentful?"]),
        (token(time), token(time - 1), &["POST /livekit?x=1", "PUT /livekit"]),
    ] {
        assert_of_run(&ask(gate.addr, &first).await, runs);
        for line in same {
            let (method, target) = line.split_once(' ').unwrap();
            let mut changed = first.clone().method(method);
            changed.target = target.into();
            assert_duplicate(&ask(gate.addr, &changed).await);
        }
        // Another time is signed.
        assert_of_run(&ask(gate.addr, &anew).await, runs + 1);
        runs += 2;
        app.assert_begun(runs);
    }
}

/// Slack's events have an id; its commands, whose answer the user sees, have none.
#[tokio::test]
async fn slacks_events_run_once_and_its_commands_each_time() {
    let app = Worker::start().await;
    let slack = sender("slack");
    let (gate, _) = Gate::untouched(&one_route(app.addr, "slack", SLACK_SECRET, "")).await;
    let command = "token=t&team_id=T1&command=%2Fweather&text=94070&event_id=Ev1";
    for n in 0..2 {
        assert_of_run(&ask(gate.addr, &slack.genuine(command)).await, n);
    }
    let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}"#;
    assert_of_run(&ask(gate.addr, &slack.genuine(event)).await, 2);
    assert_duplicate(&ask(gate.addr, &slack.genuine(event)).await);
    app.assert_begun(3);
}

#[tokio::test]
async fn where_the_answer_matters_each_delivery_runs_unless_asked_for() {
    let app = Worker::start().await;
    let signed = || {
        let headers = svix_family("webhook", SECRET, "msg_1", &now().to_string(), BODY.as_bytes());
        Sent::post("/hooks/supabase", BODY).signed(headers)
    };
    let secret = format!("v1,{SECRET}");
    let (gate, _) = Gate::untouched(&one_route(app.addr, "supabase", &secret, "")).await;
    for n in 0..2 {
        assert_of_run(&ask(gate.addr, &signed()).await, n);
    }
    drop(gate);
    let asked_for = one_route(app.addr, "supabase", &secret, "replay = \"dedupe\"\n");
    let (gate, _) = Gate::untouched(&asked_for).await;
    assert_of_run(&ask(gate.addr, &signed()).await, 2);
    assert_duplicate(&ask(gate.addr, &signed()).await);
}

#[tokio::test]
async fn what_is_filtered_out_is_not_claimed() {
    let app = Worker::start().await;
    let more = "events = [\"user.deleted\"]\n[admin]\nhealth = \"127.0.0.1:0\"\n";
    let gate = Gate::deduping(app.addr, more).await;
    for _ in 0..2 {
        assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 204);
    }
    assert_eq!(metric(gate.health.unwrap(), "hookward_replay_entries").await, 0.0);
    // The same id with a type that is wanted.
    let body = r#"{"type":"user.deleted"}"#;
    let headers = svix_family("svix", SECRET, "msg_1", &now().to_string(), body.as_bytes());
    assert_of_run(&ask(gate.addr, &Sent::post(PATH, body).signed(headers)).await, 0);
    assert_eq!(metric(gate.health.unwrap(), "hookward_replay_entries").await, 1.0);
}

async fn on_one_connection(gate: &Gate, ids: std::ops::Range<usize>, status: u16) {
    let mut wire = Wire::dial(gate.addr).await;
    for n in ids {
        wire.send(asking(&format!("msg_{n}"), "").bytes()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), status, "{n}: {answer:?}");
    }
}

#[tokio::test]
async fn a_full_store_forgets_what_no_window_lets_in_again_and_nothing_else() {
    let app = Worker::start().await;
    let more = "tolerance = \"1s\"\n[replay]\nmax_entries = 1000\n[admin]\nhealth = \"127.0.0.1:0\"\n";
    let gate = Gate::deduping(app.addr, more).await;
    let health = gate.health.unwrap();
    let since = Instant::now();
    on_one_connection(&gate, 0..1000, 200).await;
    // It takes a second or so; where it took longer, the window has ended for the first of them.
    if since.elapsed() < Duration::from_millis(2800) {
        let full = ask(gate.addr, &asking("msg_1000", "")).await;
        assert_eq!((full.status(), full.code().as_str()), (503, "overloaded"), "{full:?}");
        assert!(full.header("retry-after").is_some());
        app.assert_begun(1000);
        // Nobody is locked out: those that ran are known still.
        assert_duplicate(&ask(gate.addr, &asking("msg_999", "")).await);
        assert_eq!(metric(health, "hookward_replay_evicted_total").await, 0.0);
    }
    assert_eq!(metric(health, "hookward_replay_entries").await, 1000.0);
    pause(4400).await;
    on_one_connection(&gate, 1000..1050, 200).await;
    app.assert_begun(1050);
    assert_eq!(metric(health, "hookward_replay_evicted_total").await, 50.0);
    assert_eq!(metric(health, "hookward_replay_entries").await, 1000.0);
    // The young ones are not what went.
    for n in 1000..1050 {
        assert_duplicate(&ask(gate.addr, &asking(&format!("msg_{n}"), "")).await);
    }
}

/// What failed holds no place.
#[tokio::test]
async fn failures_leave_room() {
    let app = Worker::start().await;
    let more = "[replay]\nmax_entries = 1000\n[admin]\nhealth = \"127.0.0.1:0\"\n";
    let gate = Gate::deduping(app.addr, more).await;
    on_one_connection(&gate, 0..998, 200).await;
    for n in 0..5 {
        let id = format!("msg_failed_{n}");
        assert_eq!(ask(gate.addr, &asking(&id, "status=500")).await.status(), 500);
        hang_up(gate.addr, &asking(&id, "delay=10 status=500"), app.wait_begun(998 + 2 * (n + 1))).await;
        app.wait_ended(998 + 2 * (n + 1)).await;
        pause(20).await;
    }
    assert_eq!(metric(gate.health.unwrap(), "hookward_replay_entries").await, 998.0);
    // Two places, and those that run hold one each.
    let (one, two) = (asked(gate.addr, &asking("msg_a", "delay=150")), asked(gate.addr, &asking("msg_b", "delay=150")));
    app.wait_begun(998 + 12).await;
    assert_eq!(ask(gate.addr, &asking("msg_c", "")).await.status(), 503);
    assert_eq!((one.await.unwrap().status(), two.await.unwrap().status()), (200, 200));
    app.assert_begun(998 + 12);
}

#[tokio::test]
async fn what_became_of_deliveries_is_counted_and_logged() {
    let app = Worker::start().await;
    let (gate, lines) = Gate::untouched(&two_routes(app.addr)).await;
    let health = gate.health.unwrap();
    let count = async |outcome: &str| {
        metric(health, &format!("hookward_requests_total{{route=\"clerk\",outcome=\"{outcome}\"}}")).await
    };
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 0);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    assert_eq!(ask(gate.addr, &asking("msg_1", "").set("svix-id", "msg_2")).await.status(), 401);
    let logged = lines.wait(3).await;
    assert_eq!((count("forwarded").await, count("duplicate").await), (1.0, 1.0));
    assert_eq!((count("replay_in_flight").await, count("signature_mismatch").await), (0.0, 1.0));
    assert_eq!(metric(health, "hookward_replay_entries").await, 1.0);
    assert_eq!((logged[1]["outcome"].as_str(), logged[1]["status"].as_u64()), (Some("duplicate"), Some(200)));
    assert_eq!(logged[1]["event_id"], "msg_1");
    assert!(logged[1].get("replay_key").is_some());
    assert!(logged[2].get("replay_key").is_none(), "nothing was verified: {}", logged[2]);
}

fn forget(program: &Program, id: &str, route: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["forget", "--route", route, "--id", id, "--address", &program.health.to_string(), "--config"])
        .arg(&program.config)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lets_a_delivery_run_again() {
    let app = Worker::start().await;
    let program = Program::start(app.addr, "");
    assert_of_run(&ask(program.addr, &asking("msg_1", "")).await, 0);
    assert_duplicate(&ask(program.addr, &asking("msg_1", "")).await);
    let (code, text) = forget(&program, "msg_1", "clerk");
    assert_eq!(code, Some(0), "{text}");
    assert_of_run(&ask(program.addr, &asking("msg_1", "")).await, 1);
    assert_duplicate(&ask(program.addr, &asking("msg_1", "")).await);

    let (code, text) = forget(&program, "msg_never", "clerk");
    assert_eq!((code, text.contains("nothing to forget")), (Some(1), true), "{text}");
    let (code, text) = forget(&program, "msg_1", "clark");
    assert_eq!((code, text.contains("no route \"clark\"")), (Some(1), true), "{text}");

    let mut odd = Command::new(env!("CARGO_BIN_EXE_hookward"));
    let odd =
        odd.args(["forget", "--route", "clerk", "--key", "zz", "--config"]).arg(&program.config).output().unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(String::from_utf8(odd.stderr).unwrap().contains("32 hex digits"));

    let first = asked(program.addr, &asking("msg_2", "delay=1500"));
    app.wait_begun(3).await;
    let (code, text) = forget(&program, "msg_2", "clerk");
    assert_eq!((code, text.contains("running right now")), (Some(1), true), "{text}");
    assert_of_run(&first.await.unwrap(), 2);
    assert_duplicate(&ask(program.addr, &asking("msg_2", "")).await);
    app.assert_begun(3);
}

/// Neither what has run nor what is running is lost with the plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_forgets_nothing() {
    let app = Worker::start().await;
    let program = Program::start(app.addr, "");
    assert_of_run(&ask(program.addr, &asking("msg_1", "")).await, 0);
    let running = asked(program.addr, &asking("msg_2", "delay=1200"));
    app.wait_begun(2).await;
    let toml = std::fs::read_to_string(&program.config).unwrap();
    std::fs::write(&program.config, format!("{toml}tolerance = \"4m\"\n[replay]\nttl = \"20h\"\n")).unwrap();
    program.signal("HUP");
    soon("the reload", async {
        while metric(program.health, "hookward_config_reload_total{outcome=\"applied\"}").await < 1.0 {
            pause(10).await;
        }
    })
    .await;
    assert!(!running.is_finished());
    assert_of_run(&ask(program.addr, &asking("msg_2", "")).await, 1);
    assert_of_run(&running.await.unwrap(), 1);
    assert_duplicate(&ask(program.addr, &asking("msg_1", "")).await);
    assert_duplicate(&ask(program.addr, &asking("msg_2", "")).await);
    app.assert_begun(2);
}

#[tokio::test]
async fn no_page_can_make_a_delivery_run_again() {
    let app = Worker::start().await;
    let (gate, lines) = Gate::untouched(&two_routes(app.addr)).await;
    let health = gate.health.unwrap();
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 0);
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    let key = lines.wait(2).await[1]["replay_key"].as_str().unwrap().to_owned();
    let sent = async |method: &str, more: &str| {
        let mut wire = Wire::dial(health).await;
        wire.send(format!("{method} /forget HTTP/1.1\r\nhost: {health}\r\n{more}content-length: 0\r\n\r\n")).await;
        wire.answer().await
    };
    let header = format!("hookward-forget: {key}\r\n");
    for (method, more) in [
        ("POST", String::new()),
        ("POST", "content-type: text/plain\r\norigin: https://evil.example\r\n".to_owned()),
        ("POST", format!("{header}origin: https://evil.example\r\n")),
        // A page that made its own name mean this machine, or one without a name.
        ("POST", format!("{header}origin: http://{health}\r\n")),
        ("POST", format!("{header}origin: null\r\n")),
        ("POST", format!("{header}sec-fetch-site: same-origin\r\n")),
        // By a proxy on this machine, for somebody who is not: a mesh's sidecar connects from 127.0.0.6.
        ("POST", format!("{header}x-forwarded-for: 203.0.113.7\r\n")),
        ("POST", format!("{header}X-Forwarded-Proto: https\r\n")),
        ("POST", format!("{header}forwarded: for=203.0.113.7\r\n")),
        ("POST", format!("{header}x-real-ip: 203.0.113.7\r\n")),
        ("POST", format!("{header}via: 1.1 proxy\r\n")),
        ("POST", "hookward-forget: \r\n".to_owned()),
        ("GET", header.clone()),
        ("PUT", header.clone()),
        (
            "OPTIONS",
            "origin: https://evil.example\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: hookward-forget\r\n"
                .to_owned(),
        ),
    ] {
        let answer = sent(method, &more).await;
        assert!((400..500).contains(&answer.status()), "{method} {more}: {answer:?}");
        assert!(!answer.head.to_lowercase().contains("access-control-"), "{answer:?}");
        assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    }
    // Not at the door that everybody comes through.
    let mut wire = Wire::dial(gate.addr).await;
    wire.send(format!("POST /forget HTTP/1.1\r\nhost: a\r\n{header}content-length: 0\r\n\r\n")).await;
    assert_eq!(wire.answer().await.header("x-run"), Some("1"), "the app's own path");
    assert_duplicate(&ask(gate.addr, &asking("msg_1", "")).await);
    assert_eq!(sent("POST", &header).await.status(), 200);
    assert_of_run(&ask(gate.addr, &asking("msg_1", "")).await, 2);
}

/// A small generator, so that a failure can be seen again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// 200 deliveries, each sent again until its sender sees a success; senders that leave, deadlines that pass, an app that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_each_delivery_runs_once_at_a_time_and_once_with_success() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "deadline = \"200ms\"\n[replay]\nwait = \"120ms\"\nlease = \"1s\"\n").await;
    let addr = gate.addr;
    let shared = http2(addr).await;
    let senders: Vec<_> = (0..200_u64)
        .flat_map(|id| (0..2).map(move |copy| (id, copy)))
        .map(|(id, copy)| {
            let shared = shared.clone();
            tokio::spawn(async move {
                let mut dice = Dice(id * 2 + copy + 7);
                let id = format!("msg_{id}");
                pause(dice.roll(1500)).await;
                for attempt in 0.. {
                    assert!(attempt < 60, "{id} was never answered with success");
                    let delay = dice.roll(300);
                    let how = match dice.roll(12) {
                        0 => "close",
                        1..=3 => "status=500",
                        4 => "status=302",
                        5 => "pause=20 break",
                        _ => "",
                    };
                    let sent = asking(&id, &format!("delay={delay} {how}"));
                    let patience = Duration::from_millis(if dice.roll(4) == 0 { dice.roll(200) } else { 5000 });
                    let status = if dice.roll(2) == 0 {
                        // Cancelled, the stream is reset.
                        tokio::time::timeout(patience, ask_http2(&shared, &sent)).await.ok().map(|(status, _)| status)
                    } else {
                        ask_briefly(addr, &sent, patience).await.map(|answer| answer.status())
                    };
                    if status.is_some_and(|status| (200..300).contains(&status)) {
                        return;
                    }
                    pause(dice.roll(100)).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let begun = app.begun();
    app.wait_ended(begun).await;
    let runs = app.runs();
    assert_once(&runs);
    let mut committed: Vec<&str> = runs.iter().filter(|run| run.is_committed()).map(Run::id).collect();
    committed.sort_unstable();
    committed.dedup();
    assert_eq!(committed.len(), 200, "an event without a run");
    assert!(runs.len() > 230, "hardly anything went wrong: {}", runs.len());
}
