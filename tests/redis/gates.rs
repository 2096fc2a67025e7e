//! Several hookward processes on one store: a delivery runs once, whoever gets it, and whoever of them dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::NAMESPACE;
use crate::gate::{
    Answer, App, BODY, Client, Delivery, Gate, PATIENCE, Runs, SECRET, eventually, only_states, toml, url,
};
use crate::server::{Server, Setup};

pub const ONCE: Runs = Runs { begun: 1, running: 0, succeeded: 1, overlapping: 0, late: 0 };
const PASSWORD: &str = "hunter2-is-no-password";
/// As many senders at a time, at each process.
const SENDERS: usize = 50;
const DELIVERIES: usize = 2000;

/// Two processes, their app and their store.
struct Pair {
    one: Gate,
    other: Gate,
    app: App,
    server: Server,
}

impl Pair {
    async fn start(replay: &str) -> Self {
        Self::of(replay, "").await
    }

    async fn of(replay: &str, route: &str) -> Self {
        let (server, app) = (Server::start(), App::start().await);
        let toml = toml(&app, &url(&server), replay, route);
        Self { one: Gate::start(&toml, &[]).await, other: Gate::start(&toml, &[]).await, app, server }
    }

    /// Each delivery to both at the same moment, again and again until it succeeds; what either sender got.
    async fn send_to_both(&self, kind: fn(usize) -> Delivery) -> Vec<[Vec<Answer>; 2]> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..SENDERS {
            let (mut one, mut other) = (Client::new(self.one.addr), Client::new(self.other.addr));
            let next = Arc::clone(&next);
            senders.spawn(async move {
                let mut got = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= DELIVERIES {
                        return got;
                    }
                    let bytes = kind(number).bytes();
                    let both = tokio::join!(insist(&mut one, &bytes), insist(&mut other, &bytes));
                    got.push(both.into());
                }
            });
        }
        senders.join_all().await.into_iter().flatten().collect()
    }
}

async fn insist(client: &mut Client, bytes: &[u8]) -> Vec<Answer> {
    let mut answers = vec![client.send(bytes).await];
    let until = Instant::now() + PATIENCE;
    while !answers.last().is_some_and(Answer::is_success) {
        assert!(Instant::now() < until, "{answers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        answers.push(client.send(bytes).await);
    }
    answers
}

/// Each takes a little, and not all the same.
fn usual(number: usize) -> Delivery {
    Delivery::new(format!("msg_{number}")).slow(Duration::from_millis(u64::try_from(number % 7).unwrap()))
}

#[tokio::test]
async fn two_thousand_deliveries_sent_to_two_processes_at_once_run_once_each() {
    let pair = Pair::start("").await;
    let answers = pair.send_to_both(usual).await;
    assert_eq!(answers.len(), DELIVERIES);
    let mut late = 0;
    for both in &answers {
        let [one, other] = both.each_ref().map(|answers| answers.split_last().unwrap());
        for refused in one.1.iter().chain(other.1) {
            // A store that gets no processor for half a second.
            refused.assert_refused(503, "replay_store_down");
            late += 1;
        }
        let (ran, duplicate) = if one.0.is_of_app() { (one.0, other.0) } else { (other.0, one.0) };
        ran.assert_ran();
        duplicate.assert_duplicate();
    }
    assert!(late <= DELIVERIES / 50, "{late} of them had to be sent again");
    let runs = pair.app.all();
    assert_eq!(runs.len(), DELIVERIES);
    assert!(runs.values().all(|runs| *runs == ONCE), "{runs:?}");
    assert_eq!(only_states(&pair.server, "hookward").len(), DELIVERIES);
}

#[tokio::test]
async fn a_delivery_that_the_app_fails_at_first_succeeds_once_and_never_runs_twice_at_a_time() {
    let pair = Pair::start("").await;
    let answers =
        pair.send_to_both(|number| if number % 2 == 0 { usual(number).failing_first() } else { usual(number) }).await;
    for sender in answers.iter().flatten() {
        let (last, before) = sender.split_last().unwrap();
        assert!(last.is_success(), "{sender:?}");
        assert!(before.iter().all(|answer| answer.status == 500 && answer.is_of_app()), "{sender:?}");
    }
    for number in 0..DELIVERIES {
        let begun = if number % 2 == 0 { 2 } else { 1 };
        assert_eq!(pair.app.runs(&format!("msg_{number}")), Runs { begun, ..ONCE }, "msg_{number}");
    }
    assert_eq!(only_states(&pair.server, "hookward").len(), DELIVERIES);
}

/// Pauses shorter than a lease, and long enough for calls to be given up whose commands are then carried out.
#[tokio::test]
async fn a_store_that_pauses_again_and_again_costs_retries_and_no_second_run() {
    let pair = Pair::start("").await;
    let pauses = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            pair.server.signal("STOP");
            tokio::time::sleep(Duration::from_millis(700)).await;
            pair.server.signal("CONT");
            // Until both have found it again.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    };
    let kind = |number| Delivery::new(format!("msg_{number}")).slow(Duration::from_millis(40));
    let (answers, ()) = tokio::join!(pair.send_to_both(kind), pauses);
    let refused = answers.iter().flatten().flatten().filter(|answer| !answer.is_success());
    let mut count = 0;
    for answer in refused {
        count += 1;
        match answer.status {
            409 => answer.assert_refused(409, "replay_in_flight"),
            _ => answer.assert_refused(503, "replay_store_down"),
        }
    }
    assert!(count > 0, "the pauses were felt");
    let runs = pair.app.all();
    assert_eq!(runs.len(), DELIVERIES);
    assert!(runs.values().all(|runs| *runs == ONCE), "{:?}", runs.iter().find(|(_, runs)| **runs != ONCE));
    eventually("not all is committed", || only_states(&pair.server, "hookward").iter().all(|state| state == "c")).await;
    assert_eq!(only_states(&pair.server, "hookward").len(), DELIVERIES);
}

#[tokio::test]
async fn what_a_killed_process_was_running_runs_elsewhere_when_its_lease_is_over() {
    let mut pair = Pair::start("lease = \"2s\"\nwait = \"200ms\"").await;
    let delivery = Delivery::new("msg_killed").held();
    let addr = pair.one.addr;
    let bytes = delivery.bytes();
    let sender = tokio::spawn(async move { Client::new(addr).send(&bytes).await });
    pair.app.begun("msg_killed", 1).await;
    pair.one.kill();
    assert_eq!(sender.await.unwrap().status, 0, "its sender learns that something went wrong");

    pair.other.deliver(&delivery).await.assert_refused(409, "replay_in_flight");
    assert_eq!(pair.app.runs("msg_killed").begun, 1);
    assert!(only_states(&pair.server, "hookward")[0].starts_with('r'));
    // The app's first run ends, and nobody is there to hear of it.
    pair.app.let_go();
    let answers = insist(&mut Client::new(pair.other.addr), &delivery.bytes()).await;
    let (last, before) = answers.split_last().unwrap();
    last.assert_ran();
    before.iter().for_each(|answer| answer.assert_refused(409, "replay_in_flight"));
    pair.other.deliver(&delivery).await.assert_duplicate();
    let runs = pair.app.runs("msg_killed");
    assert_eq!((runs.begun, runs.overlapping), (2, 0), "at least once across a crash, and not at once");
}

#[tokio::test]
async fn a_claim_is_held_for_as_long_as_the_app_works() {
    let pair = Pair::start("lease = \"1s\"\nwait = \"100ms\"").await;
    let delivery = Delivery::new("msg_long").held();
    let sender = pair.one.sends(&delivery);
    pair.app.begun("msg_long", 1).await;
    // Three leases.
    for _ in 0..12 {
        pair.other.deliver(&delivery).await.assert_refused(409, "replay_in_flight");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    pair.app.let_go();
    sender.await.unwrap().assert_ran();
    pair.other.deliver(&delivery).await.assert_duplicate();
    pair.one.deliver(&delivery).await.assert_duplicate();
    assert_eq!(pair.app.runs("msg_long"), ONCE);
}

/// One sender hangs up, another one's deadline passes: the runs go on, and hold their claims.
#[tokio::test]
async fn a_run_that_nobody_waits_for_keeps_the_other_process_away() {
    let pair = Pair::of("lease = \"1s\"\nwait = \"100ms\"", "deadline = \"1s\"").await;
    let (left, late) = (Delivery::new("msg_left").held(), Delivery::new("msg_late").held());
    let mut client = Client::new(pair.one.addr);
    client.post(&left.bytes()).await;
    pair.app.begun("msg_left", 1).await;
    client.reset();
    let answer = pair.one.deliver(&late).await;
    assert!(answer.status == 504 && answer.body.contains("upstream_timeout"), "{answer:?}");
    for _ in 0..8 {
        pair.other.deliver(&left).await.assert_refused(409, "replay_in_flight");
        pair.other.deliver(&late).await.assert_refused(409, "replay_in_flight");
    }
    pair.app.let_go();
    for delivery in [left, late] {
        let last = insist(&mut Client::new(pair.other.addr), &delivery.bytes()).await;
        last.last().unwrap().assert_duplicate();
        assert_eq!(pair.app.runs(&delivery.id), ONCE);
    }
}

#[tokio::test]
async fn forget_lets_a_delivery_run_once_more_at_either_process() {
    let mut pair = Pair::start("wait = \"100ms\"").await;
    let delivery = Delivery::new("msg_forget");
    pair.one.deliver(&delivery).await.assert_ran();
    pair.other.deliver(&delivery).await.assert_duplicate();
    let (done, said) = pair.one.forget("msg_forget");
    assert!(done && said.contains("the next delivery with this id runs"), "{said}");
    let (done, said) = pair.one.forget("msg_forget");
    assert!(!done && said.contains("nothing to forget"), "{said}");
    pair.other.deliver(&delivery).await.assert_ran();
    pair.one.deliver(&delivery).await.assert_duplicate();
    assert_eq!(pair.app.runs("msg_forget").begun, 2);

    let held = Delivery::new("msg_running").held();
    let sender = pair.one.sends(&held);
    pair.app.begun("msg_running", 1).await;
    let (done, said) = pair.other.forget("msg_running");
    assert!(!done && said.contains("it is running right now"), "{said}");
    pair.app.let_go();
    sender.await.unwrap().assert_ran();
    assert_eq!(pair.app.runs("msg_running"), ONCE);

    pair.server.kill();
    let (done, said) = pair.one.forget("msg_forget");
    assert!(!done && said.contains("the replay store: connecting failed"), "{said}");
}

/// Over TLS, with an authority of its own.
#[tokio::test]
async fn the_password_comes_from_the_environment_and_a_wrong_one_is_not_repeated() {
    let server = Server::with(&Setup { password: Some(PASSWORD), tls: true, ..Setup::default() });
    let app = App::start().await;
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/ca.pem");
    let replay = format!("ca = \"{ca}\"\npassword = {{ env = \"STORE_PASSWORD\" }}\nnamespace = \"{NAMESPACE}\"");
    let toml = toml(&app, &url(&server), &replay, "");
    let right = Gate::start(&toml, &[("STORE_PASSWORD", PASSWORD)]).await;
    right.deliver(&Delivery::new("msg_1")).await.assert_ran();
    right.deliver(&Delivery::new("msg_1")).await.assert_duplicate();
    assert_eq!(only_states(&server, NAMESPACE), ["c"]);

    let wrong = Gate::start(&toml, &[("STORE_PASSWORD", "hunter2-is-wrong")]).await;
    wrong.deliver(&Delivery::new("msg_2")).await.assert_refused(503, "replay_store_down");
    assert_eq!(app.runs("msg_2"), Runs::default());
    wrong.logged("it refuses the username or the password").await;
    for gate in [&right, &wrong] {
        assert!(!gate.log().contains("hunter2"), "{}", gate.log());
    }
}

#[tokio::test]
async fn nothing_of_a_delivery_is_sent_to_the_store_but_a_hash_and_a_state() {
    let everything = ["--slowlog-log-slower-than", "0", "--slowlog-max-len", "1000"];
    let server = Server::with(&Setup { more: &everything, ..Setup::default() });
    let app = App::start().await;
    let gate = Gate::start(&toml(&app, &url(&server), "", ""), &[]).await;
    // As long as an id may be.
    let id = format!("msg_{}", "distinctive".repeat(22));
    gate.deliver(&Delivery::new(&id)).await.assert_ran();
    gate.deliver(&Delivery::new(&id)).await.assert_duplicate();
    assert_eq!(gate.deliver(&Delivery::new("msg_fails").failing_first()).await.status, 500);
    let held = Delivery::new("msg_held").held();
    let sender = gate.sends(&held);
    app.begun("msg_held", 1).await;
    let mut states = only_states(&server, "hookward");
    states.sort();
    assert_eq!(states.len(), 2, "the one that failed is gone: {states:?}");
    assert!(states[0] == "c" && states[1].starts_with('r'), "{states:?}");
    app.let_go();
    sender.await.unwrap().assert_ran();

    let asked = format!("{:?}", server.ask(&["SLOWLOG", "GET", "-1"]));
    assert!(asked.contains("EVAL") || asked.contains("evalsha"), "the log of commands is there: {asked}");
    for secret in ["distinctive", "msg_", "clerk", "user_of_the_test", "user.created", &SECRET[6..], BODY] {
        assert!(!asked.contains(secret), "{secret}: {asked}");
    }
}

#[tokio::test]
async fn a_reload_with_another_store_says_that_it_waits_for_a_restart() {
    let (server, another, app) = (Server::start(), Server::start(), App::start().await);
    let gate = Gate::start(&toml(&app, &url(&server), "", ""), &[]).await;
    gate.deliver(&Delivery::new("msg_1")).await.assert_ran();
    // What does not name another store takes effect at once.
    gate.reload(&toml(&app, &url(&server), "ttl = \"31h\"", ""));
    gate.logged("\"outcome\":\"applied\"").await;
    assert!(!gate.log().contains("takes effect after a restart"), "{}", gate.log());
    gate.reload(&toml(&app, &url(&another), "ttl = \"31h\"", ""));
    gate.logged("takes effect after a restart").await;
    assert!(gate.log().contains("\"key\":\"replay.store\""), "{}", gate.log());
    gate.deliver(&Delivery::new("msg_1")).await.assert_duplicate();
    gate.deliver(&Delivery::new("msg_2")).await.assert_ran();
    assert_eq!(only_states(&server, "hookward"), ["c", "c"]);
    assert_eq!(only_states(&another, "hookward"), [""; 0]);
}
