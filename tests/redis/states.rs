//! What the store answers, and what of it is in the server.

use std::time::Duration;

use hookward::replay::{Claimed, Forgotten};

use crate::server::Server;
use crate::{LEASE, NAMESPACE, TTL, key, name, owner, store};

#[tokio::test]
async fn a_claim_is_one_owners_until_it_is_released_or_committed() {
    let server = Server::start();
    let store = store(&server);
    let (mine, other) = (owner(), owner());

    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine), "asked again after a lost answer");
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Busy));
    assert_eq!(store.claim(&key(2), other, LEASE).await, Ok(Claimed::Mine), "another delivery");

    assert_eq!(store.release(&key(1), other).await, Ok(()));
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Busy), "somebody else's is not released");
    assert_eq!(store.release(&key(1), mine).await, Ok(()));
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(false));
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Mine));

    assert_eq!(store.commit(&key(1), other, TTL).await, Ok(()));
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Committed));
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Committed), "also for its owner");
    assert_eq!(store.renew(&key(1), other, LEASE).await, Ok(false));
    assert_eq!(store.release(&key(1), other).await, Ok(()));
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Committed), "a release undoes no commit");
}

#[tokio::test]
async fn a_commit_stands_whoever_has_the_claim_by_then() {
    let server = Server::start();
    let store = store(&server);
    let (late, second) = (owner(), owner());
    assert_eq!(store.claim(&key(1), second, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.commit(&key(1), late, TTL).await, Ok(()));
    assert_eq!(store.claim(&key(1), second, LEASE).await, Ok(Claimed::Committed));
}

#[tokio::test]
async fn only_a_committed_delivery_can_be_forgotten() {
    let server = Server::start();
    let store = store(&server);
    let mine = owner();
    assert_eq!(store.forget(&key(1)).await, Ok(Forgotten::Absent));
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.forget(&key(1)).await, Ok(Forgotten::Running));
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(true), "it was left alone");
    assert_eq!(store.commit(&key(1), mine, TTL).await, Ok(()));
    assert_eq!(store.forget(&key(1)).await, Ok(Forgotten::Removed));
    assert_eq!(store.claim(&key(1), owner(), LEASE).await, Ok(Claimed::Mine));
}

#[tokio::test]
async fn a_lease_ends_unless_it_is_renewed_and_a_commit_outlives_it() {
    let server = Server::start();
    let store = store(&server);
    let (short, mine, other) = (Duration::from_millis(300), owner(), owner());
    for number in [1, 2, 3] {
        assert_eq!(store.claim(&key(number), mine, short).await, Ok(Claimed::Mine));
    }
    assert_eq!(store.renew(&key(2), mine, LEASE).await, Ok(true));
    assert_eq!(store.renew(&key(2), other, short).await, Ok(false));
    assert_eq!(store.commit(&key(3), mine, TTL).await, Ok(()));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(false), "it is not taken back");
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.claim(&key(2), other, LEASE).await, Ok(Claimed::Busy));
    assert_eq!(store.claim(&key(3), other, LEASE).await, Ok(Claimed::Committed));
    let left: i64 = redis::from_redis_value(server.ask(&["PTTL", &name(3)])).unwrap();
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_claim_2000_deliveries_at_once_exactly_one_gets_each() {
    let server = Server::start();
    let stores = [store(&server), store(&server)];
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..2000 {
        for store in stores.clone() {
            claims.spawn(async move { (number, store.claim(&key(number), owner(), LEASE).await) });
        }
    }
    let mut mine = vec![0; 2000];
    let mut busy = 0;
    while let Some(answer) = claims.join_next().await {
        match answer.unwrap() {
            (number, Ok(Claimed::Mine)) => mine[number as usize] += 1,
            (_, Ok(Claimed::Busy)) => busy += 1,
            (number, other) => panic!("{number}: {other:?}"),
        }
    }
    assert!(mine.iter().all(|count| *count == 1), "{mine:?}");
    assert_eq!(busy, 2000);
    let clients = server.text(&["CLIENT", "LIST"]);
    assert_eq!(clients.lines().filter(|line| line.contains("addr=127.0.0.1")).count(), 2, "one connection each");
}

#[tokio::test]
async fn the_server_holds_hashes_and_states_alone() {
    let server = Server::start();
    let store = store(&server);
    let mine = owner();
    store.claim(&key(1), mine, LEASE).await.unwrap();
    store.claim(&key(2), mine, LEASE).await.unwrap();
    store.commit(&key(2), mine, TTL).await.unwrap();
    store.claim(&key(3), mine, LEASE).await.unwrap();
    store.release(&key(3), mine).await.unwrap();

    let mut keys = server.list(&["KEYS", "*"]);
    keys.sort();
    assert_eq!(keys, [name(1), name(2)]);
    assert!(keys.iter().all(|key| key.len() == NAMESPACE.len() + 1 + 32));
    let running = server.text(&["GET", &name(1)]);
    let token = running.strip_prefix('r').unwrap();
    assert!(token.len() == 32 && token.bytes().all(|digit| digit.is_ascii_hexdigit()), "{running}");
    assert_eq!(server.text(&["GET", &name(2)]), "c");
}

#[tokio::test]
async fn what_the_server_has_lost_is_taken_again_unless_somebody_else_has_it_or_it_ran() {
    let server = Server::start();
    let store = store(&server);
    let (mine, other) = (owner(), owner());
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    server.ask(&["FLUSHALL"]);
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(false));
    assert_eq!(store.retake(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.claim(&key(1), other, LEASE).await, Ok(Claimed::Busy));
    assert_eq!(store.retake(&key(1), other, LEASE).await, Ok(Claimed::Busy));
    assert_eq!(store.release(&key(1), mine).await, Ok(()));
    assert_eq!(store.commit(&key(1), mine, TTL).await, Ok(()));
    assert_eq!(store.retake(&key(1), mine, LEASE).await, Ok(Claimed::Committed));
}
