//! The signature headers: families that were mixed, values that were decorated, hashes and versions that differ.
//!
//! Must never print a header's value, only names of headers and of versions.

use http::HeaderMap;

use super::bench::Bench;
use super::signature_text::{self, Oddity, canonical, mac_of, separator};
use super::time::with_header;
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::{Algorithm, OneOrMany, SignatureFormat};

/// Most headers of one kind that are combined.
const MOST_SOURCES: usize = 3;
/// Most other versions that are tried.
const MOST_VERSIONS: usize = 4;
/// Longest version whose name is printed.
const LONGEST_VERSION: usize = 7;

pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    try_renamed(bench);
    try_mixed(bench);
    try_decorated(bench);
    try_versions(bench);
}

/// The names of a scheme's signature, timestamp and id headers.
fn roles(spec: &SchemeSpec) -> [Option<&OneOrMany>; 3] {
    [
        spec.signature.as_ref().map(|signature| &signature.header),
        spec.timestamp.as_ref().and_then(|time| time.header.as_ref()),
        spec.id.as_ref().and_then(|id| id.header.as_ref()).filter(|_| spec.content.contains("{id}")),
    ]
}

/// A header's name as CGI, WSGI and their like write it: `HTTP_SVIX_ID`, `svix_id`.
pub(crate) fn plain_name(name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    plain.strip_prefix("http-").map(str::to_owned).unwrap_or(plain)
}

/// Headers of one family that arrive under names with underscores.
fn try_renamed(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let Some(scheme) = bench.scheme() else { return };
    let missing: Vec<_> = scheme.headers().filter(|name| !suspect.head.headers.contains_key(*name)).cloned().collect();
    let mut headers = suspect.head.headers.clone();
    let mut renamed: Vec<String> = Vec::new();
    for (name, value) in suspect.head.headers {
        let plain = plain_name(name.as_str());
        if let Some(due) = missing.iter().find(|due| due.as_str() == plain)
            && headers.insert(due.clone(), value.clone()).is_none()
        {
            renamed.push(format!("`{name}`"));
        }
    }
    if !renamed.is_empty() && bench.head_fits(&headers, suspect.head.url) {
        bench.found(
            "headers_renamed",
            format!("The headers that are due arrive as {}, and fit: a proxy renamed headers.", renamed.join(", ")),
            "Let the proxy pass on the sender's headers under their own names, not as variables (`HTTP_…`).".to_owned(),
        );
    }
}

/// Each of the signature, timestamp and id from any family that is there, under the names of the scheme's first family.
fn try_mixed(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let own = roles(suspect.spec);
    let (true, Some(signature)) = (own.iter().flatten().count() > 1, &suspect.spec.signature) else { return };
    let is_alike = |spec: &&SchemeSpec| {
        let format = spec.signature.as_ref().map(|signature| signature.format);
        spec.content == suspect.spec.content && format == Some(signature.format)
    };
    let relatives = suspect.catalog.iter().map(|(_, spec)| *spec).filter(is_alike);
    let specs: Vec<&SchemeSpec> = std::iter::once(suspect.spec).chain(relatives).collect();
    let sources = |role: usize| -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let all = specs.iter().filter_map(|spec| roles(spec).get(role).copied().flatten()).flat_map(OneOrMany::all);
        for name in all {
            if suspect.head.headers.contains_key(name) && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.truncate(MOST_SOURCES);
        if names.is_empty() { vec![""] } else { names }
    };
    let mut plain = suspect.head.headers.clone();
    for name in own.iter().flatten().flat_map(|names| names.all()) {
        plain.remove(name);
    }
    for signature in sources(0) {
        for time in sources(1) {
            for id in sources(2) {
                let mix = [signature, time, id];
                if bench.is_over() {
                    return;
                }
                let Some(headers) = mixed(&plain, suspect.head.headers, own, mix) else { continue };
                if bench.head_fits(&headers, suspect.head.url) {
                    say_mixed(bench, &mix, specs.iter().any(|spec| is_one_family(spec, &mix)));
                    return;
                }
            }
        }
    }
}

/// Whether one sender has all of these headers.
fn is_one_family(spec: &SchemeSpec, mix: &[&str; 3]) -> bool {
    let own = roles(spec);
    let families = own.iter().flatten().map(|names| names.all().len()).max().unwrap_or_default();
    (0..families).any(|family| {
        let named = own.map(|names| names.and_then(|names| names.of_family(family)).unwrap_or_default());
        named == *mix
    })
}

fn say_mixed(bench: &mut Bench<'_, '_>, mix: &[&str; 3], is_one_family: bool) {
    let used: Vec<_> = mix.iter().filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
    let used = used.join(", ");
    if !is_one_family {
        bench.found(
            "headers_mixed",
            format!("The headers are of two families; the signature fits with {used} together."),
            "Let the sender's headers through as they are, all of one family, or correct their names in the sender."
                .to_owned(),
        );
    } else if !bench.has_found() {
        // Otherwise the sender that has this family is named already.
        bench.found(
            "headers_mixed",
            format!("The headers are all of another family; the signature fits with {used}."),
            "Configure the provider that has these headers, or correct their names in the sender.".to_owned(),
        );
    }
}

/// `None`: a header that is needed is not there, or this is what was refused in the first place.
fn mixed(plain: &HeaderMap, from: &HeaderMap, own: [Option<&OneOrMany>; 3], mix: [&str; 3]) -> Option<HeaderMap> {
    let mut headers = plain.clone();
    for (names, source) in own.into_iter().zip(mix) {
        let Some(names) = names else { continue };
        let name = http::HeaderName::try_from(names.of_family(0)?).ok()?;
        headers.insert(name, from.get(source)?.clone());
    }
    (headers != *from).then_some(headers)
}

/// The same signature as the scheme writes it, and with the hash that its length tells.
fn try_decorated(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let [Some(signatures), times, ids] = roles(suspect.spec) else { return };
    for (family, name) in signatures.all().iter().enumerate() {
        let value = suspect.head.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(found) = value.and_then(|value| canonical(suspect.spec, value)) else { continue };
        let Some(mut headers) = with_header(suspect.head.headers, name, &found.value) else { continue };
        let mut oddities = found.oddities;
        for name in [times, ids].into_iter().flatten().filter_map(|names| names.of_family(family)) {
            let value = suspect.head.headers.get(name).and_then(|value| value.to_str().ok());
            if let Some((bare, odd)) = value.and_then(signature_text::unwrapped).filter(|(_, odd)| !odd.is_empty())
                && let Some(changed) = with_header(&headers, name, &bare)
            {
                headers = changed;
                oddities.extend(odd);
            }
        }
        try_algorithm(bench, &headers, name, found.length);
        let Some((code, _)) = oddities.first().copied() else { continue };
        if bench.head_fits(&headers, suspect.head.url) {
            bench.found(
                code,
                format!("The signature in `{name}` fits, but a header is not written as the sender's: {}.", said(&oddities)),
                "Let the headers through as the sender writes them; if the sender writes them so, describe that in a scheme of \
                 your own."
                    .to_owned(),
            );
        }
    }
}

fn said(oddities: &[Oddity]) -> String {
    oddities.iter().map(|(_, said)| *said).collect::<Vec<_>>().join(", ")
}

fn try_algorithm(bench: &mut Bench<'_, '_>, headers: &HeaderMap, name: &str, length: usize) {
    let suspect = bench.suspect;
    let is_mac = matches!(suspect.spec.algorithm, Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512);
    let Some(algorithm) = mac_of(length).filter(|algorithm| is_mac && *algorithm != suspect.spec.algorithm) else {
        return;
    };
    let spec = SchemeSpec { algorithm, ..suspect.spec.clone() };
    if bench.spec_fits(&spec, headers).is_some() {
        let written = |algorithm| match algorithm {
            Algorithm::HmacSha1 => "hmac-sha1",
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::HmacSha512 => "hmac-sha512",
            Algorithm::Sha256 | Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::RsaSha256 | Algorithm::Token => {
                "another"
            }
        };
        bench.found(
            "algorithm_differs",
            format!(
                "The signature in `{name}` is made with {}, where {} is due.",
                written(algorithm),
                written(suspect.spec.algorithm)
            ),
            format!(
                "Let the sender use {}, or set `algorithm` in a scheme of your own.",
                written(suspect.spec.algorithm)
            ),
        );
    }
}

/// Entries of other versions than the one that counts.
fn try_versions(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let Some(signature) = &suspect.spec.signature else { return };
    let (Some(own), Some(separator)) = (signature.version.as_deref(), separator(signature)) else { return };
    let between = if signature.format == SignatureFormat::Pairs { '=' } else { ',' };
    let time = suspect.spec.timestamp.as_ref().and_then(|time| time.pair.as_deref());
    for name in signature.header.all() {
        let Some(value) = suspect.head.headers.get(name).and_then(|value| value.to_str().ok()) else { continue };
        let mut versions: Vec<&str> = Vec::new();
        for version in value.split(separator).filter_map(|entry| Some(entry.trim().split_once(between)?.0)) {
            let is_name = version.len() <= LONGEST_VERSION && version.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !version.is_empty() && is_name && Some(version) != time && !versions.contains(&version) {
                versions.push(version);
            }
        }
        if versions.contains(&own) || versions.is_empty() {
            continue;
        }
        versions.truncate(MOST_VERSIONS);
        let keyed = |version: &str| suspect.spec.alternative_keys.iter().find(|key| key.version == version);
        for version in versions.iter().filter(|version| keyed(version).is_none()) {
            let signature = Some(crate::check::signature::scheme::SignatureSpec {
                version: Some((*version).to_owned()),
                ..signature.clone()
            });
            let spec = SchemeSpec { signature, ..suspect.spec.clone() };
            if bench.spec_fits(&spec, suspect.head.headers).is_some() {
                bench.found(
                    "signature_version_differs",
                    format!("The secret fits the signature of version `{version}` in `{name}`; only `{own}` counts."),
                    format!("Let the sender write `{own}`, or set `signature.version` in a scheme of your own."),
                );
                return;
            }
        }
        say_versions(bench, name, own, &versions);
    }
}

/// Nothing in the header could ever count: a fact of the header, whoever signed.
fn say_versions(bench: &mut Bench<'_, '_>, name: &str, own: &str, versions: &[&str]) {
    let spec = bench.suspect.spec;
    let keys: Vec<_> = spec.alternative_keys.iter().filter(|key| versions.contains(&key.version.as_str())).collect();
    let has_key = |prefix: &str| bench.suspect.secrets.iter().any(|secret| secret.text.starts_with(prefix.as_bytes()));
    if bench.is_over() || bench.has_found() || keys.iter().any(|key| has_key(&key.prefix)) {
        return;
    }
    let listed: Vec<_> = versions.iter().map(|version| format!("`{version}`")).collect();
    let (listed, first) = (listed.join(", "), keys.first());
    let (finding, fix) = match first {
        Some(key) => (
            format!(
                "`{name}` has signatures of version {listed} only; `{}` is checked with a public key (`{}`), and none is configured.",
                key.version, key.prefix
            ),
            format!("Configure the sender's public key, or let the sender sign with the shared secret, too (`{own}`)."),
        ),
        None => (
            format!("`{name}` has signatures of version {listed} only; only `{own}` is checked."),
            format!("Let the sender sign with version `{own}`."),
        ),
    };
    bench.found("signature_version_only", finding, fix);
}
