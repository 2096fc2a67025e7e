//! The bench: a changed request, secret or scheme in, "does it fit?" out, by the gate's own code.
//!
//! Counts what that costs. A [`crate::check::signature::Verified`] of a changed request proves nothing about the real one,
//! so it must never leave this file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use http::HeaderMap;

use super::{Hypothesis, NamedSecret, Suspect};
use crate::check::signature::scheme::JwtSpec;
use crate::check::signature::{
    Coverage, Failure, Head, LabeledKey, Options, Presented, Scheme, SchemeSpec, Window, present, verify,
};

/// Most MACs that one diagnosis computes, whatever the request holds.
pub(super) const MOST_MACS: usize = 768;
/// Most bytes that they read, all in all.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// Larger bodies than this, in bytes, are neither parsed nor rewritten.
pub(super) const MOST_REWRITTEN: usize = 1024 * 1024;
/// Most hypotheses that are returned.
const MOST_FOUND: usize = 3;
/// Seconds: wider than any time that a header can say, and far from overflow.
const ANY_TIME: u64 = u64::MAX / 4;

/// One diagnosis.
pub(super) struct Bench<'s, 'b> {
    pub(super) suspect: &'s Suspect<'s>,
    pub(super) body: Bytes,
    may_go_on: &'b mut dyn FnMut() -> bool,
    /// The scheme and the keys as configured, and what the head claims: `None` if the head alone is refused.
    scheme: Option<Scheme>,
    keys: Vec<LabeledKey>,
    claimed: Option<Claimed>,
    macs: usize,
    bytes: usize,
    is_over: bool,
    /// Hashes of the bodies that were tried.
    tried: HashSet<u64>,
    found: Vec<Hypothesis>,
}

/// What a head claims.
struct Claimed {
    presented: Presented,
    /// When it is to be judged, in unix seconds: at the time that it claims itself.
    at: u64,
}

/// A recomputation that fits.
pub(super) struct Fit {
    /// The secret's name.
    pub(super) label: String,
    /// Unix seconds.
    pub(super) timestamp: Option<u64>,
}

impl<'s, 'b> Bench<'s, 'b> {
    pub(super) fn new(suspect: &'s Suspect<'s>, may_go_on: &'b mut dyn FnMut() -> bool) -> Self {
        let scheme = compile(suspect, suspect.spec);
        let keys = scheme.as_ref().map(|scheme| keys(scheme, suspect.secrets)).unwrap_or_default();
        let claimed = scheme.as_ref().and_then(|scheme| claims(scheme, suspect.head, suspect.window.now));
        Self {
            suspect,
            body: Bytes::copy_from_slice(suspect.body),
            may_go_on,
            scheme,
            keys,
            claimed,
            macs: 0,
            bytes: 0,
            is_over: false,
            tried: HashSet::new(),
            found: Vec::new(),
        }
    }

    pub(super) fn into_found(self) -> Vec<Hypothesis> {
        self.found
    }

    /// Whether nothing more may be tried.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether other bodies can make a difference, and something can be compared with them.
    pub(super) fn can_try_bodies(&self) -> bool {
        let covers = self.scheme.as_ref().is_some_and(|scheme| scheme.coverage() != Coverage::Token);
        covers && self.claimed.is_some() && !self.keys.is_empty()
    }

    /// Whether a body of this size may be parsed and rewritten.
    pub(super) fn may_rewrite(&self) -> bool {
        self.body.len() <= MOST_REWRITTEN
    }

    /// The scheme as configured, if it has keys.
    pub(super) fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// Says what fits. The same code is said once.
    pub(super) fn found(&mut self, code: &'static str, finding: String, fix: String) {
        if self.found.iter().all(|hypothesis| hypothesis.code != code) {
            self.found.push(Hypothesis { code, finding, fix });
        }
        if self.found.len() >= MOST_FOUND {
            self.is_over = true;
        }
    }

    /// Whether something has been found.
    pub(super) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// The delivery as it is, at the time that it claims.
    pub(super) fn as_it_is(&mut self) -> Option<Fit> {
        let body = [self.body.clone()];
        self.with_body(&body)
    }

    /// Another body, in pieces. The same one is tried once.
    pub(super) fn body_fits(&mut self, body: &[Bytes]) -> bool {
        let mut hasher = DefaultHasher::new();
        let length = body.iter().fold(0_usize, |length, piece| length.saturating_add(piece.len()));
        hasher.write_usize(length);
        for piece in body {
            hasher.write(piece);
        }
        !self.is_over && self.tried.insert(hasher.finish()) && self.with_body(body).is_some()
    }

    fn with_body(&mut self, body: &[Bytes]) -> Option<Fit> {
        if !self.spend(self.keys.len(), body) {
            return None;
        }
        fit(self.scheme.as_ref()?, &self.keys, self.claimed.as_ref()?, body)
    }

    /// Another secret, and possibly another scheme.
    pub(super) fn secret_fits(&mut self, scheme: &Scheme, text: &[u8]) -> bool {
        let (Ok((key, _)), Some(claimed)) =
            (scheme.key(text), claims(scheme, self.suspect.head, self.suspect.window.now))
        else {
            return false;
        };
        let body = [self.body.clone()];
        let keys = [LabeledKey { label: "tried".into(), key }];
        self.spend(keys.len(), &body) && fit(scheme, &keys, &claimed, &body).is_some()
    }

    /// As [`Self::secret_fits`] with the scheme as configured.
    pub(super) fn own_secret_fits(&mut self, text: &[u8]) -> bool {
        let Some(scheme) = self.scheme.take() else { return false };
        let fits = self.secret_fits(&scheme, text);
        self.scheme = Some(scheme);
        fits
    }

    /// Other headers or another URL.
    pub(super) fn head_fits(&mut self, headers: &HeaderMap, url: Option<&str>) -> bool {
        let Some(scheme) = &self.scheme else { return false };
        let head = Head { method: self.suspect.head.method, url, headers };
        let Some(claimed) = claims(scheme, head, self.suspect.window.now) else { return false };
        let body = [self.body.clone()];
        self.spend(self.keys.len(), &body)
            && self.scheme.as_ref().is_some_and(|scheme| fit(scheme, &self.keys, &claimed, &body).is_some())
    }

    /// Another scheme, with these headers and the secrets as configured.
    pub(super) fn spec_fits(&mut self, spec: &SchemeSpec, headers: &HeaderMap) -> Option<Fit> {
        let body = self.body.clone();
        self.spec_fits_body(spec, headers, &body)
    }

    /// As [`Self::spec_fits`] with another body.
    pub(super) fn spec_fits_body(&mut self, spec: &SchemeSpec, headers: &HeaderMap, body: &Bytes) -> Option<Fit> {
        let scheme = compile(self.suspect, spec)?;
        let head = Head { headers, ..self.suspect.head };
        self.scheme_fits(&scheme, head, self.suspect.secrets, body)
    }

    /// Another scheme with secrets of its own.
    pub(super) fn route_fits(&mut self, scheme: &Scheme, secrets: &[NamedSecret<'_>]) -> Option<Fit> {
        let body = self.body.clone();
        self.scheme_fits(scheme, self.suspect.head, secrets, &body)
    }

    fn scheme_fits(
        &mut self,
        scheme: &Scheme,
        head: Head<'_>,
        secrets: &[NamedSecret<'_>],
        body: &Bytes,
    ) -> Option<Fit> {
        let claimed = claims(scheme, head, self.suspect.window.now)?;
        let keys = keys(scheme, secrets);
        let body = [body.clone()];
        if keys.is_empty() || !self.spend(keys.len(), &body) {
            return None;
        }
        fit(scheme, &keys, &claimed, &body)
    }

    /// What the gate says of the head at present.
    pub(super) fn refusal_now(&self) -> Option<Failure> {
        let scheme = Scheme::compile(self.suspect.name, self.suspect.spec, self.suspect.options).ok()?;
        present(&scheme, self.suspect.head, self.suspect.window).err()
    }

    /// Another body with the secrets of other routes. The name of the one that fits.
    pub(super) fn others_fit(&mut self, keys: &[LabeledKey], body: &[Bytes]) -> Option<String> {
        if !self.spend(keys.len(), body) {
            return None;
        }
        fit(self.scheme.as_ref()?, keys, self.claimed.as_ref()?, body).map(|fit| fit.label)
    }

    /// Whether this much more may be computed.
    fn spend(&mut self, macs: usize, body: &[Bytes]) -> bool {
        let length = body.iter().fold(0_usize, |length, piece| length.saturating_add(piece.len()));
        self.macs = self.macs.saturating_add(macs.max(1));
        self.bytes = self.bytes.saturating_add(length.saturating_mul(macs));
        let is_within = self.macs <= MOST_MACS && self.bytes <= MOST_BYTES;
        self.is_over = self.is_over || !is_within || !(self.may_go_on)();
        !self.is_over
    }
}

/// A scheme that is as strict as the gate's but for the times of a token, and the empty body, which is a hypothesis.
pub(super) fn compile(suspect: &Suspect<'_>, spec: &SchemeSpec) -> Option<Scheme> {
    compile_with(suspect.name, spec, suspect.options)
}

/// As [`compile`], with options of its own. Those that it does not have are left out.
pub(super) fn compile_with(name: &str, spec: &SchemeSpec, options: &Options) -> Option<Scheme> {
    let options = options.iter().filter(|(name, _)| spec.options.contains_key(*name));
    let options = options.map(|(name, value)| (name.clone(), value.clone())).collect();
    // A token is good for minutes, and some that are signed never are.
    let jwt = spec.jwt.clone().map(|jwt| JwtSpec { leeway: ANY_TIME, max_age: jwt.max_age.map(|_| ANY_TIME), ..jwt });
    let spec = SchemeSpec { refuse_empty_body: false, jwt, ..spec.clone() };
    Scheme::compile(name, &spec, &options).ok()
}

/// The secrets that the scheme takes.
pub(super) fn keys(scheme: &Scheme, secrets: &[NamedSecret<'_>]) -> Vec<LabeledKey> {
    let key = |secret: &NamedSecret<'_>| {
        scheme.key(secret.text).ok().map(|(key, _)| LabeledKey { label: secret.name.into(), key })
    };
    secrets.iter().filter_map(key).collect()
}

/// What the head claims, whenever it says it was.
fn claims(scheme: &Scheme, head: Head<'_>, now: u64) -> Option<Claimed> {
    let presented = present(scheme, head, Window { now, tolerance: ANY_TIME }).ok()?;
    let at = presented.timestamp().unwrap_or(now);
    Some(Claimed { presented, at })
}

fn fit(scheme: &Scheme, keys: &[LabeledKey], claimed: &Claimed, body: &[Bytes]) -> Option<Fit> {
    let verified =
        verify(scheme, keys, &claimed.presented, body, Window { now: claimed.at, tolerance: ANY_TIME }).ok()?;
    Some(Fit { label: verified.label().to_owned(), timestamp: verified.timestamp() })
}
