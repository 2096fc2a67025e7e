//! Spoils a signed delivery in one place, to see it refused.
//!
//! What it changes is what an attacker could: bytes that are sent, after they were signed. Must never sign again.

use clap::ValueEnum;
use http::{HeaderName, HeaderValue};

use super::{Composed, json_edit, time_as};
use crate::check::signature::scheme::OneOrMany;
use crate::check::signature::{Coverage, write_time};
use crate::cli::outgoing::{Sender, Trouble};

/// Shorter runs of letters and digits are no signature.
const SHORTEST_SIGNATURE: usize = 16;

/// What to spoil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tamper {
    /// One letter of the body.
    Body,
    /// The time, by one second.
    Time,
    /// One letter of the signature.
    Signature,
}

/// Spoils it. A text: why it may be accepted all the same. `plain`: the body before it was signed.
pub(super) fn tamper(
    what: Tamper,
    sender: &Sender,
    sent: &mut Composed,
    plain: &[u8],
) -> Result<Option<&'static str>, Trouble> {
    match what {
        Tamper::Body => {
            let place = sent.body.iter().rposition(u8::is_ascii_alphanumeric);
            let Some(byte) = place.and_then(|place| sent.body.get_mut(place)) else {
                return Err(Trouble::usage("--tamper body: the body has no letter to change"));
            };
            *byte = other(*byte);
            Ok(match sender.scheme.coverage() {
                Coverage::Body => None,
                Coverage::Partial => Some("this provider signs some fields of the body only"),
                Coverage::Token => Some("this provider does not sign the body"),
            })
        }
        Tamper::Time => time(sender, sent).map(|()| None),
        Tamper::Signature => signature(sender, sent, plain).map(|()| None),
    }
}

fn time(sender: &Sender, sent: &mut Composed) -> Result<(), Trouble> {
    let Some(spec) = &sender.spec.timestamp else {
        return Err(Trouble::usage(format!("--tamper time: {} signs no time", sender.name)));
    };
    let (right, wrong) =
        (write_time(sent.signed_at, spec.unit), write_time(sent.signed_at.saturating_add(1), spec.unit));
    let mut changed = false;
    if let Some(path) = &spec.json {
        let text = std::str::from_utf8(&sent.body).ok();
        if let Some(text) = text.and_then(|text| json_edit::set(text, path, &time_as(text, path, &wrong)).ok()) {
            sent.body = text.into_bytes();
            changed = true;
        }
    } else {
        let stamps = spec.header.as_ref().map(OneOrMany::all).unwrap_or_default();
        let names = stamps.iter().chain(signature_headers(sender)).map(String::as_str);
        for name in names.chain(sender.scheme.headers().map(HeaderName::as_str)) {
            let Some(value) = sent.headers.get_mut(name).filter(|_| !changed) else { continue };
            let spoiled = String::from_utf8_lossy(value.as_bytes()).replacen(&right, &wrong, 1);
            if let Ok(spoiled) = HeaderValue::try_from(spoiled) {
                changed = *value != spoiled;
                *value = spoiled;
            }
        }
    }
    if !changed && let Ok(text) = std::str::from_utf8(&sent.body) {
        let spoiled = text.replacen(&right, &wrong, 1);
        changed = spoiled != text;
        sent.body = spoiled.into_bytes();
    }
    if changed {
        Ok(())
    } else {
        Err(Trouble::usage("--tamper time: the time cannot be told from the rest of the signature"))
    }
}

fn signature(sender: &Sender, sent: &mut Composed, plain: &[u8]) -> Result<(), Trouble> {
    let name = signature_headers(sender).iter().find(|name| sent.headers.contains_key(name.as_str()));
    if let Some(value) = name.and_then(|name| sent.headers.get_mut(name)) {
        let mut bytes = value.as_bytes().to_vec();
        if spoil(&mut bytes, |_| true)
            && let Ok(spoiled) = bytes.as_slice().try_into()
        {
            *value = spoiled;
            return Ok(());
        }
    }
    // The signature is the part of the body that signing has put there.
    let is_new = |run: &[u8]| !plain.windows(run.len()).any(|window| window == run);
    if spoil(&mut sent.body, is_new) {
        return Ok(());
    }
    Err(Trouble::usage("--tamper signature: the signature cannot be told from the rest"))
}

fn signature_headers(sender: &Sender) -> &[String] {
    sender.spec.signature.as_ref().map(|signature| signature.header.all()).unwrap_or_default()
}

/// Changes a letter in the middle of the last run that is long enough to be a signature and is `wanted`.
fn spoil(bytes: &mut [u8], wanted: impl Fn(&[u8]) -> bool) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let mut end = bytes.len();
    while end > 0 {
        let before = bytes.get(..end).unwrap_or_default();
        let start = before.iter().rposition(|byte| !is_letter(byte)).map_or(0, |place| place.saturating_add(1));
        let run = before.get(start..).unwrap_or_default();
        if run.len() >= SHORTEST_SIGNATURE && wanted(run) {
            let middle = start.midpoint(end);
            let place = bytes.iter().skip(middle).position(u8::is_ascii_alphanumeric);
            if let Some(byte) = place.and_then(|place| bytes.get_mut(middle.saturating_add(place))) {
                *byte = other(*byte);
                return true;
            }
            return false;
        }
        end = start.saturating_sub(1);
    }
    false
}

/// Another letter of the same kind: a hex digit stays one.
fn other(byte: u8) -> u8 {
    match byte {
        b'1' => b'2',
        b'0' | b'2'..=b'9' => b'1',
        b'a' => b'b',
        b'b'..=b'z' => b'a',
        b'A' => b'B',
        b'B'..=b'Z' => b'A',
        byte => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoils_one_letter_in_the_middle_of_the_last_long_run() {
        for (right, wrong) in [
            ("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=", "v1,K5oZfzN95Z9UVu1EsfQmfANQhnkZ2pj9o9NDN/H/pI4="),
            ("t=1614265330,v1=00112233445566778899aabbccddeeff", "t=1614265330,v1=00112233445566771899aabbccddeeff"),
        ] {
            let mut bytes = right.as_bytes().to_vec();
            assert!(spoil(&mut bytes, |_| true));
            assert_eq!(String::from_utf8(bytes).unwrap(), wrong);
        }
        assert!(!spoil(&mut b"short".to_vec(), |_| true));
        assert!(!spoil(&mut b"0123456789abcdef0123".to_vec(), |_| false));
    }

    #[test]
    fn another_letter_is_of_the_same_kind() {
        for byte in b'0'..=b'z' {
            if byte.is_ascii_alphanumeric() {
                assert_ne!(other(byte), byte);
                assert!(other(byte).is_ascii_hexdigit() || !byte.is_ascii_hexdigit());
            }
        }
    }
}
