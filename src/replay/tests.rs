//! Claims by themselves: who has one, who waits, and what a drop does. What the wire sees of it is in `tests/it/replay.rs`.

use super::*;
use crate::budget::Budget;
use http::HeaderValue;

const POLICY: ReplayPolicy = ReplayPolicy {
    store: ReplayStore::Memory,
    ttl: Duration::from_secs(100),
    max_entries: 3,
    lease: Duration::from_millis(100),
    wait: Duration::from_secs(5),
};

fn replay() -> Arc<Replay> {
    Replay::new(&ReplayStore::Memory, ReplayMetrics::default(), InFlight::default())
}

/// Enough of it.
fn memory() -> Charge {
    Budget::new(1 << 20).charge()
}

fn after(duration: Duration) -> Instant {
    clock::monotonic().checked_add(duration).unwrap()
}

fn terms(id: &[u8]) -> Terms {
    Terms {
        key: ReplayKey::of_id("a", id),
        memorable: Memorable { ttl: POLICY.ttl, window: None },
        began: clock::monotonic(),
        deadline: after(Duration::from_secs(10)),
    }
}

async fn mine(replay: &Arc<Replay>, id: &[u8]) -> Claim {
    match replay.claim(terms(id), &POLICY, &mut memory()).await {
        Ok(Permit::Mine(claim)) => claim,
        other => panic!("{other:?}"),
    }
}

/// What is known at once.
async fn at_once(replay: &Arc<Replay>, id: &[u8]) -> Result<Permit, Denied> {
    replay.claim(terms(id), &ReplayPolicy { wait: Duration::ZERO, ..POLICY }, &mut memory()).await
}

#[tokio::test]
async fn a_claim_that_is_dropped_lets_the_next_one_run() {
    let replay = replay();
    let claim = mine(&replay, b"1").await;
    assert_eq!(at_once(&replay, b"1").await.unwrap_err(), Denied::InFlight);
    assert_eq!(replay.entries(), 1);
    drop(claim);
    assert_eq!(replay.entries(), 0);
    drop(mine(&replay, b"1").await);
}

#[tokio::test]
async fn a_success_is_known_and_anything_else_is_not() {
    let replay = replay();
    for status in [199, 300, 404, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        assert!(mine(&replay, b"1").await.settle(status, &HeaderMap::new()).is_none());
    }
    assert_eq!(replay.entries(), 0);
    assert!(mine(&replay, b"1").await.settle(StatusCode::OK, &HeaderMap::new()).is_none(), "nobody waits");
    assert!(matches!(at_once(&replay, b"1").await, Ok(Permit::Duplicate(None))));
    assert_eq!(replay.entries(), 1);
}

#[tokio::test]
async fn those_that_wait_get_the_answer_but_not_what_is_meant_for_one() {
    let replay = replay();
    let claim = mine(&replay, b"1").await;
    let waiting = tokio::spawn({
        let replay = Arc::clone(&replay);
        async move { replay.claim(terms(b"1"), &POLICY, &mut memory()).await }
    });
    tokio::task::yield_now().await;
    let names = ["set-cookie", "webhook-delivery", "content-length", "transfer-encoding", "trailer", "x-kept"];
    let headers = names.map(|name| (http::HeaderName::from_static(name), HeaderValue::from_static("1")));
    let mut copier = claim.settle(StatusCode::CREATED, &HeaderMap::from_iter(headers)).expect("one waits");
    assert!(matches!(at_once(&replay, b"1").await, Ok(Permit::Duplicate(None))), "it ran, whatever is still to come");
    copier.push(&Bytes::from_static(b"an "));
    copier.push(&Bytes::from_static(b"answer"));
    assert!(!waiting.is_finished());
    copier.finish();
    let Ok(Permit::Duplicate(Some(answer))) = waiting.await.unwrap() else { panic!("no copy") };
    assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::CREATED, b"an answer".as_slice()));
    assert_eq!(answer.headers.keys().collect::<Vec<_>>(), ["x-kept"]);
}

#[tokio::test]
async fn those_that_wait_give_way_when_memory_is_short() {
    let (replay, budget) = (replay(), Budget::new(100));
    let claim = mine(&replay, b"1").await;
    let now = clock::monotonic();
    let (mut copy, mut another) = (budget.charge(), budget.charge());
    copy.add(60, now, || now).unwrap();
    let waiting = tokio::spawn({
        let replay = Arc::clone(&replay);
        async move { replay.claim(terms(b"1"), &POLICY, &mut copy).await }
    });
    tokio::task::yield_now().await;
    another.add(60, now, || now).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err(), Denied::InFlight);
    assert_eq!(budget.used(), 60);
    drop(claim);
    drop(mine(&replay, b"1").await);
}

/// It runs, or is done: nothing may take its memory any more.
#[tokio::test]
async fn one_that_has_waited_and_runs_keeps_its_memory() {
    let (replay, budget) = (replay(), Budget::new(100));
    let claim = mine(&replay, b"1").await;
    let now = clock::monotonic();
    let mut copy = budget.charge();
    copy.add(60, now, || now).unwrap();
    let waiting = tokio::spawn({
        let replay = Arc::clone(&replay);
        async move { (replay.claim(terms(b"1"), &POLICY, &mut copy).await, copy) }
    });
    tokio::task::yield_now().await;
    drop(claim);
    let (permit, copy) = waiting.await.unwrap();
    assert!(matches!(permit, Ok(Permit::Mine(_))));
    assert_eq!(budget.charge().add(60, now, || now), Err(Short));
    drop(copy);
}

#[tokio::test]
async fn a_run_whose_end_nobody_knows_is_held_for_a_lease() {
    let replay = replay();
    let since = clock::monotonic();
    mine(&replay, b"1").await.unknown();
    assert_eq!(at_once(&replay, b"1").await.unwrap_err(), Denied::InFlight);
    assert_eq!(replay.forget(&ReplayKey::of_id("a", b"1")).await, Ok(Forgotten::Running));
    assert_eq!(replay.metrics.unknown.get(), 1);
    drop(mine(&replay, b"1").await);
    assert!(since.elapsed() >= POLICY.lease);
    assert_eq!(replay.entries(), 0);
}

#[tokio::test]
async fn a_full_store_denies_and_holds_nothing() {
    let replay = replay();
    let claims = [mine(&replay, b"1").await, mine(&replay, b"2").await, mine(&replay, b"3").await];
    for _ in 0..2 {
        assert_eq!(at_once(&replay, b"4").await.unwrap_err(), Denied::Full);
    }
    drop(claims);
    drop(mine(&replay, b"4").await);
}

#[tokio::test]
async fn what_ran_is_forgotten_on_request_and_what_runs_is_not() {
    let replay = replay();
    let key = ReplayKey::of_id("a", b"1");
    assert_eq!(replay.forget(&key).await, Ok(Forgotten::Absent));
    let claim = mine(&replay, b"1").await;
    assert_eq!(replay.forget(&key).await, Ok(Forgotten::Running));
    claim.settle(StatusCode::NO_CONTENT, &HeaderMap::new());
    assert_eq!(replay.forget(&key).await, Ok(Forgotten::Removed));
    assert_eq!(replay.forget(&key).await, Ok(Forgotten::Absent));
    drop(mine(&replay, b"1").await);
}

/// Less than half of the whole, to the millisecond or so.
#[test]
fn half_of_the_time_is_enough() {
    let whole = Duration::from_secs(1000);
    let left = |left: Duration| {
        let deadline = after(left);
        too_late(&Terms { began: deadline.checked_sub(whole).unwrap(), deadline, ..terms(b"1") })
    };
    assert!(!left(Duration::from_secs(501)));
    assert!(left(Duration::from_secs(499)));
}
