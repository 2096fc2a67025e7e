//! The replay store against real servers: `tests/run store`, or `cargo test --test redis`.
//!
//! Needs redis-server in PATH; every case runs against valkey-server too where that is there.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests: a failed unwrap is a failed test"
)]

mod gate;
mod gates;
mod gates_down;
mod server;
mod states;
mod trouble;
mod ways;

use std::io;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use hookward::replay::{Down, Key, Owner, RedisPlace, RedisStore};
use server::Server;
use tracing::subscriber::DefaultGuard;

const LEASE: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "hookward-test";

fn place(server: &Server) -> RedisPlace {
    RedisPlace {
        host: if server.is_tls() { "localhost".into() } else { "127.0.0.1".into() },
        port: server.port,
        db: 0,
        username: None,
        password: None,
        tls: None,
        namespace: NAMESPACE.into(),
    }
}

fn store(server: &Server) -> RedisStore {
    RedisStore::new(place(server))
}

fn key(number: u64) -> Key {
    let mut hash = [0xab; 16];
    hash[8..].copy_from_slice(&number.to_be_bytes());
    Key::from(hash)
}

/// As the server has it.
fn name(number: u64) -> String {
    format!("{NAMESPACE}:abababababababab{number:016x}")
}

fn owner() -> Owner {
    Owner::random().unwrap()
}

/// Waits until the store answers again, without a restart.
async fn back(store: &RedisStore) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match store.renew(&key(u64::MAX), owner(), LEASE).await {
            Ok(mine) => return assert!(!mine),
            Err(down) => assert!(Instant::now() < until, "still down: {down}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the store says that it is down.
async fn gone(store: &RedisStore) -> Down {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match store.renew(&key(u64::MAX), owner(), LEASE).await {
            Err(down) => return down,
            Ok(_) => assert!(Instant::now() < until, "still up"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Has every thread's log lines wanted by somebody, before the first one is written. tracing asks once for each line whether
/// anybody wants it: while there is one listener only, it asks the thread that is there first, which may be another test's.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_writer(io::sink).init());
}

/// What this thread logs: the runtime of a test is on the thread of the test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        listen();
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, words: &str) -> usize {
        self.text().matches(words).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
