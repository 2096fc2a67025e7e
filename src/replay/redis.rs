//! The replay store that several replicas share: Redis from 6 on, or Valkey.
//!
//! A key is `NAMESPACE:` and the hex of a hash; its value is a state alone, `c` (committed) or `r` and the owner's token
//! (running). One multiplexed connection; every call has its time limit and fails at once while the store is down. Must
//! never send a name, an id or a body to the server, nor leave a claim behind whose answer did not come. Claims are as
//! durable as the server: one that fails over to a replica may lose the last of them. Sources: <https://redis.io/docs/latest/commands/set/>,
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>,
//! <https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>.

mod down;
mod link;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Value};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::down::Down;
use self::link::{Fault, Keeper, Link, State, pause};
pub use crate::check::replay_key::ReplayKey as Key;
use crate::hex::Hex;
pub use crate::redis_place::{ParsedUrl, PlaceFault, RedisPlace, RedisTls};

/// For one call, from asking to the answer.
const CALL: Duration = Duration::from_millis(500);
/// A server that had less than this to answer is not called silent.
const FAIR: Duration = Duration::from_millis(250);
/// Between two log lines about the same refusal.
const SELDOM: Duration = Duration::from_mins(1);
/// Redis takes no more than 63 bits of milliseconds from now; ten years are for ever here.
const LONGEST: u64 = 10 * 365 * 24 * 3600 * 1000;

/// The write comes first: a replica says READONLY in place of what it happens to know.
const CLAIM: &str = "\
if redis.call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) then return 1 end \
local v=redis.call('GET',KEYS[1]) \
if v==ARGV[1] then redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1 end \
if v=='c' then return 2 end \
return 3";
const RENEW: &str = "\
if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end \
return 0";
const RELEASE: &str = "\
if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end \
return 0";
const FORGET: &str = "\
local v=redis.call('GET',KEYS[1]) \
if not v then return 0 end \
if v=='c' then return redis.call('DEL',KEYS[1]) end \
return 2";
const COMMITTED: &str = "c";

/// Who claims: random, for one claim alone. One whose claim ended in [`Down`] is spent, as it will be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// A new one; none where the operating system gives no random numbers.
    pub fn random() -> Option<Self> {
        let mut token = [0; 16];
        SystemRandom::new().fill(&mut token).ok()?;
        Some(Self(token))
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It is this owner's until the lease ends.
    Mine,
    /// The delivery ran.
    Committed,
    /// Somebody else has it.
    Busy,
}

/// What became of an operator's wish to let a delivery run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It was committed and is so no more.
    Removed,
    /// Nothing was known of it.
    Absent,
    /// It runs at this moment, and is left alone.
    Running,
}

/// The store. Cheap to clone; all clones share one connection, which ends with the last of them.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    place: Arc<RedisPlace>,
    /// Taken by the first use.
    keeper: std::sync::Mutex<Option<Keeper>>,
    started: AtomicBool,
    state: watch::Receiver<State>,
    faults: watch::Sender<Fault>,
    /// What the server last refused though its connection is well, and when that was logged.
    refusal: std::sync::Mutex<Option<(Down, Instant)>>,
}

impl RedisStore {
    /// Does not connect: that is for the first use, or [`RedisStore::start`].
    pub fn new(place: impl Into<Arc<RedisPlace>>) -> Self {
        let place = place.into();
        let (states, state) = watch::channel(State::Connecting);
        let (faults, noticed) = watch::channel(Fault::default());
        let keeper = Keeper::new(Arc::clone(&place), states, noticed);
        let keeper = std::sync::Mutex::new(Some(keeper));
        let (started, refusal) = (AtomicBool::new(false), std::sync::Mutex::new(None));
        Self(Arc::new(Shared { place, keeper, started, state, faults, refusal }))
    }

    /// Connects in the background and stays connected, unless it does already. Only inside a tokio runtime.
    pub fn start(&self) {
        if self.0.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let keeper = self.0.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            tokio::spawn(keeper.run());
        }
    }

    /// Takes the delivery, unless it ran or somebody has it. The same owner may ask again, and has it for another lease.
    ///
    /// # Errors
    /// The store gave no answer. The claim may have been taken: then it is released in the background. [`Down::Settling`]: worth
    /// another attempt soon.
    pub async fn claim(&self, key: &Key, owner: Owner, lease: Duration) -> Result<Claimed, Down> {
        let command = self.script(CLAIM, key, Some(owner), Some(lease));
        let mut claim = Unanswered { store: self, key: *key, owner, lease, maybe: false };
        claimed(self.call(&command, Attempts::Unsettled(lease), &mut claim.maybe).await?)
    }

    /// Begins the lease anew. `false`: it is not this owner's any more.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn renew(&self, key: &Key, owner: Owner, lease: Duration) -> Result<bool, Down> {
        let command = self.script(RENEW, key, Some(owner), Some(lease));
        Ok(self.call(&command, Attempts::Several, &mut false).await? == 1)
    }

    /// Takes what the server has lost again, for a run that is under way. If no answer comes it may be taken, until its lease
    /// ends.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn retake(&self, key: &Key, owner: Owner, lease: Duration) -> Result<Claimed, Down> {
        let command = self.script(CLAIM, key, Some(owner), Some(lease));
        claimed(self.call(&command, Attempts::Several, &mut false).await?)
    }

    /// Resolves when there is a newer connection than `known`, with its number: the server may have lost what was claimed over
    /// the others.
    pub(super) async fn connected_anew(&self, known: u64) -> u64 {
        let mut states = self.0.state.clone();
        loop {
            if let State::Up(link) = &*states.borrow_and_update()
                && link.number() > known
            {
                return link.number();
            }
            if states.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// The number of the connection, if there is one.
    pub(super) fn connection(&self) -> u64 {
        match &*self.0.state.borrow() {
            State::Up(link) => link.number(),
            State::Connecting | State::Down(_) => 0,
        }
    }

    /// Remembers for `ttl` that the delivery ran, whoever has the claim by now: a run cannot be undone.
    ///
    /// # Errors
    /// The store gave no answer; the commit may have arrived, and can be repeated.
    pub async fn commit(&self, key: &Key, _owner: Owner, ttl: Duration) -> Result<(), Down> {
        let mut command = ::redis::cmd("SET");
        command.arg(self.name(key)).arg(COMMITTED).arg("PX").arg(milliseconds(ttl));
        self.answer::<()>(&command, Attempts::Several, &mut false).await
    }

    /// Gives the delivery back, if it is this owner's.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn release(&self, key: &Key, owner: Owner) -> Result<(), Down> {
        self.released(key, owner).await.map(drop)
    }

    /// Lets a delivery that ran run again.
    ///
    /// # Errors
    /// The store gave no answer; the delivery may be forgotten.
    pub async fn forget(&self, key: &Key) -> Result<Forgotten, Down> {
        let command = self.script(FORGET, key, None, None);
        // A second attempt would find nothing where the first one's answer was lost.
        match self.call(&command, Attempts::One, &mut false).await? {
            0 => Ok(Forgotten::Absent),
            1 => Ok(Forgotten::Removed),
            2 => Ok(Forgotten::Running),
            _ => Err(Down::Answer),
        }
    }

    /// Whether there was something to release.
    async fn released(&self, key: &Key, owner: Owner) -> Result<bool, Down> {
        let command = self.script(RELEASE, key, Some(owner), None);
        Ok(self.call(&command, Attempts::Several, &mut false).await? == 1)
    }

    fn script(&self, script: &str, key: &Key, owner: Option<Owner>, lease: Option<Duration>) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(script).arg(1).arg(self.name(key));
        if let Some(Owner(token)) = owner {
            command.arg(format!("r{}", Hex(&token)));
        }
        if let Some(lease) = lease {
            command.arg(milliseconds(lease));
        }
        command
    }

    fn name(&self, key: &Key) -> String {
        format!("{}:{}", self.0.place.namespace, key)
    }

    async fn call(&self, command: &Cmd, attempts: Attempts, maybe: &mut bool) -> Result<i64, Down> {
        self.answer(command, attempts, maybe).await
    }

    /// `maybe` is set while the server may have done what it was told without our knowing.
    async fn answer<T: ::redis::FromRedisValue>(
        &self,
        command: &Cmd,
        attempts: Attempts,
        maybe: &mut bool,
    ) -> Result<T, Down> {
        self.start();
        let until = deadline(CALL);
        let mut used = 0;
        loop {
            let link = timeout_at(until, self.link(used)).await.map_err(|_| Down::Timeout)??;
            used = link.number();
            if let Attempts::Unsettled(lease) = attempts
                && link.is_settling(lease)
            {
                return Err(Down::Settling);
            }
            match self.once(&link, command, until, maybe).await {
                Err(Down::Broken) if attempts != Attempts::One => {}
                answer => return answer.and_then(|value| ::redis::from_redis_value(value).map_err(|_| Down::Answer)),
            }
        }
    }

    async fn once(&self, link: &Link, command: &Cmd, until: Instant, maybe: &mut bool) -> Result<Value, Down> {
        let (before, asked) = (*maybe, Instant::now());
        *maybe = true;
        let down = match timeout_at(until, link.query(command)).await {
            Ok(Ok(value)) => {
                *maybe = false;
                return Ok(value);
            }
            Ok(Err(down)) => down,
            // The server had but the rest of the time, after the wait for a connection.
            Err(_) if until.saturating_duration_since(asked) < FAIR => return Err(Down::Timeout),
            Err(_) => Down::Timeout,
        };
        if down.is_refusal() {
            *maybe = before;
        }
        if down.ends_the_link() {
            self.0.faults.send_if_modified(|known| known.replace_by(link.number(), &down));
        } else {
            self.0.log_refusal(&down);
        }
        Err(down)
    }

    /// The connection, if it is a newer one than `used`; waits only while one is being made for the first time.
    async fn link(&self, used: u64) -> Result<Link, Down> {
        let mut states = self.0.state.clone();
        let fresh = |state: &State| match state {
            State::Connecting => false,
            State::Up(link) => link.number() > used,
            State::Down(_) => true,
        };
        match &*states.wait_for(fresh).await.map_err(|_| Down::Broken)? {
            State::Up(link) => Ok(link.clone()),
            State::Down(down) => Err(down.clone()),
            State::Connecting => Err(Down::Broken),
        }
    }

    /// The claim may still be on its way when the first release arrives, so that one which finds nothing proves nothing.
    /// When the lease has ended the server forgets the claim by itself.
    async fn release_later(self, key: Key, owner: Owner, lease: Duration) {
        let end = deadline(lease);
        let mut attempt = 1;
        while self.released(&key, owner).await != Ok(true) && Instant::now() < end {
            sleep(pause(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

impl Shared {
    /// Nobody else says why deliveries get 503 while the connection stays.
    fn log_refusal(&self, down: &Down) {
        let now = Instant::now();
        let mut last = self.refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.as_ref().is_some_and(|(known, since)| known == down && now.duration_since(*since) < SELDOM) {
            return;
        }
        *last = Some((down.clone(), now));
        drop(last);
        tracing::warn!(store = %self.place, reason = %down, "the replay store does not do what it is told");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    One,
    /// Another one when the connection breaks, within the same limit.
    Several,
    /// The same, for a new claim of such a lease: not before those that were running have theirs again.
    Unsettled(Duration),
}

/// A claim on its way. Also for the caller who leaves before the answer.
struct Unanswered<'a> {
    store: &'a RedisStore,
    key: Key,
    owner: Owner,
    lease: Duration,
    maybe: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.maybe
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.store.clone().release_later(self.key, self.owner, self.lease));
        }
    }
}

/// What [`CLAIM`] came to.
fn claimed(answer: i64) -> Result<Claimed, Down> {
    match answer {
        1 => Ok(Claimed::Mine),
        2 => Ok(Claimed::Committed),
        3 => Ok(Claimed::Busy),
        _ => Err(Down::Answer),
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.0.place)
    }
}

/// At least one: Redis takes no expiry of zero.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST)
}

fn deadline(from_now: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(from_now).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_zero_and_never_too_long_for_the_server() {
        for (time, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(1999), 1),
            (Duration::from_millis(2), 2),
            (Duration::from_millis(LONGEST), LONGEST),
            (Duration::MAX, LONGEST),
        ] {
            assert_eq!(milliseconds(time), expected, "{time:?}");
        }
    }
}
