//! What `fuzz/` calls beyond the public parts: one function a target. Built with `--cfg fuzzing` alone, which cargo-fuzz and
//! `tests/fuzz/run` set.
//!
//! Must never decide anything: properties belong to the targets, where nothing of ours computes what is expected.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;

use crate::capture::Captured;
use crate::check::signature::{LabeledKey, Options, Scheme, SchemeSpec};
use crate::cli;
use crate::config::{Environment, Loaded};
use crate::explain::{Asked, Case, Outcome, Question, explain, write_json, write_text};
use crate::providers::{Catalog, example};
use crate::proxy_protocol::{self, Named};

/// The time of every delivery of [`Sender`], unix seconds.
pub const NOW: u64 = example::NOW;
/// The address that they are sent to.
pub const URL: &str = example::URL;

/// Reads a PROXY header: whom it names (`None`: nobody), and how many bytes it took.
///
/// # Errors
/// The reason in words.
pub fn proxy_header(bytes: &[u8]) -> (Result<Option<IpAddr>, String>, usize) {
    let mut rest = bytes;
    let read = {
        let reading = pin!(proxy_protocol::read(&mut rest));
        // Bytes in memory are always there, or at their end.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read,
            Poll::Pending => return (Err("it waits".to_owned()), 0),
        }
    };
    let named = read.map_err(|error| error.to_string()).map(|named| match named {
        Named::Client(address) => Some(address),
        Named::Nobody => None,
    });
    (named, bytes.len().saturating_sub(rest.len()))
}

/// What `check` prints, and its problems; `environment` has the configuration at this path.
///
/// # Errors
/// That of a writer: none.
pub fn check(path: &Path, environment: &dyn Environment, now: u64) -> io::Result<(String, String)> {
    let mut out = Vec::new();
    let problems = cli::check_config(path, None, environment, now, &mut out)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), problems))
}

/// What `explain` says of a request, in words and as JSON, and whether it would be forwarded. By a configuration, or by a
/// provider whose secret `environment` has as `SECRET`.
///
/// # Errors
/// Why it cannot be judged.
pub fn explained(
    request: Captured,
    loaded: Option<Loaded>,
    provider: Option<&str>,
    environment: &dyn Environment,
    now: u64,
) -> Result<(String, String, bool), String> {
    let asked = Asked {
        provider: provider.map(str::to_owned),
        secret_env: provider.map(|_| "SECRET".to_owned()).into_iter().collect(),
        ..Asked::default()
    };
    let question = Question { request, loaded, own_schemes: std::collections::BTreeMap::new(), asked, peer: None, now };
    let case = Case::of(question, environment).map_err(|usage| usage.to_string())?;
    // A bound that does not depend on a clock.
    let mut left = 200_u32;
    let mut may_go_on = || {
        left = left.saturating_sub(1);
        left > 0
    };
    let explanation = explain(&case, &mut may_go_on);
    let (mut text, mut json) = (Vec::new(), Vec::new());
    for written in [write_text(&explanation, true, &mut text), write_json(&explanation, &mut json)] {
        written.map_err(|error| error.to_string())?;
    }
    let [text, json] = [text, json].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((text, json, explanation.outcome == Outcome::Accepted))
}

/// A provider of the catalogue with a secret of its own, and one genuine delivery where receivers can sign.
#[derive(Debug)]
pub struct Sender {
    /// Its name.
    pub name: String,
    /// How it signs.
    pub scheme: Scheme,
    /// The same as data.
    pub spec: SchemeSpec,
    /// What its route would have.
    pub options: Options,
    /// What its deliveries are checked with; none where the provider's certificate is.
    pub keys: Vec<LabeledKey>,
    /// The secret, as a receiver configures it.
    pub secret: String,
    /// URL, headers and body.
    pub genuine: Option<(String, HeaderMap, Bytes)>,
}

/// All providers, in the catalogue's order.
pub fn senders() -> Vec<Sender> {
    let Ok(catalog) = Catalog::load() else { return Vec::new() };
    let sender = |name: &str| {
        let spec = catalog.scheme(name)?.clone();
        let options = example::options(&spec);
        let scheme = Scheme::compile(name, &spec, &options).ok()?;
        let secret = example::secret(&spec);
        let key = scheme.key(secret.as_bytes()).ok().map(|(key, _)| LabeledKey { label: "current".into(), key });
        let signed =
            example::is_signable(&spec).then(|| example::signed(&catalog, name, &scheme, &spec).ok()).flatten();
        let genuine = signed
            .map(|(headers, body, made)| (made.url.unwrap_or_else(|| URL.to_owned()), headers, Bytes::from(body)));
        let keys = key.into_iter().collect();
        Some(Sender { name: name.to_owned(), scheme, spec, options, keys, secret, genuine })
    };
    catalog.names().filter_map(sender).collect()
}
