//! What becomes of a genuine delivery: how it is told from a duplicate, how often it is tried, which checks only log.
//!
//! Must never yield a route that de-duplicates by what its scheme does not sign.

use http::StatusCode;

use super::compile::Context;
use super::compile_routes::Chosen;
use super::hint::{alternatives, nearest};
use super::raw::Table;
use super::values::show_duration;
use crate::check::signature::Coverage;
use crate::plan::{Limits, OnStoreError, ReplayMode, ReplayPolicy, Reported, Retry, Route};

const REPORTS: &[&str] = &["ip", "timestamp", "signature"];

impl Context<'_, '_> {
    /// `None`: refused.
    pub(super) fn replay(&mut self, raw: &Table) -> Option<ReplayPolicy> {
        let table = raw.table("replay")?;
        if let Some((store, spot)) = table.text("store").filter(|(store, _)| *store != "memory") {
            let what = format!("{store:?} is not a store that hookward knows");
            self.findings.error(spot, what, "write \"memory\"");
            return None;
        }
        Some(ReplayPolicy {
            ttl: table.duration("ttl")?,
            max_entries: usize::try_from(table.integer("max_entries")?).ok()?,
            lease: table.duration("lease")?,
            wait: table.duration("wait")?,
        })
    }

    /// A delivery that could still come in again must not be forgotten.
    pub(super) fn remembered_long_enough(
        &mut self,
        raw: &Table,
        routes: &[Route],
        replay: &ReplayPolicy,
        limits: &Limits,
    ) {
        let longest = routes
            .iter()
            .filter(|route| route.replay != ReplayMode::Off)
            .filter_map(|route| {
                let window = route.window()?.checked_mul(2)?;
                Some((window.checked_add(limits.body_timeout)?.checked_add(route.deadline)?, &route.name))
            })
            .max();
        if let Some((least, name)) = longest.filter(|(least, _)| *least > replay.ttl) {
            let what = format!("a delivery of routes.{name} could be sent again after it is forgotten");
            let hint = format!(
                "write at least {} (twice its tolerance, limits.body_timeout and its deadline)",
                show_duration(least)
            );
            let spot = raw.table("replay").map(|table| table.spot_of("ttl")).unwrap_or_default();
            self.findings.error(&spot, what, hint);
        }
    }

    pub(super) fn replay_mode(&mut self, table: &Table, chosen: &Chosen<'_>) -> ReplayMode {
        let usual = chosen.scheme.signs_id() && chosen.provider.is_none_or(|provider| !provider.keeps_answers());
        let Some((mode, spot)) = table.text("replay") else {
            return if usual { ReplayMode::Dedupe } else { ReplayMode::Off };
        };
        let has_body = chosen.scheme.coverage() == Coverage::Body;
        match mode {
            "dedupe" if !chosen.scheme.signs_id() => {
                let what = format!("`{}` signs no id, so whoever can send can make a duplicate look new", chosen.name);
                let hint = if has_body { "write \"content\", or remove it" } else { "remove it" };
                self.findings.error(spot, what, hint);
                ReplayMode::Off
            }
            "content" if !has_body => {
                let what =
                    format!("`{}` does not sign the body, so other deliveries would be called duplicates", chosen.name);
                self.findings.error(spot, what, "remove it");
                ReplayMode::Off
            }
            "off" => ReplayMode::Off,
            mode => {
                if mode == "content" && chosen.scheme.default_tolerance().is_some() {
                    let what =
                        "a retry that is signed anew has another time, so it counts as another delivery and runs";
                    let hint = if chosen.scheme.signs_id() {
                        "write \"dedupe\""
                    } else {
                        "it only tells copies of one attempt: let the app tell retries by what is in them"
                    };
                    self.findings.warn(spot, what, hint);
                }
                if chosen.provider.is_some_and(|provider| provider.keeps_answers()) {
                    let what = "the sender uses the app's answer, which a duplicate does not get";
                    self.findings.warn(spot, what, "remove it unless the answer's content does not matter");
                }
                if mode == "content" { ReplayMode::Content } else { ReplayMode::Dedupe }
            }
        }
    }

    pub(super) fn on_store_error(&mut self, table: &Table, replay: ReplayMode) -> OnStoreError {
        let Some((_, spot)) = table.text("insecure_on_store_error") else { return OnStoreError::Refuse };
        if replay == ReplayMode::Off {
            self.findings.warn(spot, "has no effect: this route does not de-duplicate", "remove it");
        } else {
            let what = "while the replay store is down, deliveries of this route may run twice";
            self.findings.warn(spot, what, "without it they get 503, and their sender tries again");
        }
        OnStoreError::Forward
    }

    pub(super) fn retry(&mut self, table: &Table) -> Retry {
        let table = table.table("retry");
        let number = |key: &str| table.and_then(|table| table.integer(key)).and_then(|count| u32::try_from(count).ok());
        let statuses = table.map(|table| table.integers("on_status")).unwrap_or_default();
        let status = |number: &u64| StatusCode::from_u16(u16::try_from(*number).ok()?).ok();
        Retry {
            attempts: number("attempts").unwrap_or(1).max(1),
            within: table.and_then(|table| table.duration("within")).unwrap_or_default(),
            on_status: statuses.iter().filter_map(status).collect(),
        }
    }

    pub(super) fn reported(&mut self, table: &Table, chosen: &Chosen<'_>) -> Reported {
        let mut reported = Reported::default();
        for (text, spot) in table.texts("insecure_report") {
            match text {
                "ip" => reported.ip = true,
                "timestamp" => reported.timestamp = true,
                "signature" => reported.signature = true,
                other => {
                    let hint = match nearest(other, REPORTS.iter().copied()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("write {}", alternatives(REPORTS.iter().copied())),
                    };
                    self.findings.error(spot, "is not a check that can be reported", hint);
                    continue;
                }
            }
            let (what, no_effect) = match text {
                "ip" => ("requests from any address are forwarded", table.has_list("allow_ips").then_some(())),
                "timestamp" => ("recorded deliveries are forwarded", chosen.scheme.default_tolerance().map(|_| ())),
                _ => ("forged requests are forwarded", Some(())),
            };
            let hint = "for trying hookward out: the app must not take a request without `verified-event` for genuine";
            match no_effect {
                Some(()) => self.findings.warn(spot, what, hint),
                None => self.findings.warn(spot, "has no effect: this route has no such check", "remove it"),
            }
        }
        reported
    }
}
