//! Servers that pause, die, come back, or are only replicas: down at once, and back without a restart.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use hookward::replay::{Claimed, Down, RedisPlace, RedisStore};

use crate::server::Server;
use crate::{LEASE, Log, TTL, back, gone, key, name, owner, place, store};

/// Twice the limit of a call, for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(1);

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(8);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A claim, once those that were running before the outage have had their time.
async fn claim_of(store: &RedisStore, number: u64) -> Result<Claimed, Down> {
    let end = Instant::now() + Duration::from_secs(8);
    loop {
        let claimed = store.claim(&key(number), owner(), LEASE).await;
        if claimed != Err(Down::Settling) || Instant::now() > end {
            return claimed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn held(server: &Server, number: u64) -> bool {
    !server.list(&["KEYS", &name(number)]).is_empty()
}

#[tokio::test]
async fn a_server_that_pauses_is_down_within_the_limit_and_its_late_claims_are_released() {
    let (log, _guard) = Log::capture();
    let server = Server::start();
    let store = store(&server);
    assert_eq!(store.claim(&key(1), owner(), LEASE).await, Ok(Claimed::Mine));

    server.signal("STOP");
    let asked = Instant::now();
    let long = Duration::from_secs(30);
    assert_eq!(store.claim(&key(2), owner(), long).await, Err(Down::Timeout));
    assert!(asked.elapsed() < LIMIT, "{:?}", asked.elapsed());
    // The keeper hears of it on its next turn.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    for _ in 0..100 {
        assert_eq!(store.claim(&key(3), owner(), long).await, Err(Down::Timeout));
    }
    assert!(asked.elapsed() < LIMIT / 2, "a hundred calls fail at once: {:?}", asked.elapsed());
    assert_eq!(log.count("the replay store is down"), 1, "{}", log.text());

    server.signal("CONT");
    back(&store).await;
    assert_eq!(log.count("the replay store is reachable again"), 1, "{}", log.text());
    assert!(held(&server, 1));
    until("the claim that timed out is still held", || !held(&server, 2)).await;
    assert_eq!(claim_of(&store, 2).await, Ok(Claimed::Mine));
}

/// Its caller leaves, so that nobody is there to see the answer.
#[tokio::test]
async fn a_claim_whose_caller_left_is_released() {
    let server = Server::start();
    let store = store(&server);
    back(&store).await;
    server.signal("STOP");
    let left = tokio::time::timeout(Duration::from_millis(100), store.claim(&key(1), owner(), LEASE)).await;
    assert!(left.is_err());
    server.signal("CONT");
    until("the claim never arrived", || {
        server.text(&["INFO", "commandstats"]).lines().any(|line| line.starts_with("cmdstat_set:"))
    })
    .await;
    until("the claim is still held", || !held(&server, 1)).await;
}

#[tokio::test]
async fn a_server_that_was_killed_and_restarted_is_found_again() {
    let (log, _guard) = Log::capture();
    let mut server = Server::start();
    let store = store(&server);
    let mine = owner();
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    server.kill();
    assert_eq!(gone(&store).await, Down::Connect(std::io::ErrorKind::ConnectionRefused));
    let asked = Instant::now();
    for _ in 0..100 {
        assert!(store.commit(&key(1), mine, TTL).await.is_err());
    }
    assert!(asked.elapsed() < LIMIT / 2, "a hundred calls fail at once: {:?}", asked.elapsed());
    assert_eq!(log.count("the replay store is down"), 1, "{}", log.text());

    server.restart();
    back(&store).await;
    assert_eq!(store.claim(&key(2), owner(), LEASE).await, Err(Down::Settling), "it knows nothing of what was running");
    assert!(!held(&server, 2));
    assert_eq!(store.retake(&key(3), owner(), LEASE).await, Ok(Claimed::Mine), "whoever runs may have it again");
    assert_eq!(store.commit(&key(1), mine, TTL).await, Ok(()));
    assert_eq!(claim_of(&store, 1).await, Ok(Claimed::Committed));
    assert_eq!(log.count("the replay store is reachable again"), 1, "{}", log.text());
}

#[tokio::test]
async fn calls_do_not_notice_a_connection_that_the_server_closes() {
    let (log, _guard) = Log::capture();
    let server = Server::start();
    let store = store(&server);
    back(&store).await;
    // A connection that was up for a while is made again at once, and callers wait for it.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for number in 0..20 {
        assert_eq!(store.claim(&key(number), owner(), LEASE).await, Ok(Claimed::Mine));
    }
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_down_until_it_takes_writes_again() {
    let (log, _guard) = Log::capture();
    let (master, server) = (Server::start(), Server::start());
    let store = store(&server);
    let mine = owner();
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    server.ask(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let down = store.claim(&key(2), owner(), LEASE).await.unwrap_err();
    assert!(matches!(down, Down::ReadOnly | Down::Loading | Down::MasterDown), "{down:?}");
    until("the replica has not caught up", || server.text(&["INFO", "replication"]).contains("link_status:up")).await;
    // Past the back-off: that is how the new state becomes known.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(store.claim(&key(3), owner(), LEASE).await, Err(Down::ReadOnly));
    assert!(!held(&master, 3));
    assert_eq!(log.count("the replay store is reachable again"), 0, "a replica is not: {}", log.text());

    server.ask(&["REPLICAOF", "NO", "ONE"]);
    back(&store).await;
    assert_eq!(claim_of(&store, 3).await, Ok(Claimed::Mine));
    assert_eq!(log.count("the replay store is reachable again"), 1, "{}", log.text());
    assert_eq!(log.count("the replay store is down"), 1, "{}", log.text());
}

#[tokio::test]
async fn nothing_is_connected_before_the_first_use_and_one_attempt_serves_many_callers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let place = RedisPlace {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        db: 0,
        username: None,
        password: None,
        tls: None,
        namespace: "hookward-test".into(),
    };
    let store = RedisStore::new(place);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(listener.accept().is_err(), "nobody asked");
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let store = store.clone();
        calls.spawn(async move { store.claim(&key(number), owner(), LEASE).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), Err(Down::Timeout), "it takes the connection and says nothing");
    }
    assert!(listener.accept().is_ok());
    assert!(listener.accept().is_err(), "one attempt for a hundred calls");
}

#[tokio::test]
async fn a_store_that_nobody_holds_leaves_the_server() {
    let server = Server::start();
    let store = store(&server);
    back(&store).await;
    let links = || server.text(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("addr=127.0.0.1")).count();
    assert_eq!(links(), 1);
    drop(store);
    until("the connection is still there", || links() == 0).await;
}

#[tokio::test]
async fn a_name_without_an_address_says_so() {
    let server = Server::start();
    let place = RedisPlace { host: "no-such-host.invalid".into(), ..place(&server) };
    let store = RedisStore::new(place);
    let down = store.claim(&key(1), owner(), LEASE).await.unwrap_err();
    assert!(matches!(down, Down::Name | Down::Timeout), "{down:?}");
}
