//! A delivery that the app could not take is handed to it again, while its sender waits; one that was written never is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::runs::*;
use crate::script::*;
use crate::sender::*;

/// Where nobody listens, for now.
async fn nobody() -> SocketAddr {
    Scripted::answering(OK).await.close().await
}

const PATIENT: &str = "retry = { attempts = 3, within = \"5s\" }\n";

#[tokio::test]
async fn an_app_that_is_restarting_costs_no_delivery() {
    let addr = nobody().await;
    let gate = Gate::deduping(addr, PATIENT).await;
    let since = Instant::now();
    let asked: Vec<_> = (0..20).map(|n| asked(gate.addr, &asking(&format!("msg_{n}"), ""))).collect();
    pause(1000).await;
    let app = Worker::at(addr).await;
    for answer in asked {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert!(since.elapsed() >= Duration::from_millis(950));
    app.assert_begun(20);
    let mut ids: Vec<_> = app.runs().iter().map(|run| run.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(app.runs().iter().all(|run| run.request.body == BODY.as_bytes() && run.request.whole));
}

#[tokio::test]
async fn connecting_is_tried_again_until_its_time_is_over() {
    let addr = nobody().await;
    let gate = Gate::deduping(addr, "retry = { attempts = 2, within = \"400ms\" }\n").await;
    let since = Instant::now();
    let answer = ask(gate.addr, &asking("msg_1", "")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(100) && took < Duration::from_millis(1500), "{took:?}");
    // Nothing was sent, so nothing is held.
    let app = Worker::at(addr).await;
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 200);
    app.assert_begun(1);
}

#[tokio::test]
async fn a_single_attempt_is_one_attempt() {
    let addr = nobody().await;
    for retry in [
        "retry = { attempts = 1, within = \"5s\", on_status = [503] }\n",
        "retry = { attempts = 3, within = \"0ms\" }\n",
    ] {
        let gate = Gate::deduping(addr, retry).await;
        let since = Instant::now();
        let answer = ask(gate.addr, &asking("msg_1", "")).await;
        assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
        assert!(since.elapsed() < Duration::from_secs(2));
    }
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, "retry = { attempts = 1, within = \"5s\", on_status = [503] }\n").await;
    assert_eq!(ask(gate.addr, &asking("msg_1", "status=503")).await.status(), 503);
    app.assert_begun(1);
}

/// The deadline is the sender's, and ends before `within`.
#[tokio::test]
async fn the_deadline_is_the_end_of_all_attempts() {
    let addr = nobody().await;
    let gate = Gate::deduping(addr, &format!("deadline = \"300ms\"\n{PATIENT}")).await;
    let since = Instant::now();
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 502);
    assert!(since.elapsed() < Duration::from_millis(1300), "{:?}", since.elapsed());

    let app = Worker::start().await;
    let gate = Gate::deduping(
        app.addr,
        "deadline = \"400ms\"\nretry = { attempts = 10, within = \"5s\", on_status = [503] }\n",
    )
    .await;
    let since = Instant::now();
    let answer = ask(gate.addr, &asking("msg_1", "delay=250 status=503")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(350) && took < Duration::from_millis(1400), "{took:?}");
    app.assert_begun(2);
    // The second still holds the claim; it fails late, and is not tried again by anyone but the sender.
    app.wait_ended(2).await;
    pause(100).await;
    app.assert_begun(2);
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.text(), "run 2 ");
}

/// An app whose answers are these, one for each request, the last one again and again.
async fn answering_in_turn(
    answers: &'static [&'static str],
) -> (Scripted, Arc<AtomicUsize>, Arc<std::sync::Mutex<Vec<Message>>>) {
    let (count, seen) = (Arc::new(AtomicUsize::new(0)), Arc::<std::sync::Mutex<Vec<Message>>>::default());
    let shared = (Arc::clone(&count), Arc::clone(&seen));
    let app = Scripted::start(move |_, mut wire| {
        let (count, seen) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
        async move {
            while let Some(request) = wire.request().await {
                seen.lock().unwrap().push(request);
                let answer = answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
                if answer.is_empty() || wire.try_send(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (app, count, seen)
}

const UNAVAILABLE: &str =
    "HTTP/1.1 503 Busy\r\nretry-after: 9\r\nwebhook-delivery: stop\r\ncontent-length: 4\r\n\r\nbusy";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 6\r\n\r\nbroken";

#[tokio::test]
async fn an_answer_that_is_named_is_asked_for_again() {
    let (app, count, seen) = answering_in_turn(&[UNAVAILABLE, UNAVAILABLE, OK]).await;
    let retry = "retry = { attempts = 3, within = \"5s\", on_status = [503] }\n";
    let gate = Gate::deduping(app.addr, retry).await;
    let sent = asking("msg_1", "").with("x-more", "1");
    let answer = ask(gate.addr, &sent).await;
    assert_eq!((answer.status(), answer.text().as_str(), count.load(Ordering::SeqCst)), (200, "ok", 3));
    assert_eq!(answer.header("retry-after"), None);
    let seen = seen.lock().unwrap().clone();
    for again in &seen[1..] {
        assert_eq!((&again.head, &again.body, again.whole), (&seen[0].head, &seen[0].body, true));
    }
    assert_eq!(seen[0].body, BODY.as_bytes());
    assert_eq!(ask(gate.addr, &sent).await.code(), "duplicate");
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_large_body_is_handed_over_again_byte_for_byte() {
    let (app, _, seen) = answering_in_turn(&[UNAVAILABLE, OK]).await;
    let retry = "retry = { attempts = 2, within = \"5s\", on_status = [503] }\n";
    let gate = Gate::deduping(app.addr, retry).await;
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let signed = svix_family("svix", SECRET, "msg_1", &now().to_string(), &body);
    assert_eq!(ask(gate.addr, &Sent::post(PATH, &body).signed(signed)).await.status(), 200);
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.body == body));
}

#[tokio::test]
async fn the_last_answer_is_the_senders() {
    let retry = "retry = { attempts = 3, within = \"5s\", on_status = [503] }\n";
    let (app, count, _) = answering_in_turn(&[UNAVAILABLE]).await;
    let gate = Gate::deduping(app.addr, retry).await;
    let answer = ask(gate.addr, &asking("msg_1", "")).await;
    assert_eq!((answer.status(), answer.text().as_str(), count.load(Ordering::SeqCst)), (503, "busy", 3));
    assert_eq!((answer.header("retry-after"), answer.header("webhook-delivery")), (Some("9"), Some("stop")));
    // It failed, so the sender's own retry runs.
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 503);
    assert_eq!(count.load(Ordering::SeqCst), 6);

    // An answer that is not named ends it.
    let (app, count, _) = answering_in_turn(&[UNAVAILABLE, BROKEN, OK]).await;
    let gate = Gate::deduping(app.addr, retry).await;
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 500);
    assert_eq!(count.load(Ordering::SeqCst), 2);

    // Where none is named, each is final.
    let (app, count, _) = answering_in_turn(&[UNAVAILABLE, OK]).await;
    let gate = Gate::deduping(app.addr, PATIENT).await;
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 503);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// Duplicates wait for the last attempt, and are not let in between two.
#[tokio::test]
async fn the_claim_is_kept_from_one_attempt_to_the_next() {
    let (app, count, _) = answering_in_turn(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK]).await;
    let retry = "retry = { attempts = 5, within = \"5s\", on_status = [503] }\n";
    let gate = Gate::deduping(app.addr, retry).await;
    let all: Vec<_> = (0..5).map(|_| asked(gate.addr, &asking("msg_1", ""))).collect();
    for answer in all {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn what_was_written_is_never_handed_over_again() {
    let retry = "retry = { attempts = 5, within = \"5s\", on_status = [500, 502, 503, 504] }\n";
    // Closed after the request, in the answer's head, after garbage.
    let ways: [&'static [&'static str]; 3] =
        [&["", OK], &["HTTP/1.1 200 OK\r\ncontent-le", ""], &["nonsense\r\n\r\n", OK]];
    for (index, answers) in ways.into_iter().enumerate() {
        let (app, count, _) = answering_in_turn(answers).await;
        let app = if index == 1 { closing_in_the_head(Arc::clone(&count)).await } else { app };
        let gate = Gate::deduping(app.addr, &format!("{retry}[replay]\nwait = \"0ms\"\nlease = \"1s\"\n")).await;
        let answer = ask(gate.addr, &asking("msg_1", "")).await;
        assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"), "{index}");
        pause(60).await;
        assert_eq!(count.load(Ordering::SeqCst), 1, "{index}");
        assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.status(), 409, "nobody knows whether it ran");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{index}");
    }
    // Closed as soon as the request's head was read: its handler may have begun.
    let count = Arc::new(AtomicUsize::new(0));
    let heads = Arc::clone(&count);
    let app = Scripted::start(move |_, mut wire| {
        let heads = Arc::clone(&heads);
        async move {
            if wire.head().await.is_some() {
                heads.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let gate = Gate::deduping(app.addr, retry).await;
    let body = "x".repeat(900_000);
    let signed = svix_family("svix", SECRET, "msg_1", &now().to_string(), body.as_bytes());
    let answer = ask(gate.addr, &Sent::post(PATH, &body).signed(signed)).await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"));
    pause(60).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

async fn closing_in_the_head(count: Arc<AtomicUsize>) -> Scripted {
    Scripted::start(move |_, mut wire| {
        let count = Arc::clone(&count);
        async move {
            if wire.request().await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                wire.send("HTTP/1.1 200 OK\r\ncontent-le").await;
            }
        }
    })
    .await
}

/// The app closes a connection that rested; each delivery finds it in that state, and none fails.
#[tokio::test]
async fn a_connection_that_the_app_closed_is_no_failure() {
    let app = Scripted::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.send(OK).await;
        }
    })
    .await;
    let gate = Gate::deduping(app.addr, "retry = { attempts = 1 }\n").await;
    for n in 0..30 {
        let answer = ask(gate.addr, &asking(&format!("msg_{n}"), "")).await;
        assert_eq!(answer.status(), 200, "{n}: {answer:?}");
    }
    assert_eq!(app.connections(), 30);
}

/// The sender leaves while nothing was sent: nothing is, and its retry runs.
#[tokio::test]
async fn who_leaves_between_two_attempts_leaves_nothing_behind() {
    let addr = nobody().await;
    let gate = Gate::deduping(addr, PATIENT).await;
    let mut wire = Wire::dial(gate.addr).await;
    wire.send(asking("msg_1", "").bytes()).await;
    pause(100).await;
    wire.stream.set_zero_linger().unwrap();
    drop(wire);
    pause(50).await;
    let app = Worker::at(addr).await;
    pause(700).await;
    app.assert_begun(0);
    assert_eq!(ask(gate.addr, &asking("msg_1", "")).await.text(), "run 0 ");
}

#[tokio::test]
async fn what_no_route_protects_is_never_tried_again() {
    let addr = nobody().await;
    let gate = Gate::deduping(addr, "retry = { attempts = 3, within = \"5s\", on_status = [503] }\n").await;
    let since = Instant::now();
    let answer = ask(gate.addr, &Sent::post("/page", "x")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
    assert!(since.elapsed() < Duration::from_secs(2));
    let (app, count, _) = answering_in_turn(&[UNAVAILABLE, OK]).await;
    let gate = Gate::deduping(app.addr, "retry = { attempts = 3, within = \"5s\", on_status = [503] }\n").await;
    let answer = ask(gate.addr, &Sent::post("/page", "x")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("9")), "the app's own answer");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
