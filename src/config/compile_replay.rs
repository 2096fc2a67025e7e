//! What becomes of a genuine delivery: how it is told from a duplicate, how often it is tried, which checks only log.
//!
//! Must never yield a route that de-duplicates by what its scheme does not sign.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use rustls::pki_types::ServerName;

use super::compile::Context;
use super::compile_routes::Chosen;
use super::findings::Spot;
use super::hint::{alternatives, nearest};
use super::raw::{LABEL_HINT, Table, is_label};
use super::values::show_duration;
use crate::check::signature::Coverage;
use crate::plan::{Limits, OnStoreError, ReplayMode, ReplayPolicy, ReplayStore, Reported, Retry, Route};
use crate::providers::Provider;
use crate::redis_place::{ParsedUrl, PlaceFault, RedisPlace, RedisTls};
use crate::secret::Secret;

const REPORTS: &[&str] = &["ip", "timestamp", "signature"];

impl Context<'_, '_> {
    /// `None`: refused.
    pub(super) fn replay(&mut self, raw: &Table) -> Option<ReplayPolicy> {
        let table = raw.table("replay")?;
        let store = match table.text("store")? {
            ("memory", _) => {
                self.only_elsewhere(table);
                ReplayStore::Memory
            }
            (url, spot) => {
                let place = self.place(table, url, spot)?;
                self.only_here(table);
                ReplayStore::Redis(Arc::new(place))
            }
        };
        Some(ReplayPolicy {
            store,
            ttl: table.duration("ttl")?,
            max_entries: usize::try_from(table.integer("max_entries")?).ok()?,
            lease: table.duration("lease")?,
            wait: table.duration("wait")?,
        })
    }

    /// Keys that say nothing to the memory store.
    fn only_elsewhere(&mut self, table: &Table) {
        for key in ["username", "password", "ca"] {
            if table.given(key) {
                let what = "has no effect: deliveries are remembered in this process";
                self.findings.warn(&table.spot_of(key), what, "remove it, or write store = \"redis://…\"");
            }
        }
    }

    /// A key that says nothing to Redis.
    fn only_here(&mut self, table: &Table) {
        if table.given("max_entries") {
            let hint = "remove it: the server's maxmemory is the limit";
            self.findings.warn(
                &table.spot_of("max_entries"),
                "has no effect: deliveries are remembered in Redis",
                hint,
            );
        }
    }

    /// Where Redis is.
    fn place(&mut self, table: &Table, url: &str, spot: &Spot) -> Option<RedisPlace> {
        let parsed = match RedisPlace::parse(url) {
            Ok(parsed) => parsed,
            Err(fault) => {
                let hint = match fault {
                    PlaceFault::Credentials => {
                        "write username = \"…\" and password = { env = \"REDIS_PASSWORD\" } beside it"
                    }
                    _ => "write \"memory\", or \"redis://host:6379/0\", \"rediss://host\" or \"unix:/path\"",
                };
                self.findings.error(spot, fault.to_string(), hint);
                return None;
            }
        };
        let username = table.text("username").map(|(name, _)| name.to_owned());
        let password = match table.table("password") {
            Some(key) => Some(self.password(key)?),
            None => None,
        };
        if let (Some(_), None) = (&username, &password) {
            let what = "a user without a password cannot log in";
            self.findings.error(&table.spot_of("username"), what, "add password = { env = \"REDIS_PASSWORD\" }");
        }
        let ca = table.text("ca");
        let tls = if parsed.tls {
            let (config, _) = self.trusting(ca, "the store's")?;
            let Ok(name) = ServerName::try_from(parsed.host.clone()) else {
                self.findings.error(spot, "has a host that no certificate can name", "write a host name or an address");
                return None;
            };
            Some(RedisTls { config: Arc::new(config), name })
        } else {
            if let Some((_, spot)) = ca {
                self.findings.error(spot, "there is no TLS to trust anyone for", "write \"rediss://…\", or remove it");
            }
            if password.is_some() && !is_near(&parsed.host) {
                let what = "the password, and what is remembered, go over the network in clear";
                self.findings.warn(spot, what, "write \"rediss://…\" unless the network is trusted");
            }
            None
        };
        let (namespace, spot) = table.text("namespace")?;
        if !is_label(namespace) {
            self.findings.error(spot, "is not usable as the beginning of a key", LABEL_HINT);
        }
        let ParsedUrl { host, port, db, .. } = parsed;
        Some(RedisPlace { host, port, db, username, password, tls, namespace: namespace.to_owned() })
    }

    fn password(&mut self, table: &Table) -> Option<Secret> {
        let (_, spot, bytes) = self.one(table, false)?;
        let secret = Secret::try_from(bytes.to_vec());
        if let Err(error) = &secret {
            self.findings.error(&spot, error.to_string(), "put the password there, or remove the key");
        }
        secret.ok()
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
            self.several_endpoints(table, usual);
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
                if mode == "content" && chosen.scheme.signs_time() {
                    let what =
                        "a retry that is signed anew has another time, so it counts as another delivery and runs";
                    let hint = if chosen.scheme.signs_id() {
                        "write \"dedupe\""
                    } else {
                        "it only tells copies of one attempt: let the app tell retries by what is in them"
                    };
                    self.findings.warn(spot, what, hint);
                }
                if chosen.provider.is_some_and(Provider::keeps_answers) {
                    let what = "the sender uses the app's answer, which a duplicate does not get";
                    self.findings.warn(spot, what, "remove it unless the answer's content does not matter");
                }
                if mode == "content" { ReplayMode::Content } else { ReplayMode::Dedupe }
            }
        }
    }

    /// A sender gives one event the same id at each of its endpoints, and nobody would miss the one that did not run.
    fn several_endpoints(&mut self, table: &Table, usual: bool) {
        if let Some((path, spot)) = table.text("path")
            && usual
            && path.ends_with("/*")
        {
            let what = "an event that its sender delivers to two endpoints below this prefix runs at one of them alone";
            let hint =
                "give each endpoint a route of its own, or write replay = \"dedupe\" if one event goes to one of them";
            self.findings.warn(spot, what, hint);
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

    pub(super) fn retry(table: &Table) -> Retry {
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
                    self.findings.error(spot, format!("`{other}` is not a check that can be reported"), hint);
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

/// Whether what is sent to it stays on this machine.
pub(super) fn is_near(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
