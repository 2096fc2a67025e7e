//! The last decisions about webhooks, kept for people: what the inspector shows.
//!
//! Of a bounded number and size, so that a flood costs no memory; and no kind of them pushes out the others, so that a flood
//! of forged requests does not hide the genuine one that somebody looks for. Must never keep a body, a signature, a secret or
//! a query, nor anything of traffic that was only passed on; must never make a request wait for a reader.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;
use tokio::sync::watch;

use super::access::{Outcome, Record};
use crate::check::replay_key::ReplayKey;
use crate::plan::Plan;
use crate::reject::Reject;

/// How many are kept.
pub(crate) const MOST: usize = 1_000;
/// Longest text of one, in bytes.
const LONGEST: usize = 256;
/// Longest explanation, in bytes.
const LONGEST_HINT: usize = 1_024;

/// One decision.
#[derive(Debug)]
pub(crate) struct Decision {
    /// When the request began, in unix milliseconds.
    pub(crate) time: u64,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) method: Box<str>,
    pub(crate) path: Box<str>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) provider: Option<Arc<str>>,
    pub(crate) peer: Box<str>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) event_id: Option<Box<str>>,
    pub(crate) event_type: Option<Box<str>>,
    /// The label of the secret that fitted.
    pub(crate) secret: Option<Arc<str>>,
    pub(crate) replay_key: Option<ReplayKey>,
    pub(crate) would_reject: Option<Reject>,
    pub(crate) header: Option<HeaderName>,
    /// The timestamp minus our clock.
    pub(crate) skew_seconds: Option<i64>,
    pub(crate) detail: Option<Box<str>>,
    pub(crate) hint: Option<Box<str>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) cut_off: bool,
    pub(crate) upstream_us: Option<u64>,
    pub(crate) duration_us: u64,
    pub(crate) request_id: Box<str>,
}

/// How the requests of one route ended, since the start: each is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Proven genuine, and taken by the app, filtered or answered as a handshake.
    pub(crate) accepted: u64,
    /// Proven genuine and forwarded, but not answered with success.
    pub(crate) app_failed: u64,
    pub(crate) refused: u64,
    pub(crate) duplicates: u64,
    /// Would have been refused by a check that only logs.
    pub(crate) would_reject: u64,
    /// The sender left before there was an answer.
    pub(crate) client_left: u64,
}

/// What is kept. Shared by all requests and all readers.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
    /// The number of the last one.
    latest: watch::Sender<u64>,
}

/// A decision under its number; they count from 1.
pub(crate) type Numbered = (u64, Arc<Decision>);

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    /// By [`Kind`], each in order.
    rings: [VecDeque<Numbered>; 3],
    counts: HashMap<Arc<str>, Counts>,
}

/// None of these pushes out more than its share of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Genuine,
    Unproven,
    /// Refused before it came to a route.
    Unrouted,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), latest: watch::Sender::new(0) }
    }

    /// From here on the routes of this plan are counted, and no others.
    pub(crate) fn expect(&self, plan: &Plan) {
        let mut kept = self.lock();
        let old = std::mem::take(&mut kept.counts);
        let of = |name: &Arc<str>| old.get(name).copied().unwrap_or_default();
        kept.counts = plan.routes.iter().map(|route| (Arc::clone(&route.name), of(&route.name))).collect();
    }

    /// A request has ended.
    pub(super) fn note(&self, record: &Record) {
        let Some(kind) = kind(record) else { return };
        let decision = Arc::new(Decision::of(record));
        let (number, outgoing) = self.lock().keep(kind, decision);
        // Freed without the lock.
        drop(outgoing);
        self.latest.send_if_modified(|latest| {
            let newer = number > *latest;
            *latest = number.max(*latest);
            newer
        });
    }

    /// Up to `most` of those with a higher number than `number`, the oldest first.
    pub(crate) fn after(&self, number: u64, most: usize) -> Vec<Numbered> {
        let mut found = Vec::new();
        let kept = self.lock();
        for ring in &kept.rings {
            let first = ring.partition_point(|(known, _)| *known <= number);
            found.extend(ring.iter().skip(first).take(most).cloned());
        }
        drop(kept);
        found.sort_unstable_by_key(|(number, _)| *number);
        found.truncate(most);
        found
    }

    /// How the requests of a route ended.
    pub(crate) fn counts(&self, route: &str) -> Counts {
        self.lock().counts.get(route).copied().unwrap_or_default()
    }

    /// Hears of every further decision, though perhaps of several at once.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Its number, and the one that had to go.
    fn keep(&mut self, kind: Kind, decision: Arc<Decision>) -> (u64, Option<Numbered>) {
        if let Some(counts) = decision.route.as_ref().and_then(|route| self.counts.get_mut(route)) {
            counts.add(&decision);
        }
        let outgoing = if self.rings.iter().map(VecDeque::len).sum::<usize>() < MOST {
            None
        } else {
            self.rings.iter_mut().max_by_key(|ring| ring.len()).and_then(VecDeque::pop_front)
        };
        self.last = self.last.wrapping_add(1);
        let [genuine, unproven, unrouted] = &mut self.rings;
        let ring = match kind {
            Kind::Genuine => genuine,
            Kind::Unproven => unproven,
            Kind::Unrouted => unrouted,
        };
        ring.push_back((self.last, decision));
        (self.last, outgoing)
    }
}

impl Counts {
    fn add(&mut self, decision: &Decision) {
        let app_failed = decision.status.is_some_and(|status| status >= 300);
        let count = match decision.outcome {
            Outcome::Forwarded if app_failed => &mut self.app_failed,
            Outcome::Forwarded | Outcome::Filtered | Outcome::Handshake => &mut self.accepted,
            Outcome::Rejected(_) => &mut self.refused,
            Outcome::Duplicate => &mut self.duplicates,
            Outcome::WouldReject => &mut self.would_reject,
            Outcome::ClientLeft => &mut self.client_left,
            Outcome::Passed => return,
        };
        *count = count.saturating_add(1);
    }
}

/// `None`: it is nobody's business here.
fn kind(record: &Record) -> Option<Kind> {
    if record.route.is_some() {
        return Some(if record.verified.is_some() { Kind::Genuine } else { Kind::Unproven });
    }
    // What is refused before it comes to a route may have been a webhook. The others are traffic of the app's that broke off.
    let refused = matches!(
        record.outcome,
        Outcome::Rejected(
            Reject::BadTarget | Reject::Framing | Reject::HeadTooLarge | Reject::NoRoute | Reject::Overloaded
        )
    );
    refused.then_some(Kind::Unrouted)
}

impl Decision {
    fn of(record: &Record) -> Self {
        let verified = record.verified.as_ref();
        let signed_at = verified.and_then(|verified| i64::try_from(verified.timestamp()?).ok());
        let began = i64::try_from(record.unix_seconds()).unwrap_or(i64::MAX);
        Self {
            time: record.time,
            outcome: record.outcome,
            status: record.status.map(|status| status.as_u16()),
            method: cut(record.method.as_str(), LONGEST),
            path: cut(&record.path, LONGEST),
            route: record.route.clone(),
            provider: record.provider.clone(),
            peer: cut(record.peer.to_str().unwrap_or_default(), LONGEST),
            client: record.client,
            event_id: verified.and_then(|verified| Some(cut(verified.id()?.text, LONGEST))),
            event_type: verified.and_then(|verified| Some(cut(verified.event_type()?.text, LONGEST))),
            secret: verified.map(|verified| Arc::clone(verified.shared_label())),
            replay_key: record.replay_key,
            would_reject: record.would_reject,
            header: record.header.clone(),
            skew_seconds: record.skew_seconds.or(signed_at.map(|signed_at| signed_at.saturating_sub(began))),
            detail: record.detail.as_ref().map(|detail| cut(detail, LONGEST)),
            hint: record.hint.as_ref().map(|hint| cut(hint, LONGEST_HINT)),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            cut_off: record.cut_off,
            upstream_us: record.upstream_us,
            duration_us: record.elapsed_us(),
            request_id: record.request_id.to_string().into(),
        }
    }

    /// Whether the app's own answer to a genuine delivery looks like that of something in front of its handler: a sign-in
    /// page, or a rule that lets in only those who have a session (clerk/javascript#4126).
    pub(crate) fn app_guard(&self) -> bool {
        let guarded = |status: u16| (300..400).contains(&status) || matches!(status, 401 | 403 | 404);
        self.outcome == Outcome::Forwarded && self.status.is_some_and(guarded)
    }
}

fn cut(text: &str, most: usize) -> Box<str> {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, StatusCode};

    use super::*;
    use crate::telemetry::AccessLog;

    fn record(route: Option<&str>, outcome: Outcome) -> Box<Record> {
        let peer = HeaderValue::from_static("127.0.0.1");
        let mut record = Record::new(AccessLog::off(), peer, Method::POST, "/a?token=hunter2");
        record.route = route.map(Arc::from);
        record.outcome = outcome;
        record
    }

    fn refused() -> Outcome {
        Outcome::Rejected(Reject::SignatureMismatch)
    }

    fn numbers(recent: &Recent, after: u64, most: usize) -> Vec<u64> {
        recent.after(after, most).iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn the_oldest_goes_when_one_more_than_the_most_has_come() {
        let recent = Recent::new();
        for _ in 0..MOST {
            recent.note(&record(Some("a"), refused()));
        }
        assert_eq!(numbers(&recent, 0, usize::MAX), (1..=1_000).collect::<Vec<_>>());
        recent.note(&record(Some("a"), refused()));
        assert_eq!(numbers(&recent, 0, usize::MAX), (2..=1_001).collect::<Vec<_>>());
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_in_sight() {
        let recent = Recent::new();
        recent.note(&record(Some("a"), refused()));
        for _ in 0..3 * MOST {
            recent.note(&record(None, Outcome::Rejected(Reject::BadTarget)));
        }
        let kept = recent.after(0, usize::MAX);
        assert_eq!(kept.len(), MOST);
        assert_eq!((kept[0].0, kept[0].1.route.as_deref()), (1, Some("a")));
        assert_eq!(kept[1].0, 2_003);
    }

    #[test]
    fn those_after_a_number_come_in_order_whatever_their_kind() {
        let recent = Recent::new();
        for number in 0..6 {
            let route = (number % 2 == 0).then_some("a");
            recent.note(&record(route, Outcome::Rejected(Reject::BadTarget)));
        }
        assert_eq!(numbers(&recent, 2, 3), [3, 4, 5]);
        assert_eq!(numbers(&recent, 5, 9), [6]);
        assert_eq!(numbers(&recent, 6, 9), [0; 0]);
        assert_eq!(*recent.watch().borrow(), 6);
    }

    #[test]
    fn nothing_is_kept_of_what_was_only_passed_on() {
        let recent = Recent::new();
        for outcome in [
            Outcome::Passed,
            Outcome::ClientLeft,
            Outcome::Rejected(Reject::UpstreamUnreachable),
            Outcome::Rejected(Reject::BodyTimeout),
        ] {
            recent.note(&record(None, outcome));
        }
        assert_eq!(numbers(&recent, 0, 9), [0; 0]);
        for outcome in Outcome::all().filter(|outcome| *outcome != Outcome::Passed) {
            recent.note(&record(Some("a"), outcome));
        }
        assert_eq!(numbers(&recent, 0, 99).len(), Outcome::all().count() - 1);
    }

    #[test]
    fn texts_are_cut_and_the_query_is_not_there() {
        let recent = Recent::new();
        let mut long = record(Some("a"), refused());
        long.detail = Some("é".repeat(LONGEST).into());
        long.hint = Some("h".repeat(LONGEST_HINT + 1).into());
        recent.note(&long);
        let (_, kept) = &recent.after(0, 1)[0];
        assert_eq!(kept.detail.as_ref().unwrap().len(), LONGEST);
        assert_eq!(kept.hint.as_ref().unwrap().len(), LONGEST_HINT);
        assert_eq!(&*kept.path, "/a");
        assert!(!format!("{kept:?}").contains("hunter2"));
    }

    #[test]
    fn the_guard_of_the_app_is_told_by_its_answer_to_a_genuine_delivery() {
        for (outcome, status, guarded) in [
            (Outcome::Forwarded, 299, false),
            (Outcome::Forwarded, 302, true),
            (Outcome::Forwarded, 307, true),
            (Outcome::Forwarded, 399, true),
            (Outcome::Forwarded, 400, false),
            (Outcome::Forwarded, 401, true),
            (Outcome::Forwarded, 403, true),
            (Outcome::Forwarded, 404, true),
            (Outcome::Forwarded, 405, false),
            (Outcome::Forwarded, 500, false),
            (Outcome::WouldReject, 401, false),
            (refused(), 401, false),
        ] {
            let mut ended = record(Some("a"), outcome);
            ended.status = Some(StatusCode::from_u16(status).unwrap());
            assert_eq!(Decision::of(&ended).app_guard(), guarded, "{outcome:?} {status}");
        }
    }

    #[test]
    fn the_routes_of_the_plan_are_counted_and_no_others() {
        let plan = |name: &str| {
            let secret = "secrets = [{ insecure_value = \"mysecretmysecret\" }]";
            let toml = format!("[routes.{name}]\npath = \"/a\"\nprovider = \"github\"\n{secret}");
            crate::config::compile(&toml, std::path::Path::new("a.toml"), &crate::config::System).unwrap().plan
        };
        let recent = Recent::new();
        recent.expect(&plan("a"));
        recent.note(&record(Some("a"), Outcome::Forwarded));
        let mut failed = record(Some("a"), Outcome::Forwarded);
        failed.status = Some(StatusCode::MULTIPLE_CHOICES);
        recent.note(&failed);
        recent.note(&record(Some("a"), Outcome::Duplicate));
        recent.note(&record(Some("a"), refused()));
        recent.note(&record(Some("b"), refused()));
        let counted = Counts { accepted: 1, app_failed: 1, refused: 1, duplicates: 1, ..Counts::default() };
        assert_eq!((recent.counts("a"), recent.counts("b")), (counted, Counts::default()));
        recent.expect(&plan("a"));
        assert_eq!(recent.counts("a"), counted);
        recent.expect(&plan("b"));
        assert_eq!(recent.counts("a"), Counts::default());
    }
}
