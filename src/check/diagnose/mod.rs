//! Why does this signature not match? Hypotheses, each tested by recomputing with it.
//!
//! Order: the time first, for a right signature ends the search; then what people get wrong most often. Must never say what
//! it has not recomputed (the one exception is `signature_version_only` of `head.rs`, which says what the header holds, and
//! nothing about who signed), nor print a secret, a signature or a query. Nothing that matches here is believed: a match
//! stays in `bench.rs`, and what leaves is text. Bounded in time by the caller and in work by `bench.rs`: 768 MACs at most,
//! and about 120 for a plain forgery at a route with one secret.

mod bench;
mod body;
mod charset;
mod content;
mod form;
mod head;
mod json;
mod lines;
mod packed;
mod provider;
mod reserialise;
mod secret;
mod signature_text;
#[cfg(test)]
mod tests;
mod time;
pub(crate) mod token;
mod url;

use super::signature::{Head, Options, SchemeSpec, Window};

use self::bench::Bench;
pub(crate) use self::head::plain_name;
pub(crate) use self::provider::rank;

/// A delivery that was refused, and all that could explain it.
#[derive(Clone, Copy)]
pub struct Suspect<'s> {
    /// The name of the provider or scheme.
    pub name: &'s str,
    /// The route whose path it was sent to. `None`: not known, or judged by another one.
    pub route: Option<&'s str>,
    /// How it signs.
    pub spec: &'s SchemeSpec,
    /// The route's options.
    pub options: &'s Options,
    /// The secrets as configured.
    pub secrets: &'s [NamedSecret<'s>],
    /// Secrets that are configured elsewhere.
    pub others: &'s [NamedSecret<'s>],
    /// The other routes.
    pub routes: &'s [OtherRoute<'s>],
    /// The catalogue: name and scheme of each provider.
    pub catalog: &'s [(&'s str, &'s SchemeSpec)],
    /// The request's head.
    pub head: Head<'s>,
    /// The body as received.
    pub body: &'s [u8],
    /// When, and how far off the time may be.
    pub window: Window,
}

/// A route that the delivery was not sent to.
#[derive(Clone, Copy)]
pub struct OtherRoute<'s> {
    /// Its name.
    pub name: &'s str,
    /// Its path as configured.
    pub path: &'s str,
    /// The name of its provider or scheme.
    pub provider: &'s str,
    /// How that one signs.
    pub spec: &'s SchemeSpec,
    /// Its options.
    pub options: &'s Options,
    /// Its secrets.
    pub secrets: &'s [NamedSecret<'s>],
}

/// A secret and what people call it: `current`, `routes.billing: current`.
#[derive(Clone, Copy)]
pub struct NamedSecret<'s> {
    /// Its label.
    pub name: &'s str,
    /// The text as configured.
    pub text: &'s [u8],
}

/// What was recomputed, and matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hypothesis {
    /// Stable and short, for logs: `body_reserialised`.
    pub code: &'static str,
    /// What happened, in one sentence.
    pub finding: String,
    /// What to do about it.
    pub fix: String,
}

/// Every code with a short title, likelier ones first.
pub const CODES: &[(&str, &str)] = &[
    ("timestamp_in_milliseconds", "the timestamp is in milliseconds, not seconds"),
    ("timestamp_in_seconds", "the timestamp is in seconds, not milliseconds"),
    ("timestamp_form", "the timestamp is a date where a number is due, or the reverse"),
    ("clock_timezone", "the time is off by a time zone"),
    ("clock_skew", "a clock is wrong"),
    ("delivery_late", "a late retry, or a replay"),
    ("timestamp_rewritten", "the timestamp was changed on the way"),
    ("secret_of_another_route", "signed with a secret that is configured elsewhere"),
    ("delivery_of_another_route", "genuine, but sent to another route"),
    ("other_provider", "signed the way another provider signs"),
    ("secret_quoted", "the secret was configured with quotes"),
    ("secret_newline", "the secret was configured with a line break"),
    ("secret_space", "the secret was configured with white space"),
    ("secret_has_auth_scheme", "the secret was configured with `Bearer` or its like"),
    ("secret_has_variable_name", "the secret was configured with its variable's name"),
    ("secret_prefix_twice", "the secret has its prefix twice"),
    ("secret_prefix_missing", "the secret lacks its prefix"),
    ("secret_prefix_superfluous", "the sender's key has no prefix"),
    ("secret_prefix_kept", "the sender's key includes the prefix"),
    ("secret_used_raw", "the sender does not decode the secret"),
    ("secret_used_base64", "the sender decodes the secret from base64"),
    ("secret_used_hex", "the sender decodes the secret from hex"),
    ("secret_base64url", "the secret is in the URL-safe base64 alphabet"),
    ("secret_url_encoded", "the secret is percent-encoded"),
    ("secret_plus_lost", "a plus in the secret became a space"),
    ("secret_padding", "the secret's `=` at the end were cut or added"),
    ("secret_newline_missing", "the sender's secret ends with a line break"),
    ("secret_is_list", "several secrets in one"),
    ("token_issuer", "a genuine token of another issuer"),
    ("token_claim_missing", "a genuine token that lacks a claim"),
    ("url_differs", "the sender signed another URL"),
    ("body_newline_lost", "the body lost its final line break"),
    ("body_newline_gained", "the body gained a final line break"),
    ("body_line_endings", "the body's line endings were changed"),
    ("body_bom_lost", "the body lost its byte order mark"),
    ("body_bom_gained", "the body gained a byte order mark"),
    ("body_space_gained", "white space was added around the body"),
    ("body_reserialised", "the JSON was parsed and written anew"),
    ("body_keys_sorted", "the JSON's keys were put in another order"),
    ("body_unicode_escapes", "letters were turned into \\u escapes, or back"),
    ("body_slash_escapes", "slashes were escaped, or unescaped"),
    ("headers_renamed", "a proxy wrote header names in another way"),
    ("headers_mixed", "headers of two families"),
    ("header_quoted", "a signature header is in quotes or spaces"),
    ("header_url_encoded", "a signature header is percent-encoded"),
    ("header_spaces", "spaces or commas between the signatures"),
    ("header_version_missing", "the signature lacks its version"),
    ("header_prefix_missing", "the signature lacks its prefix"),
    ("header_prefix_twice", "the signature has its prefix twice"),
    ("header_prefix_other", "the signature has another prefix"),
    ("signature_hex_case", "the signature is in upper-case hex"),
    ("signature_is_hex", "the signature is in hex, not base64"),
    ("signature_is_base64", "the signature is in base64, not hex"),
    ("signature_is_base64url", "the signature is in the URL-safe base64 alphabet"),
    ("signature_padding_lost", "the signature lost its base64 padding"),
    ("signature_hex_in_base64", "the signature is base64 of hex"),
    ("algorithm_differs", "signed with another hash"),
    ("signature_version_differs", "signed under another version"),
    ("signature_version_only", "only versions that are not checked"),
    ("content_differs", "the sender signs other parts, or with other delimiters"),
    ("body_appended", "bytes were added after the body"),
    ("body_truncated", "the body's end is missing"),
    ("body_chunked", "the body still has its chunk sizes"),
    ("body_form_decoded", "a form was decoded"),
    ("body_form_encoded", "JSON was put into a form"),
    ("body_form_rewritten", "the form was parsed and written anew"),
    ("body_compressed", "the body was compressed after signing"),
    ("body_decompressed", "the body was decompressed"),
    ("body_charset", "the body's character set was changed"),
    ("body_stringified", "the JSON was wrapped in a JSON string, or unwrapped"),
    ("body_base64", "the body was put into base64, or taken out of it"),
    ("body_was_empty", "the sender signed an empty body"),
    ("body_placeholder", "the sender signed a placeholder, not the body"),
    ("token_body_differs", "a genuine token over another body"),
    ("secret_and_body", "another route's secret, and JSON that was written anew"),
];

/// Tests hypotheses, likelier ones first, as long as `may_go_on` says so: it is asked before every recomputation, which is a
/// pass over a body with each of the keys that it names.
///
/// Returns at most three. Empty: nothing that was tried explains it, or the delivery is genuine as it is.
pub fn diagnose(suspect: &Suspect<'_>, may_go_on: &mut dyn FnMut() -> bool) -> Vec<Hypothesis> {
    let mut bench = Bench::new(suspect, may_go_on);
    if time::explains(&mut bench) {
        return bench.into_found();
    }
    secret::try_others(&mut bench);
    if provider::is_of_another_route(&mut bench) {
        return bench.into_found();
    }
    provider::try_all(&mut bench);
    secret::try_all(&mut bench);
    url::try_all(&mut bench);
    token::try_claims(&mut bench);
    body::try_cheap(&mut bench);
    reserialise::try_all(&mut bench);
    head::try_all(&mut bench);
    time::try_rewritten(&mut bench);
    content::try_all(&mut bench);
    body::try_rest(&mut bench);
    reserialise::try_with_others(&mut bench);
    token::try_body(&mut bench);
    bench.into_found()
}
