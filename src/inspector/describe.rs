//! Decisions and the plan as JSON.
//!
//! Names are those of the access line and the configuration. Must never show of a secret more than its label.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::senders::Senders;
use super::words;
use crate::civil::{self, Civil};
use crate::ip_lists::ListStatus;
use crate::live::History;
use crate::plan::{Plan, ReplayMode, ReplayStore, Route, Unmatched};
use crate::telemetry::recent::{Decision, MOST, Recent};

/// What the status is made of.
#[derive(Debug)]
pub(super) struct Shown<'s> {
    pub(super) plan: &'s Plan,
    pub(super) history: History,
    pub(super) doors: &'s [Box<str>],
    pub(super) run: u64,
}

/// All that are kept with a higher number than `after`.
pub(super) fn decisions(run: u64, recent: &Recent, after: u64) -> Value {
    let kept = recent.after(after, MOST);
    let last = kept.last().map_or(after, |(number, _)| *number);
    let kept: Vec<Value> = kept.iter().map(|(number, kept)| decision(*number, kept)).collect();
    json!({ "run": run, "last": last, "decisions": kept })
}

/// One decision; what is not known is not there.
pub(super) fn decision(number: u64, decision: &Decision) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            all.insert(name.to_owned(), value);
        }
    };
    put("number", number.into());
    put("time", time(decision.time).into());
    put("outcome", decision.outcome.code().into());
    put("step", words::step(decision).into());
    put("status", decision.status.into());
    put("method", (*decision.method).into());
    put("path", (*decision.path).into());
    put("route", decision.route.as_deref().into());
    put("provider", decision.provider.as_deref().into());
    put("peer", (*decision.peer).into());
    put("client", decision.client.map(|client| client.to_string()).into());
    put("event_id", decision.event_id.as_deref().into());
    put("event_type", decision.event_type.as_deref().into());
    put("secret", decision.secret.as_deref().into());
    put("replay_key", decision.replay_key.map(|key| key.to_string()).into());
    put("would_reject", decision.would_reject.map(crate::reject::Reject::code).into());
    put("header", decision.header.as_ref().map(http::HeaderName::as_str).into());
    put("skew_seconds", decision.skew_seconds.into());
    put("detail", decision.detail.as_deref().into());
    put("hint", decision.hint.as_deref().into());
    put("bytes_in", decision.bytes_in.into());
    put("bytes_out", decision.bytes_out.into());
    put("cut_off", decision.cut_off.then_some(true).into());
    put("upstream_us", decision.upstream_us.into());
    put("duration_us", decision.duration_us.into());
    put("app_guard", decision.app_guard().then_some(true).into());
    put("request_id", (*decision.request_id).into());
    Value::Object(all)
}

/// `2026-01-02T03:04:05.678Z`, of unix milliseconds.
fn time(millis: u64) -> String {
    let seconds = civil::rfc3339(millis.wrapping_div(1000));
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), Civil::of(millis).milli)
}

/// The plan in force, how it came to be, and what came of each route's requests.
pub(super) fn status(shown: &Shown<'_>, lists: &[ListStatus], recent: &Recent, senders: &Senders) -> Value {
    let Shown { plan, history, doors, run } = shown;
    let routes: Vec<Value> = plan.routes.iter().map(|route| self::route(route, plan, recent, senders)).collect();
    let lists: Vec<Value> = lists.iter().map(ListStatus::to_json).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "run": run,
        "started": time(*run),
        "doors": doors,
        "upstream": plan.upstream.to_string(),
        "base_path": &*plan.base_path,
        "unmatched": match plan.unmatched {
            Unmatched::Forward => "forward",
            Unmatched::Deny => "deny",
        },
        "plan": { "fingerprint": &*plan.fingerprint, "loaded": civil::rfc3339(history.loaded) },
        "last_reload": history.last.map(|(outcome, at)| json!({ "outcome": outcome.code(), "time": civil::rfc3339(at) })),
        "replay_store": match plan.replay.store {
            ReplayStore::Memory => "memory",
            ReplayStore::Redis(_) => "redis",
        },
        "routes": routes,
        "ip_lists": lists,
    })
}

fn route(route: &Route, plan: &Plan, recent: &Recent, senders: &Senders) -> Value {
    let counts = recent.counts(&route.name);
    let mut methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    methods.sort_unstable();
    let reported =
        [("ip", route.reported.ip), ("timestamp", route.reported.timestamp), ("signature", route.reported.signature)];
    let reported: Vec<&str> = reported.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    let labels: Vec<&str> = route.keys.iter().map(|key| &*key.label).collect();
    // As a request has it.
    let path = [&*plan.base_path, &*route.path].concat();
    let url = plan.public_url.as_ref().map(|url| url.of(&path));
    json!({
        "name": &*route.name,
        "path": path,
        "provider": &*route.provider,
        "methods": methods,
        "secrets": labels,
        "tolerance_seconds": route.window().map(|window| window.as_secs()),
        "allow_ips": route.allow_ips.is_some(),
        "allow_ips_pending": route.allow_ips.as_ref().is_some_and(|list| list.pending),
        "events": route.events.patterns,
        "handshake": !route.handshakes.is_empty(),
        "replay": match route.replay {
            ReplayMode::Off => "off",
            ReplayMode::Dedupe => "dedupe",
            ReplayMode::Content => "content",
        },
        "max_body": route.max_body,
        "deadline_ms": millis(route.deadline),
        "attempts": route.retry.attempts,
        "insecure_report": reported,
        "counts": {
            "accepted": counts.accepted,
            "app_failed": counts.app_failed,
            "refused": counts.refused,
            "duplicates": counts.duplicates,
            "would_reject": counts.would_reject,
            "client_left": counts.client_left,
        },
        "send": senders.of(route),
        "url": url,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_millisecond() {
        assert_eq!(time(1_614_265_330_007), "2021-02-25T15:02:10.007Z");
    }
}
