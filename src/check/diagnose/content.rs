//! Other parts, or the same with other delimiters: what if the sender signs something else than the scheme says?
//!
//! Must never try this on a scheme in code, whose content is not data.

use super::bench::Bench;
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::{Algorithm, Engine, OneOrMany, TimeUnit, TimestampSpec};

/// Likelier ones first.
const CONTENTS: &[&str] = &[
    "{body}",
    "{timestamp}.{body}",
    "{id}.{timestamp}.{body}",
    "{timestamp}{body}",
    "{timestamp}:{body}",
    "v0:{timestamp}:{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "{timestamp}|{body}",
    "{timestamp}-{body}",
    "{timestamp}_{body}",
    "{timestamp},{body}",
    "{timestamp} {body}",
    "{timestamp}\n{body}",
    "{timestamp}.{id}.{body}",
    "{id}.{body}",
    "{id}:{timestamp}:{body}",
    "{id}{timestamp}{body}",
    "{url}{body}",
    "{body}{url}",
    "{method}{url}{body}",
    "{method}{url}{body}{timestamp}",
    "{timestamp}.{url}.{body}",
];
/// Headers that might hold a signed time.
const MOST_TIME_HEADERS: usize = 2;

pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    if suspect.spec.engine != Engine::Template || suspect.spec.algorithm == Algorithm::Token {
        return;
    }
    let mut bases: Vec<(SchemeSpec, String)> = Vec::new();
    if suspect.spec.timestamp.is_none() {
        let headers = suspect.head.headers.iter().filter(|(name, value)| {
            let digits = value.as_bytes();
            name.as_str().contains("timestamp") && digits.len() >= 10 && digits.iter().all(u8::is_ascii_digit)
        });
        for (name, _) in headers.take(MOST_TIME_HEADERS) {
            let header = Some(OneOrMany::One(name.as_str().to_owned()));
            let timestamp = Some(TimestampSpec {
                header,
                pair: None,
                json: None,
                unit: TimeUnit::S,
                tolerance: 300,
                insecure_any_age: false,
            });
            bases.push((SchemeSpec { timestamp, ..suspect.spec.clone() }, format!(", with `{name}` as the timestamp")));
        }
    }
    bases.push((suspect.spec.clone(), String::new()));
    for (base, extra) in &bases {
        for content in CONTENTS {
            if bench.is_over() {
                return;
            }
            let has_time = content.contains("{timestamp}");
            let is_known = suspect.head.url.is_some() || !content.contains("{url}");
            if *content == suspect.spec.content || !is_known || (has_time && base.timestamp.is_none()) {
                continue;
            }
            let timestamp = base.timestamp.clone().filter(|time| has_time || time.json.is_some());
            let spec = SchemeSpec { content: (*content).to_owned(), timestamp, ..base.clone() };
            if bench.spec_fits(&spec, suspect.head.headers).is_some() {
                let extra = if has_time { extra.as_str() } else { "" };
                let content = content.escape_debug();
                bench.found(
                    "content_differs",
                    format!(
                        "The sender signs `{content}`{extra}; here, `{}` is due.",
                        suspect.spec.content.escape_debug()
                    ),
                    format!(
                        "Let the sender sign as documented, or set `content = \"{content}\"` in a scheme of your own."
                    ),
                );
                return;
            }
        }
    }
}
