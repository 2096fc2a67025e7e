//! The secret: another one, copied with too much or too little, or made a key in another way.
//!
//! Must never let a part of a secret into a finding: only names, and prefixes that the catalogue publishes.

use zeroize::Zeroizing;

use super::NamedSecret;
use super::bench::{Bench, compile};
use super::form::percent_decoded;
use super::signature_text::is_public;
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::{KeyEncoding, KeySpec};

/// Most secrets of one list that are tried.
const MOST_OF_A_LIST: usize = 8;

/// Another text for the configured one.
struct Variant {
    code: &'static str,
    /// Goes on after "The secret `name` ".
    finding: String,
    fix: &'static str,
    text: Zeroizing<Vec<u8>>,
}

impl Variant {
    fn new(code: &'static str, finding: impl Into<String>, fix: &'static str, text: &[u8]) -> Self {
        Self { code, finding: finding.into(), fix, text: Zeroizing::new(text.to_vec()) }
    }
}

/// Secrets of other routes, as they are.
pub(super) fn try_others(bench: &mut Bench<'_, '_>) {
    for other in bench.suspect.others {
        if bench.is_over() {
            return;
        }
        if bench.own_secret_fits(other.text) {
            bench.found(
                "secret_of_another_route",
                format!("The delivery is signed with the secret `{}`, which is configured elsewhere.", other.name),
                "Send it to the route that has this secret, or configure the secret of this endpoint here.".to_owned(),
            );
            return;
        }
    }
}

/// Every variant of the configured secrets.
pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    for secret in bench.suspect.secrets {
        if bench.is_over() {
            return;
        }
        // What else would fit then says the same in other words.
        if !try_variants(bench, secret) {
            try_encodings(bench, secret);
        }
    }
}

/// Whether one of the secret's variants fits.
fn try_variants(bench: &mut Bench<'_, '_>, secret: &NamedSecret<'_>) -> bool {
    let variants = variants(bench.suspect.spec, secret.text);
    for (index, variant) in variants.iter().enumerate() {
        if bench.is_over() {
            return false;
        }
        let is_new =
            *variant.text != *secret.text && variants.iter().take(index).all(|earlier| *earlier.text != *variant.text);
        if is_new && bench.own_secret_fits(&variant.text) {
            let finding = format!("The secret `{}` {}.", secret.name, variant.finding);
            bench.found(variant.code, finding, variant.fix.to_owned());
            return true;
        }
    }
    false
}

fn variants(spec: &SchemeSpec, text: &[u8]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let (oddities, bare) = unwrapped(text);
    if let Some((code, _)) = oddities.first() {
        let said: Vec<_> = oddities.iter().map(|(_, said)| *said).collect();
        let fix = "Configure the secret alone, without what surrounds it.";
        variants.push(Variant::new(
            code,
            format!("fits once it is taken out of what surrounds it: {}", said.join(", ")),
            fix,
            bare,
        ));
    }
    if let Some(rest) = without_auth_scheme(bare) {
        let fix = "Configure what stands after it: the word belongs to an Authorization header.";
        variants.push(Variant::new(
            "secret_has_auth_scheme",
            "begins with `Bearer`, or another word of an Authorization header",
            fix,
            unwrapped(rest).1,
        ));
    }
    let name_ends = bare.iter().position(|byte| !(byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_'));
    if let Some((name, [b'=', value @ ..])) = name_ends.and_then(|at| bare.split_at_checked(at))
        && !name.is_empty()
    {
        let fix = "Configure what stands after the `=`.";
        variants.push(Variant::new(
            "secret_has_variable_name",
            "begins with the name of a variable",
            fix,
            unwrapped(value).1,
        ));
    }
    variants.extend(prefix_variants(spec, bare));
    if let Some(decoded) = percent_decoded(bare).filter(|decoded| decoded != bare) {
        let fix = "Configure the secret decoded: `%2B` is `+`, `%2F` is `/`, `%3D` is `=`.";
        variants.push(Variant::new("secret_url_encoded", "fits once it is percent-decoded", fix, &decoded));
    }
    if bare.contains(&b' ') {
        let plus: Vec<u8> = bare.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
        let fix = "Copy the secret again: a form or URL decoder turned its `+` into spaces.";
        variants.push(Variant::new("secret_plus_lost", "fits once its spaces are `+` again", fix, &plus));
    }
    if spec.key.encoding == KeyEncoding::Base64 {
        let prefix = spec
            .key
            .prefixes
            .iter()
            .map(String::as_bytes)
            .filter(|prefix| bare.starts_with(prefix))
            .max_by_key(|prefix| prefix.len());
        let (prefix, rest) = bare.split_at_checked(prefix.map_or(0, <[u8]>::len)).unwrap_or_default();
        if rest.iter().any(|byte| matches!(byte, b'-' | b'_')) {
            let standard = rest.iter().map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            });
            let text: Vec<u8> = prefix.iter().copied().chain(standard).collect();
            let fix = "Write `+` for `-` and `/` for `_` in the secret: the standard alphabet is due here.";
            variants.push(Variant::new(
                "secret_base64url",
                "fits once it is read in the URL-safe base64 alphabet",
                fix,
                &text,
            ));
        }
    }
    if spec.key.encoding == KeyEncoding::Utf8 {
        variants.extend(raw_variants(bare));
    }
    let parts = bare.split(|byte| matches!(byte, b',' | b';' | b'|' | b' ' | b'\n')).filter(|part| part.len() > 7);
    for part in parts.take(MOST_OF_A_LIST).map(|part| unwrapped(part).1).filter(|part| *part != bare) {
        let fix = "Configure each secret as an entry of its own.";
        variants.push(Variant::new("secret_is_list", "is a list, one entry of which fits", fix, part));
    }
    variants
}

/// What only matters where the text itself is the key.
fn raw_variants(bare: &[u8]) -> Vec<Variant> {
    let mut variants = Vec::new();
    for end in ["\n", "\r\n"] {
        let fix = "Remove the line break from the sender's secret (`printf` or `echo -n` write none).";
        let text = [bare, end.as_bytes()].concat();
        variants.push(Variant::new(
            "secret_newline_missing",
            "fits with a line break at its end: the sender has it there",
            fix,
            &text,
        ));
    }
    let fix = "Copy the secret again, with the `=` at its end just as the sender has them.";
    let unpadded = bare.trim_ascii_end().strip_suffix(b"=").map(|rest| rest.strip_suffix(b"=").unwrap_or(rest));
    if let Some(unpadded) = unpadded {
        variants.push(Variant::new("secret_padding", "fits without the `=` at its end", fix, unpadded));
    } else {
        for padding in ["=", "=="] {
            let text = [bare, padding.as_bytes()].concat();
            if text.len().is_multiple_of(4) {
                variants.push(Variant::new("secret_padding", "fits with the `=` that base64 ends with", fix, &text));
            }
        }
    }
    variants
}

fn prefix_variants(spec: &SchemeSpec, bare: &[u8]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let alternatives = spec.alternative_keys.iter().map(|key| &key.prefix);
    let prefixes: Vec<&String> = spec.key.prefixes.iter().chain(alternatives).collect();
    for prefix in &prefixes {
        if let Some(rest) = bare.strip_prefix(prefix.as_bytes())
            && prefixes.iter().any(|prefix| rest.starts_with(prefix.as_bytes()))
        {
            let fix = "Configure the secret with its prefix once.";
            variants.push(Variant::new(
                "secret_prefix_twice",
                format!("has a prefix before its prefix: `{prefix}`"),
                fix,
                rest,
            ));
        }
    }
    if !prefixes.iter().any(|prefix| bare.starts_with(prefix.as_bytes())) {
        for prefix in &spec.key.prefixes {
            let fix = "Copy the secret as the sender shows it, with its prefix.";
            let text = [prefix.as_bytes(), bare].concat();
            variants.push(Variant::new(
                "secret_prefix_missing",
                format!("fits with the prefix `{prefix}`, which it lacks"),
                fix,
                &text,
            ));
        }
    }
    variants
}

/// What follows a word such as `Bearer ` (RFC 9110 §11.1).
fn without_auth_scheme(text: &[u8]) -> Option<&[u8]> {
    ["bearer ", "basic ", "token "].iter().find_map(|word| {
        let (start, rest) = text.split_at_checked(word.len())?;
        start.eq_ignore_ascii_case(word.as_bytes()).then_some(rest)
    })
}

type Oddity = (&'static str, &'static str);

/// The secret without quotes, line breaks and white space around it, and what there was.
fn unwrapped(text: &[u8]) -> (Vec<Oddity>, &[u8]) {
    const QUOTES: Oddity = ("secret_quoted", "quotes");
    const BREAK: Oddity = ("secret_newline", "a line break");
    const SPACE: Oddity = ("secret_space", "white space");
    const AFTER: &[(&str, Oddity)] = &[
        ("\n", BREAK),
        ("\r", BREAK),
        ("\\n", BREAK),
        ("\\r", BREAK),
        (" ", SPACE),
        ("\t", SPACE),
        ("\u{a0}", SPACE),
        ("\u{200b}", SPACE),
        ("\u{feff}", SPACE),
    ];
    let mut oddities: Vec<Oddity> = Vec::new();
    let mut rest = text;
    loop {
        let after = AFTER.iter().find_map(|(end, oddity)| Some((rest.strip_suffix(end.as_bytes())?, *oddity)));
        let before = || {
            let plain = AFTER.iter().filter(|(start, _)| !start.starts_with('\\'));
            plain.into_iter().find_map(|(start, oddity)| Some((rest.strip_prefix(start.as_bytes())?, *oddity)))
        };
        let quotes = || {
            let inner = |quote: &[u8]| rest.strip_prefix(quote)?.strip_suffix(quote);
            inner(b"\"").or_else(|| inner(b"'")).or_else(|| inner(b"`")).map(|inner| (inner, QUOTES))
        };
        let Some((less, oddity)) = after.or_else(before).or_else(quotes) else { return (oddities, rest) };
        rest = less;
        if !oddities.contains(&oddity) {
            oddities.push(oddity);
        }
    }
}

/// The same text, made a key in another way.
fn try_encodings(bench: &mut Bench<'_, '_>, secret: &NamedSecret<'_>) {
    let suspect = bench.suspect;
    let (spec, key) = (suspect.spec, &suspect.spec.key);
    if is_public(spec.algorithm) || key.encoding == KeyEncoding::Spki {
        return;
    }
    let bare = unwrapped(secret.text).1;
    let known = suspect.catalog.iter().flat_map(|(_, spec)| &spec.key.prefixes).chain(&key.prefixes);
    let prefix = known.filter(|prefix| bare.starts_with(prefix.as_bytes())).max_by_key(|prefix| prefix.len());
    let is_own_prefix = prefix.is_some_and(|prefix| key.prefixes.contains(prefix));
    let keeps = !is_own_prefix || key.keep_prefix;
    let own = if is_own_prefix { key.encoding } else { key.unprefixed.unwrap_or(key.encoding) };
    for (encoding, keep_prefix) in [KeyEncoding::Utf8, KeyEncoding::Base64, KeyEncoding::Hex]
        .into_iter()
        .flat_map(|encoding| [(encoding, true), (encoding, false)])
    {
        let is_own = encoding == own && keep_prefix == keeps;
        if bench.is_over() || is_own || (prefix.is_none() && !keep_prefix) {
            continue;
        }
        let keyed = KeySpec {
            encoding,
            prefixes: prefix.iter().map(|prefix| (*prefix).clone()).collect(),
            keep_prefix: keep_prefix && prefix.is_some(),
            prefix_required: false,
            unprefixed: None,
            ..key.clone()
        };
        let changed = SchemeSpec { key: keyed, alternative_keys: Vec::new(), ..spec.clone() };
        let Some(scheme) = compile(suspect, &changed) else { continue };
        if !bench.secret_fits(&scheme, bare) {
            continue;
        }
        let prefix = match (prefix, keep_prefix) {
            (None, _) => String::new(),
            (Some(prefix), true) => format!(", together with `{prefix}`"),
            (Some(prefix), false) => format!(", without `{prefix}`"),
        };
        let (code, how) = match encoding {
            _ if encoding == own && keep_prefix => ("secret_prefix_kept", "text with its prefix"),
            _ if encoding == own => ("secret_prefix_superfluous", "text without its prefix"),
            KeyEncoding::Utf8 | KeyEncoding::Utf8Nfkd => ("secret_used_raw", "text itself, not decoded"),
            KeyEncoding::Base64 | KeyEncoding::Spki => ("secret_used_base64", "text, decoded from base64"),
            KeyEncoding::Hex => ("secret_used_hex", "text, decoded from hex"),
        };
        bench.found(
            code,
            format!("The sender's key is the secret `{}` in another form: its {how}{prefix}.", secret.name),
            "Set `key` in a scheme of your own to what the sender does, or correct the sender.".to_owned(),
        );
    }
}
