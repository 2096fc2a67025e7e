//! Senders that sign a token over the body's hash: `LiveKit`, `QStash`, `MessageBird`, Plaid and their like.
//!
//! The catalogue says which claims tie the token to this delivery; the key says which algorithm, never the token. The same
//! key often signs other tokens, which their holders show around, so one without the body's hash proves nothing. Must never
//! let a token choose how it is checked, nor believe a claim before its signature.
//! Sources: RFC 7515 §5.2 and §7.1, RFC 7518 §3, RFC 7519 §4.1, RFC 8725 §3, and the vendors' pages named in
//! `src/providers/catalog.toml`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, json};
use subtle::ConstantTimeEq;

use super::fields::Fields;
use super::strict_json::{self, Json};
use super::{Coded, Held, first_key};
use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::key::{Check, Key, KeyKind, LabeledKey};
use crate::check::signature::mac::Tag;
use crate::check::signature::public_key::PublicAlgorithm;
use crate::check::signature::scheme::{
    Algorithm, HashClaim, HashEncoding, JwtSpec, KeyEncoding, OneOrMany, SchemeSpec,
};
use crate::check::signature::sign::{Delivery, SignProblem, Signed, hex};
use crate::check::signature::template::{is_plain, single};
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable, mac};
use crate::reject::Reject;

/// Longest token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// Longest signature, decoded: RSA with 8,192 bits.
const MAX_SIGNATURE: usize = 1024;
/// How long a token that we sign is good, in seconds.
const LIFETIME: u64 = 300;

#[derive(Debug)]
struct Jwt {
    header: HeaderName,
    /// Before the token, such as `Bearer `.
    prefix: Box<str>,
    /// What `alg` must be (RFC 7518 §3.1).
    algorithm: &'static str,
    issuer: Option<Box<str>>,
    claims: JwtSpec,
    /// Whether the route says how old a token without `exp` may be. Otherwise `claims.max_age` does.
    has_tolerance: bool,
    fields: Fields,
}

pub(super) fn compile(spec: &SchemeSpec, options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    let fields = Fields::compile(spec, &mut problems);
    let mut problem = |field, flaw| problems.push(SchemeProblem { field, flaw });

    let name = spec.signature.as_ref().and_then(|signature| match &signature.header {
        OneOrMany::One(name) => Some(name.as_str()),
        OneOrMany::Many(_) => None,
    });
    let header = name.and_then(|name| HeaderName::try_from(name).ok());
    if header.is_none() {
        problem("signature.header", SchemeFlaw::Missing);
    }
    let algorithm = algorithm(spec.algorithm);
    if algorithm.is_none() {
        problem("algorithm", SchemeFlaw::NotThisAlgorithm);
    }
    if spec.algorithm.is_public_key() != (spec.key.encoding == KeyEncoding::Spki) {
        problem("key.encoding", SchemeFlaw::NotThisAlgorithm);
    }
    let issuer = match spec.jwt.as_ref().map(|jwt| (&jwt.issuer, &jwt.issuer_option)) {
        None | Some((None, None)) => None,
        Some((Some(issuer), None)) => Some(issuer.as_str().into()),
        Some((None, Some(option))) => {
            let issuer = options.get(option).map(|issuer| issuer.as_str().into());
            if issuer.is_none() {
                problem("options", SchemeFlaw::OptionMissing(option.as_str().into(), "what iss must be".into()));
            }
            issuer
        }
        Some((Some(_), Some(_))) => {
            problem("jwt.issuer", SchemeFlaw::ExactlyOne("issuer", "issuer_option"));
            None
        }
    };
    if spec.jwt.is_none() {
        problem("jwt", SchemeFlaw::Missing);
    }
    match (header, algorithm, &spec.jwt) {
        (Some(header), Some(algorithm), Some(claims)) if problems.is_empty() => Ok(Box::new(Jwt {
            header,
            prefix: spec.signature.as_ref().map(|signature| signature.prefix.as_str()).unwrap_or_default().into(),
            algorithm,
            issuer,
            claims: claims.clone(),
            has_tolerance: spec.timestamp.is_some(),
            fields,
        })),
        (Some(_) | None, Some(_) | None, Some(_) | None) => Err(problems),
    }
}

/// What the keys of a route are: ECDSA signatures of tokens are two numbers, not DER (RFC 7518 §3.4).
pub(super) fn key_kind(spec: &SchemeSpec) -> Option<(KeyKind, KeyEncoding)> {
    (spec.algorithm == Algorithm::EcdsaP256)
        .then_some((KeyKind::Public(PublicAlgorithm::EcdsaP256Fixed), spec.key.encoding))
}

fn algorithm(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::HmacSha256 => Some("HS256"),
        Algorithm::HmacSha512 => Some("HS512"),
        Algorithm::EcdsaP256 => Some("ES256"),
        Algorithm::RsaSha256 => Some("RS256"),
        Algorithm::HmacSha1 | Algorithm::Sha256 | Algorithm::Ed25519 | Algorithm::Token => None,
    }
}

/// A token that is well-formed and meant for keys like ours, but not yet believed.
struct Token<'h> {
    /// Both parts that are signed, with the dot between them.
    signed: &'h str,
    signature: Vec<u8>,
    claims: Json,
}

impl Coded for Jwt {
    fn headers(&self) -> Vec<HeaderName> {
        std::iter::once(self.header.clone()).chain(self.fields.headers()).collect()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Body
    }

    fn signs_id(&self) -> bool {
        self.fields.id_is_in_body() || self.claims.required.iter().any(|claim| claim == "jti")
    }

    fn signs_url(&self) -> bool {
        self.claims.url_hash.is_some() || self.claims.url_claim.is_some()
    }

    fn signs_time(&self) -> bool {
        // One of `iat` and `exp` is there, or the token is refused.
        true
    }

    fn present(&self, head: Head<'_>, window: Window) -> Result<Option<u64>, Failure> {
        if self.signs_url() && head.url.is_none() {
            // A URL that nobody told cannot be compared.
            return Err(Failure::of(Reject::SignatureMismatch));
        }
        let token = self.token(head.headers)?;
        self.times(&token.claims, window)
    }

    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], window: Window) -> Result<Proof, Failure> {
        let token = self.token(&held.headers)?;
        let mismatch = || Failure::at(Reject::SignatureMismatch, &self.header);
        let key = first_key(keys, token.signed.as_bytes(), &token.signature).ok_or_else(mismatch)?;
        let timestamp = self.times(&token.claims, window)?;
        if !self.belongs(&token.claims, held.url.as_deref(), body) {
            return Err(mismatch());
        }
        let [id, event_type] = self.fields.read(&held.headers, body, true, |_| false)?;
        let jti = text(&token.claims, "jti").filter(|jti| is_presentable(jti)).map(Into::into);
        Ok(Proof {
            key,
            id: if self.fields.id_is_in_body() { id } else { Field::new(None, jti, true).or(id) },
            event_type,
            timestamp,
            coverage: Coverage::Body,
        })
    }

    /// The token as it is signed, and what its claims bind: the body, and the URL where one of them is about it. Never the
    /// method. Its signature is left out: there are many of ECDSA over one token.
    fn content_digest(&self, held: &Held, body: &[u8]) -> Option<Tag> {
        let token = self.token(&held.headers).ok()?;
        let url = held.url.as_deref().unwrap_or_default();
        Some(mac::digest(|update| {
            for part in [token.signed, "\n", url, "\n"] {
                update(part.as_bytes());
            }
            update(body);
        }))
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let Some(Check::Mac(state)) = key.map(|key| &key.check) else { return Err(SignProblem::PublicKey) };
        let spec = &self.claims;
        let mut claims = Map::new();
        let mut claim = |name: &str, value: serde_json::Value| claims.insert(name.to_owned(), value);
        if let Some(issuer) = &self.issuer {
            claim("iss", json!(issuer));
        }
        if spec.max_age.is_none() {
            claim("exp", json!(delivery.timestamp.saturating_add(LIFETIME)));
        }
        claim("nbf", json!(delivery.timestamp));
        claim("iat", json!(delivery.timestamp));
        if !delivery.id.is_empty() {
            claim("jti", json!(delivery.id));
        }
        claim(&spec.body_hash.claim, json!(spec.body_hash.of(delivery.body)));
        if let Some(url_claim) = &spec.url_claim {
            claim(url_claim, json!(delivery.url.ok_or(SignProblem::Url)?));
        }
        if let Some(hash) = &spec.url_hash {
            claim(&hash.claim, json!(hash.of(delivery.url.ok_or(SignProblem::Url)?.as_bytes())));
        }
        if spec.required.iter().any(|name| !claims.contains_key(name)) {
            return Err(SignProblem::Id);
        }
        let header = json!({ "alg": self.algorithm, "typ": "JWT" }).to_string();
        let signed = [header, serde_json::Value::Object(claims).to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = signed.join(".");
        let signature = URL_SAFE_NO_PAD.encode(state.tag(|update| update(signed.as_bytes())).as_bytes());
        let value =
            HeaderValue::try_from(format!("{}{signed}.{signature}", self.prefix)).map_err(|_| SignProblem::Id)?;
        Ok(Signed::by_headers(vec![(self.header.clone(), value)]))
    }
}

impl Jwt {
    /// # Errors
    /// `header_missing`, `header_repeated`, `header_malformed`; `signature_mismatch` for a token of another algorithm.
    fn token<'h>(&self, headers: &'h HeaderMap) -> Result<Token<'h>, Failure> {
        let value = single(headers, &self.header)?;
        let malformed = || Failure::at(Reject::HeaderMalformed, &self.header);
        let token = value.to_str().ok().filter(|_| is_plain(value, MAX_TOKEN)).ok_or_else(malformed)?;
        let token = token.strip_prefix(&*self.prefix).ok_or_else(malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        // A third dot would be no base64url.
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let object = |part: &str| {
            let json = strict_json::read(&decode(part)?).filter(|json| matches!(json, Json::Object(_)));
            json.ok_or_else(malformed)
        };
        let (header, claims) = (object(header)?, object(claims)?);
        let signature = decode(signature)?;
        let is_jwt = |typ: &Json| typ.text().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"));
        if text(&header, "alg") != Some(self.algorithm)
            || !header.get("typ").is_none_or(is_jwt)
            || header.get("crit").is_some()
            || signature.is_empty()
            || signature.len() > MAX_SIGNATURE
        {
            return Err(Failure::at(Reject::SignatureMismatch, &self.header));
        }
        Ok(Token { signed, signature, claims })
    }

    /// When the token says that it was made, once it is neither too old nor too young.
    fn times(&self, claims: &Json, window: Window) -> Result<Option<u64>, Failure> {
        let spec = &self.claims;
        let malformed = || Failure::at(Reject::TimestampMalformed, &self.header);
        let claim = |name: &str| claims.get(name).map(|value| seconds(value).ok_or_else(malformed)).transpose();
        let (issued, starts, expires) = (claim("iat")?, claim("nbf")?, claim("exp")?);
        let refuse = |reject, seconds: u64| {
            let skew = i128::from(seconds).saturating_sub(i128::from(window.now));
            Failure { reject, header: Some(self.header.clone()), skew: i64::try_from(skew).ok() }
        };
        for begin in [issued, starts].into_iter().flatten() {
            if begin > window.now.saturating_add(spec.leeway) {
                return Err(refuse(Reject::TimestampInFuture, begin));
            }
        }
        if let Some(end) = expires
            && end.saturating_add(spec.leeway) <= window.now
        {
            return Err(refuse(Reject::TimestampTooOld, end));
        }
        let timestamp = issued.or(starts);
        match (spec.max_age, issued, expires) {
            (None, _, Some(_)) => Ok(timestamp),
            (Some(max_age), Some(issued), _) => {
                let oldest = if self.has_tolerance { window.tolerance } else { max_age };
                if window.now.saturating_sub(issued) > oldest {
                    return Err(refuse(Reject::TimestampTooOld, issued));
                }
                Ok(timestamp)
            }
            (None, _, None) | (Some(_), None, _) => Err(malformed()),
        }
    }

    /// Whether a genuine token is about this delivery.
    fn belongs(&self, claims: &Json, url: Option<&str>, body: &[u8]) -> bool {
        let spec = &self.claims;
        let is_from = match &self.issuer {
            Some(issuer) => text(claims, "iss") == Some(issuer),
            None => true,
        };
        let has_body = spec.body_hash.is_of(claims, body);
        let has_url =
            spec.url_hash.as_ref().is_none_or(|hash| url.is_some_and(|url| hash.is_of(claims, url.as_bytes())));
        let names_url =
            spec.url_claim.as_ref().is_none_or(|claim| url.is_some_and(|url| text(claims, claim) == Some(url)));
        let has_all = spec.required.iter().all(|claim| text(claims, claim).is_some_and(|text| !text.is_empty()));
        is_from && has_body && has_url && names_url && has_all
    }
}

fn text<'j>(object: &'j Json, name: &str) -> Option<&'j str> {
    object.get(name).and_then(Json::text)
}

/// Unix seconds, whole.
fn seconds(value: &Json) -> Option<u64> {
    match value {
        Json::Integer(seconds) => u64::try_from(*seconds).ok(),
        Json::Null | Json::Bool(_) | Json::Fraction(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

impl HashClaim {
    /// How the claim must be.
    fn of(&self, content: &[u8]) -> String {
        let hash = mac::digest(|update| update(content));
        match self.encoding {
            HashEncoding::Hex => hex(hash.as_bytes()),
            HashEncoding::Base64 => STANDARD.encode(hash.as_bytes()),
            HashEncoding::Base64url => URL_SAFE_NO_PAD.encode(hash.as_bytes()),
        }
    }

    fn is_of(&self, claims: &Json, content: &[u8]) -> bool {
        let claimed = match claims.get(&self.claim).map(Json::text) {
            Some(Some(claimed)) => claimed,
            Some(None) => return false,
            None => return self.absent_if_empty && content.is_empty(),
        };
        let claimed = match self.encoding {
            HashEncoding::Hex | HashEncoding::Base64 => claimed,
            HashEncoding::Base64url => claimed.trim_end_matches('='),
        };
        self.of(content).as_bytes().ct_eq(claimed.as_bytes()).into()
    }
}

#[cfg(test)]
#[path = "tests/jwt.rs"]
mod tests;
