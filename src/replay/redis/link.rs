//! The one connection to the replay store, kept by one task: made, watched, made again.
//!
//! Callers look at the state and never connect themselves. Must never use a connection before the server has shown that it
//! takes writes, and never log a password. Sources: <https://redis.io/docs/latest/commands/auth/>,
//! <https://redis.io/docs/latest/develop/reference/eviction/>.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value, cmd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::down::Down;
use crate::redis_place::RedisPlace;

/// From the name to a server that takes writes.
const CONNECT: Duration = Duration::from_secs(1);
/// An idle connection is tried this often: one that died unseen is found before a delivery needs it, and an outage in which
/// claims may have ended is not slept through.
const IDLE: Duration = Duration::from_secs(2);
/// For such a try.
const TRY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Short, because deliveries are refused in the meantime, and claims under way may end.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// So long those that were running may claim first, after the server may have lost what they hold: another process may be in
/// an attempt that fails ([`CONNECT`]) and a pause ([`LONGEST_PAUSE`]), and claims as soon as it is connected.
const OWNERS_FIRST: Duration = Duration::from_secs(2);
/// Commands that may wait to be written; more wait for their turn, within their own limit.
const QUEUE: usize = 1024;

/// What callers see.
#[derive(Debug)]
pub(super) enum State {
    /// For the first time, or for the first time since a connection broke.
    Connecting,
    Up(Link),
    Down(Down),
}

/// A connection that works.
#[derive(Debug, Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Grows from one to the next.
    number: u64,
    since: Instant,
    /// For how long claims may not have been renewed before. For ever: the server may have lost them.
    gap: Duration,
}

impl Link {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether those that were running before may still have to take their claims again, which are held for `lease`.
    pub(super) fn is_settling(&self, lease: Duration) -> bool {
        let outlived = lease.checked_div(3).unwrap_or_default();
        self.gap >= outlived && self.since.elapsed() < OWNERS_FIRST
    }

    /// Without a limit of its own.
    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, Down> {
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| Down::of(&error))
    }
}

/// What callers found to be wrong with a connection.
#[derive(Debug, Default)]
pub(super) struct Fault(Option<(u64, Down)>);

impl Fault {
    /// Whether it is news.
    pub(super) fn replace_by(&mut self, number: u64, down: &Down) -> bool {
        let news = self.0.as_ref().is_none_or(|(known, _)| *known < number);
        if news {
            self.0 = Some((number, down.clone()));
        }
        news
    }
}

/// A connection that has ended.
struct Past {
    since: Instant,
    /// As [`Link::gap`].
    gap: Duration,
    /// When an answer last came over it, as far as was looked.
    heard: Instant,
}

/// Keeps the connection, until nobody looks at its state any more.
pub(super) struct Keeper {
    place: Arc<RedisPlace>,
    state: watch::Sender<State>,
    faults: watch::Receiver<Fault>,
    number: u64,
    last: Option<Past>,
    /// Since then a server has said that it cannot be written to: what it holds may be another's by now.
    changed: bool,
    /// Which process the last connection led to, as INFO has it.
    server: Option<String>,
    /// In a row.
    failures: u32,
    /// Whether the log's last word was that the store is down.
    logged_down: bool,
    /// The eviction policy that was last warned about.
    warned_policy: Option<String>,
}

impl Keeper {
    pub(super) fn new(place: Arc<RedisPlace>, state: watch::Sender<State>, faults: watch::Receiver<Fault>) -> Self {
        Self {
            place,
            state,
            faults,
            number: 0,
            last: None,
            changed: false,
            server: None,
            failures: 0,
            logged_down: false,
            warned_policy: None,
        }
    }

    pub(super) async fn run(mut self) {
        let unwatched = self.state.clone();
        tokio::select! {
            () = unwatched.closed() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let mut driving = JoinSet::new();
            let made = timeout(CONNECT, self.connect(&mut driving)).await.unwrap_or(Err(Down::Timeout));
            let down = match made {
                Ok(link) => self.hold(link, &mut driving).await,
                Err(down) => down,
            };
            self.changed |= down.is_refusal();
            // The first attempt after a break is likely to do well, as after a restart: callers wait for it. A server
            // that does not answer would have each of them wait.
            let waiting = self.failures == 0 && down == Down::Broken;
            if waiting {
                self.state.send_replace(State::Connecting);
            } else {
                self.log_down(&down);
                self.state.send_replace(State::Down(down));
            }
            drop(driving);
            sleep(pause(self.failures)).await;
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Ends with the connection.
    async fn hold(&mut self, link: Link, driving: &mut JoinSet<()>) -> Down {
        let since = link.since;
        if self.logged_down {
            tracing::info!(store = %self.place, "the replay store is reachable again");
            self.logged_down = false;
        }
        self.state.send_replace(State::Up(link.clone()));
        let mut heard = since;
        let down = tokio::select! {
            _ = driving.join_next() => Down::Broken,
            down = noticed(&mut self.faults, link.number) => down,
            down = found_idle(&link, &self.place, &mut heard) => down,
        };
        self.last = Some(Past { since, gap: link.gap, heard });
        // One that takes connections and drops them at once is not called at once again.
        if since.elapsed() >= LONGEST_PAUSE {
            self.failures = 0;
        }
        down
    }

    async fn connect(&mut self, driving: &mut JoinSet<()>) -> Result<Link, Down> {
        let place = Arc::clone(&self.place);
        let stream = open(&place).await?;
        // AUTH and SELECT are ours: the crate's errors for them hold the server's words.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(QUEUE);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = made.map_err(|error| Down::of(&error))?;
        driving.spawn(driver);
        self.number = self.number.saturating_add(1);
        let mut link = Link { connection, number: self.number, since: Instant::now(), gap: Duration::ZERO };
        if let Some(password) = &place.password {
            let mut auth = cmd("AUTH");
            if let Some(username) = &place.username {
                auth.arg(username);
            }
            auth.arg(password.expose());
            link.query(&auth).await.map_err(|down| refused_as(down, Down::Credentials))?;
        }
        if place.db != 0 {
            link.query(cmd("SELECT").arg(place.db)).await.map_err(|down| refused_as(down, Down::Database))?;
        }
        link.query(&write_nothing(&place)).await?;
        self.look_at_policy(&link).await?;
        let server = in_info(&link, "server", "run_id:").await?;
        let is_same = server.is_some() && server == self.server;
        self.server = server;
        let now = Instant::now();
        (link.since, link.gap) = (now, gap(self.last.as_ref(), is_same && !self.changed, now));
        self.changed = false;
        Ok(link)
    }

    async fn look_at_policy(&mut self, link: &Link) -> Result<(), Down> {
        let Some(policy) = eviction_policy(link).await? else { return Ok(()) };
        if policy == "noeviction" {
            self.warned_policy = None;
        } else if self.warned_policy.as_ref() != Some(&policy) {
            tracing::warn!(
                store = %self.place,
                policy,
                "the replay store's maxmemory-policy is not noeviction: it may drop claims: duplicates could run twice"
            );
            self.warned_policy = Some(policy);
        }
        Ok(())
    }

    fn log_down(&mut self, reason: &Down) {
        if !self.logged_down {
            tracing::warn!(store = %self.place, %reason, "the replay store is down");
            self.logged_down = true;
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn open(place: &RedisPlace) -> Result<Box<dyn Stream>, Down> {
    if place.host.starts_with('/') {
        return Ok(Box::new(UnixStream::connect(&place.host).await?));
    }
    // Anew each time: after a failover the name leads elsewhere.
    let found = lookup_host((place.host.as_str(), place.port)).await.map_err(|_| Down::Name)?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(Down::Name);
    }
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &place.tls else { return Ok(Box::new(stream)) };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    Ok(Box::new(connector.connect(tls.name.clone(), stream).await?))
}

/// A write that changes nothing, as no such key is ever made: a replica refuses it, a server that loads its data too.
fn write_nothing(place: &RedisPlace) -> Cmd {
    let mut command = cmd("DEL");
    command.arg(format!("{}:none", place.namespace));
    command
}

/// As INFO has it; a managed server may hide it there or refuse CONFIG. None: it does not tell.
async fn eviction_policy(link: &Link) -> Result<Option<String>, Down> {
    let policy = in_info(link, "memory", "maxmemory_policy:").await?;
    if policy.is_some() {
        return Ok(policy);
    }
    let setting = told(link.query(cmd("CONFIG").arg("GET").arg("maxmemory-policy")).await)?;
    let pair = setting.and_then(|value| ::redis::from_redis_value::<Vec<String>>(value).ok());
    Ok(pair.and_then(|pair| pair.into_iter().nth(1)))
}

async fn in_info(link: &Link, section: &str, name: &str) -> Result<Option<String>, Down> {
    let told = told(link.query(cmd("INFO").arg(section)).await)?;
    let text = told.and_then(|value| ::redis::from_redis_value::<String>(value).ok()).unwrap_or_default();
    Ok(text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned()))
}

/// For how long nobody may have been able to renew a claim, as far as this process can tell.
fn gap(last: Option<&Past>, is_same_server: bool, now: Instant) -> Duration {
    let Some(last) = last else { return Duration::ZERO };
    let gap = if is_same_server { now.saturating_duration_since(last.heard) } else { Duration::MAX };
    // A connection that broke before its owners' time was over leaves them the rest of it, and a little more.
    if now.saturating_duration_since(last.since) < OWNERS_FIRST { gap.max(last.gap) } else { gap }
}

/// None where the server refuses to tell.
fn told(answer: Result<Value, Down>) -> Result<Option<Value>, Down> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Down::Refused(_)) => Ok(None),
        Err(down) => Err(down),
    }
}

/// A refusal without a meaning of its own means what it was the answer to.
fn refused_as(down: Down, meaning: Down) -> Down {
    if matches!(down, Down::Refused(_)) { meaning } else { down }
}

async fn noticed(faults: &mut watch::Receiver<Fault>, number: u64) -> Down {
    let of_this = |fault: &Fault| fault.0.as_ref().is_some_and(|(faulty, _)| *faulty == number);
    let fault = faults.wait_for(of_this).await;
    fault.ok().and_then(|fault| fault.0.as_ref().map(|(_, down)| down.clone())).unwrap_or(Down::Broken)
}

async fn found_idle(link: &Link, place: &RedisPlace, heard: &mut Instant) -> Down {
    let command = write_nothing(place);
    loop {
        sleep(IDLE).await;
        match timeout(TRY, link.query(&command)).await {
            Ok(Ok(_)) => *heard = Instant::now(),
            Ok(Err(down)) => return down,
            Err(_) => return Down::Timeout,
        }
    }
}

/// Before the next attempt, after so many failures: nothing at first, then ever longer, and never the same for all.
pub(super) fn pause(failures: u32) -> Duration {
    // The standard library's hash keys are random for each value: good enough for what only has to differ.
    spread(failures, RandomState::new().hash_one(()))
}

/// From half of it to the whole.
fn spread(failures: u32, random: u64) -> Duration {
    let Some(doubled) = failures.checked_sub(1) else { return Duration::ZERO };
    let whole = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST_PAUSE);
    let thousandths = u32::try_from(random.checked_rem(1001).unwrap_or_default()).unwrap_or_default();
    let half = whole.checked_div(2).unwrap_or_default();
    half.saturating_add(half.saturating_mul(thousandths).checked_div(1000).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_at_once_and_the_pauses_double_up_to_half_a_second() {
        let longest: Vec<u128> = (0..=8).map(|failures| spread(failures, 1000).as_millis()).collect();
        assert_eq!(longest, [0, 50, 100, 200, 400, 500, 500, 500, 500]);
        let shortest: Vec<u128> = (0..=8).map(|failures| spread(failures, 0).as_millis()).collect();
        assert_eq!(shortest, [0, 25, 50, 100, 200, 250, 250, 250, 250]);
        assert_eq!(spread(u32::MAX, 1000), LONGEST_PAUSE);
    }

    #[test]
    fn after_a_break_that_claims_may_not_have_outlived_nobody_is_to_come_before_their_owners() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let calm = Past { since: now, gap: Duration::ZERO, heard: later(7) };
        assert_eq!(gap(None, false, later(9)), Duration::ZERO, "the first connection");
        assert_eq!(gap(Some(&calm), true, later(9)), Duration::from_secs(2), "since something was heard");
        assert_eq!(gap(Some(&calm), false, later(9)), Duration::MAX, "another server, or the same one started anew");
        let settling = Past { since: now, gap: Duration::MAX, heard: now };
        assert_eq!(gap(Some(&settling), true, later(1)), Duration::MAX, "it broke before the owners' time was over");
        assert_eq!(gap(Some(&settling), true, later(3)), Duration::from_secs(3));
    }

    #[test]
    fn only_the_first_fault_of_a_connection_is_news() {
        let mut fault = Fault::default();
        assert!(fault.replace_by(1, &Down::Broken));
        assert!(!fault.replace_by(1, &Down::Timeout), "it is known");
        assert!(fault.replace_by(2, &Down::Timeout));
        assert!(!fault.replace_by(1, &Down::Broken), "an older connection's");
        assert_eq!(fault.0, Some((2, Down::Timeout)));
    }
}
