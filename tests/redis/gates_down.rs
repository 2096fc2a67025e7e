//! hookward while its store is away: deliveries wait for it, nothing else does, and nobody restarts anything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::gate::{App, Delivery, Gate, PATIENCE, Runs, eventually, only_states, toml, url};
use crate::gates::ONCE;
use crate::server::Server;

struct Setting {
    gate: Gate,
    app: App,
    server: Server,
}

impl Setting {
    async fn start(replay: &str, route: &str) -> Self {
        let (server, app) = (Server::start(), App::start().await);
        Self { gate: Gate::start(&toml(&app, &url(&server), replay, route), &[]).await, app, server }
    }

    /// The store is away: deliveries are refused before they reach the app, and all else goes on.
    async fn assert_down(&self, ids: &[&str]) {
        for id in ids {
            let asked = Instant::now();
            self.gate.deliver(&Delivery::new(*id)).await.assert_refused(503, "replay_store_down");
            assert!(asked.elapsed() < Duration::from_secs(1), "as a sender counts, at once: {:?}", asked.elapsed());
            assert_eq!(self.app.runs(id), Runs::default(), "{id} reached the app");
        }
        let page = self.gate.page().await;
        assert_eq!((page.status, page.body.as_str()), (200, "page"));
        assert_eq!(self.gate.ready().await, 200);
    }

    /// Its sender tries again until it runs; refused only as one does whose store is away.
    async fn runs_again(&self, id: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.gate.deliver(&Delivery::new(id)).await;
            if answer.is_success() {
                answer.assert_ran();
                break;
            }
            assert!(matches!(answer.status, 503 | 409), "{answer:?}");
            assert!(Instant::now() < until, "{id} is never run: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.gate.deliver(&Delivery::new(id)).await.assert_duplicate();
        assert_eq!(self.app.runs(id), ONCE, "{id}");
    }
}

#[tokio::test]
async fn deliveries_are_refused_while_the_store_is_paused_and_run_when_it_goes_on() {
    let setting = Setting::start("", "").await;
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_ran();
    setting.server.signal("STOP");
    setting.assert_down(&["msg_1", "msg_2", "msg_3", "msg_before_2"]).await;
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_refused(503, "replay_store_down");
    setting.server.signal("CONT");
    for id in ["msg_1", "msg_2", "msg_3", "msg_4"] {
        setting.runs_again(id).await;
    }
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_duplicate();
    assert_eq!(setting.app.runs("msg_before"), ONCE);
    assert!(only_states(&setting.server, "hookward").iter().filter(|state| *state == "c").count() == 5);
}

#[tokio::test]
async fn deliveries_are_refused_while_the_store_is_dead_and_run_when_there_is_one_again() {
    let mut setting = Setting::start("", "").await;
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_ran();
    setting.server.kill();
    setting.assert_down(&["msg_1", "msg_2", "msg_3"]).await;
    setting.server.restart();
    for id in ["msg_1", "msg_2", "msg_3", "msg_4"] {
        setting.runs_again(id).await;
    }
    setting.gate.logged("the replay store is reachable again").await;
    setting.gate.logged("\"detail\":\"of the replay store: connecting failed: connection refused\"").await;
    let log = setting.gate.log();
    assert_eq!(log.matches("the replay store is down").count(), 1, "{log}");
    assert_eq!(log.matches("the replay store is reachable again").count(), 1, "{log}");
}

#[tokio::test]
async fn a_process_that_starts_before_its_store_serves_pages_and_finds_it_later() {
    let (mut server, app) = (Server::start(), App::start().await);
    server.kill();
    let gate = Gate::start(&toml(&app, &url(&server), "", ""), &[]).await;
    let mut setting = Setting { gate, app, server };
    setting.assert_down(&["msg_1"]).await;
    setting.server.restart();
    setting.runs_again("msg_1").await;
}

/// A new master: the old one takes no writes any more, and goes.
#[tokio::test]
async fn deliveries_are_refused_during_a_failover_and_run_after_it() {
    let setting = Setting::start("", "").await;
    let new = Server::start();
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_ran();
    setting.server.ask(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]);
    eventually("the replica has not caught up", || {
        setting.server.text(&["INFO", "replication"]).contains("link_status:up")
    })
    .await;
    setting.assert_down(&["msg_1", "msg_2"]).await;
    setting.server.ask(&["REPLICAOF", "NO", "ONE"]);
    for id in ["msg_1", "msg_2", "msg_3"] {
        setting.runs_again(id).await;
    }
}

#[tokio::test]
async fn a_route_may_ask_that_deliveries_run_without_the_store() {
    let mut setting = Setting::start("", "insecure_on_store_error = \"forward\"").await;
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_ran();
    setting.gate.deliver(&Delivery::new("msg_before")).await.assert_duplicate();
    setting.server.signal("STOP");
    setting.gate.deliver(&Delivery::new("msg_1")).await.assert_ran();
    setting.gate.deliver(&Delivery::new("msg_1")).await.assert_ran();
    assert_eq!(setting.app.runs("msg_1").begun, 2, "that is the price");
    setting.gate.logged("it may run twice: of the replay store: ").await;
    setting.server.kill();
    setting.gate.deliver(&Delivery::new("msg_2")).await.assert_ran();
    setting.server.restart();
    setting.gate.logged("the replay store is reachable again").await;
    setting.runs_again("msg_3").await;
}

/// The app has run, whatever the store says.
#[tokio::test]
async fn a_store_that_goes_down_while_the_app_works_costs_nobody_an_answer_and_learns_of_the_run() {
    let mut setting = Setting::start("", "").await;
    let other = Gate::start(&toml(&setting.app, &url(&setting.server), "", ""), &[]).await;
    let delivery = Delivery::new("msg_1").held();
    let sender = setting.gate.sends(&delivery);
    setting.app.begun("msg_1", 1).await;
    setting.server.kill();
    setting.app.let_go();
    sender.await.unwrap().assert_ran();
    setting.gate.deliver(&delivery).await.assert_duplicate();
    other.deliver(&delivery).await.assert_refused(503, "replay_store_down");
    setting.server.restart();
    eventually("it is not committed", || only_states(&setting.server, "hookward") == ["c"]).await;
    other.logged("the replay store is reachable again").await;
    other.deliver(&delivery).await.assert_duplicate();
    setting.gate.deliver(&delivery).await.assert_duplicate();
    assert_eq!(setting.app.runs("msg_1"), ONCE);
}

/// The other half of an event that goes to two endpoints is refused meanwhile, and sent again when the store is there.
#[tokio::test]
async fn a_store_that_is_away_for_longer_than_a_lease_learns_of_the_run_all_the_same() {
    let mut setting = Setting::start("lease = \"1s\"", "").await;
    let delivery = Delivery::new("msg_1").held();
    let sender = setting.gate.sends(&delivery);
    setting.app.begun("msg_1", 1).await;
    setting.server.kill();
    setting.app.let_go();
    sender.await.unwrap().assert_ran();
    tokio::time::sleep(Duration::from_secs(3)).await;
    setting.server.restart();
    setting.gate.logged("the replay store is reachable again").await;
    eventually("it is not committed", || only_states(&setting.server, "hookward") == ["c"]).await;
    setting.gate.deliver(&delivery).await.assert_duplicate();
    assert_eq!(setting.app.runs("msg_1"), ONCE);
}

/// The sender has its answer and will not come again, but the other endpoint's half of the event may.
#[tokio::test]
async fn a_shutdown_waits_until_the_store_knows_what_ran() {
    let mut setting = Setting::start("", "").await;
    let delivery = Delivery::new("msg_1").held();
    let sender = setting.gate.sends(&delivery);
    setting.app.begun("msg_1", 1).await;
    setting.server.kill();
    setting.app.let_go();
    sender.await.unwrap().assert_ran();
    setting.gate.signal("TERM");
    setting.gate.logged("draining").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!setting.gate.has_ended(), "the store does not know yet");
    setting.server.restart();
    eventually("it does not end", || setting.gate.has_ended()).await;
    assert_eq!(only_states(&setting.server, "hookward"), ["c"]);
    let next = Gate::start(&toml(&setting.app, &url(&setting.server), "", ""), &[]).await;
    next.deliver(&delivery).await.assert_duplicate();
    assert_eq!(setting.app.runs("msg_1"), ONCE);
}

/// What the store was told while it was paused it does when it goes on, and the answer goes nowhere.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_no_lost_claim() {
    let setting = Setting::start("lease = \"3s\"", "").await;
    let ids: Vec<String> = (0..16).map(|number| format!("msg_{number}")).collect();
    let mut senders = Vec::new();
    for id in &ids {
        senders.push(setting.gate.sends(&Delivery::new(id).held()));
        // Each renews, and commits, at times of its own.
        setting.app.begun(id, 1).await;
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
    setting.server.signal("STOP");
    setting.app.let_go();
    for sender in senders {
        sender.await.unwrap().assert_ran();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    setting.server.signal("CONT");
    eventually("not all is committed", || only_states(&setting.server, "hookward") == ["c"; 16]).await;
    setting.gate.logged("the replay store is reachable again").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = setting.gate.log();
    assert!(!log.contains("lost a claim"), "{log}");
    for id in &ids {
        setting.gate.deliver(&Delivery::new(id)).await.assert_duplicate();
        assert_eq!(setting.app.runs(id), ONCE);
    }
}

/// As a failover may leave it, which loses the last writes.
#[tokio::test]
async fn a_claim_that_the_store_has_lost_is_taken_again_while_the_app_works() {
    let setting = Setting::start("lease = \"1s\"", "").await;
    let other = Gate::start(&toml(&setting.app, &url(&setting.server), "wait = \"0ms\"", ""), &[]).await;
    let delivery = Delivery::new("msg_1").held();
    let sender = setting.gate.sends(&delivery);
    setting.app.begun("msg_1", 1).await;
    setting.server.ask(&["FLUSHALL"]);
    eventually("it is not taken again", || only_states(&setting.server, "hookward").len() == 1).await;
    other.deliver(&delivery).await.assert_refused(409, "replay_in_flight");
    // And is kept from there on.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    other.deliver(&delivery).await.assert_refused(409, "replay_in_flight");
    setting.app.let_go();
    sender.await.unwrap().assert_ran();
    eventually("it is not committed", || only_states(&setting.server, "hookward") == ["c"]).await;
    other.deliver(&delivery).await.assert_duplicate();
    assert_eq!(setting.app.runs("msg_1"), ONCE);
}

/// The server forgot them all, as one without a disk does when it restarts; their owners are at work and come first.
#[tokio::test]
async fn after_a_restart_of_the_store_nobody_claims_before_those_that_run() {
    owners_come_first("wait = \"3s\"", "").await;
}

/// A store that is there again is no store that is away.
#[tokio::test]
async fn nobody_runs_without_a_claim_either_while_the_owners_take_theirs_again() {
    owners_come_first("wait = \"0ms\"", "insecure_on_store_error = \"forward\"").await;
}

async fn owners_come_first(replay: &str, route: &str) {
    let mut setting = Setting::start("", "").await;
    let other = Gate::start(&toml(&setting.app, &url(&setting.server), replay, route), &[]).await;
    let ids: Vec<String> = (0..24).map(|number| format!("msg_{number}")).collect();
    let deliveries: Vec<Delivery> = ids.iter().map(|id| Delivery::new(id).held()).collect();
    let mut senders = Vec::new();
    for delivery in &deliveries {
        senders.push(setting.gate.sends(delivery));
    }
    for id in &ids {
        setting.app.begun(id, 1).await;
    }
    for restart in 1..4 {
        setting.server.kill();
        eventually("the other has not noticed", || other.log().matches("the replay store is down").count() == restart)
            .await;
        // It is the last one to find the store again.
        setting.gate.signal("STOP");
        setting.server.restart();
        eventually("the other is not connected", || {
            other.log().matches("the replay store is reachable again").count() == restart
        })
        .await;
        // As senders do that were told to come again: at once, and to whoever answers.
        let again: Vec<_> = deliveries.iter().map(|delivery| other.sends(delivery)).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        setting.gate.signal("CONT");
        for answer in again {
            let answer = answer.await.unwrap();
            assert!(matches!(answer.status, 409 | 503), "{answer:?}");
        }
    }
    setting.app.let_go();
    for sender in senders {
        sender.await.unwrap().assert_ran();
    }
    for id in &ids {
        assert_eq!(setting.app.runs(id), ONCE, "{id}");
    }
}

/// What this process has not handed over yet, another one may run by now.
#[tokio::test]
async fn a_claim_that_is_lost_before_the_app_is_reached_is_not_run() {
    let (server, app) = (Server::start(), App::start().await);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let toml_of = |upstream: SocketAddr| {
        let route = "retry = { attempts = 3, within = \"10s\" }";
        let toml = toml(&app, &url(&server), "lease = \"1s\"", route);
        toml.replace(&app.addr.to_string(), &upstream.to_string())
    };
    let (late, other) = (Gate::start(&toml_of(addr), &[]).await, Gate::start(&toml_of(app.addr), &[]).await);
    let delivery = Delivery::new("msg_1").held();
    let first = late.sends(&delivery);
    eventually("it is not claimed", || only_states(&server, "hookward").len() == 1).await;
    server.ask(&["FLUSHALL"]);
    let second = other.sends(&delivery);
    app.begun("msg_1", 1).await;
    late.logged("has lost a claim").await;
    // Its app is there again.
    let listener = TcpListener::bind(addr).await.unwrap();
    let to = app.addr;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    first.await.unwrap().assert_refused(503, "replay_store_down");
    app.let_go();
    second.await.unwrap().assert_ran();
    assert_eq!(app.runs("msg_1"), ONCE);
    late.deliver(&delivery).await.assert_duplicate();
}

/// Longer than the time between two renewals, and shorter than the lease.
#[tokio::test]
async fn a_claim_outlives_a_store_that_is_away_for_less_than_its_lease() {
    let setting = Setting::start("lease = \"6s\"", "").await;
    let delivery = Delivery::new("msg_1").held();
    let sender = setting.gate.sends(&delivery);
    setting.app.begun("msg_1", 1).await;
    // Renewed after two seconds and after four; it ends after six.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    setting.server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    tokio::time::sleep(Duration::from_millis(2400)).await;
    setting.server.ask(&["REPLICAOF", "NO", "ONE"]);
    setting.gate.logged("the replay store is reachable again").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let log = setting.gate.log();
    assert!(!log.contains("lost a claim"), "it ended, and was another's to take: {log}");
    setting.app.let_go();
    sender.await.unwrap().assert_ran();
    assert_eq!(setting.app.runs("msg_1"), ONCE);
}
