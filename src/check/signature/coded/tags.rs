//! What the coded schemes with a shared secret have in common: signatures as written, and every key tried on them.
//!
//! Must never stop at a key that fits, nor compare in other than constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use subtle::Choice;

use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::key::{Check, Key, LabeledKey};
use crate::check::signature::mac::MacState;
use crate::check::signature::scheme::{Algorithm, OneOrMany, SchemeSpec, SignatureEncoding};
use crate::check::signature::sign::SignProblem;

/// The index of the first key that `fits`, after all were tried.
pub(super) fn first_that(keys: &[LabeledKey], fits: impl Fn(&MacState) -> Choice) -> Option<usize> {
    let mut first = None;
    for (index, labeled) in keys.iter().enumerate() {
        let fitting = match &labeled.key.check {
            Check::Mac(state) => bool::from(fits(state)),
            Check::Ed25519(_) | Check::Public(_) | Check::Text(_) => false,
        };
        first = first.or(fitting.then_some(index));
    }
    first
}

/// The key that signs.
///
/// # Errors
/// [`SignProblem::PublicKey`]: none that could.
pub(super) fn signing(key: Option<&Key>) -> Result<&MacState, SignProblem> {
    match key.map(|key| &key.check) {
        Some(Check::Mac(state)) => Ok(state),
        Some(Check::Ed25519(_) | Check::Public(_) | Check::Text(_)) | None => Err(SignProblem::PublicKey),
    }
}

/// A signature in base64 with padding, canonical, of exactly this length.
pub(super) fn base64<const LEN: usize>(text: &[u8]) -> Option<[u8; LEN]> {
    let is_as_long = text.len() == LEN.div_ceil(3).saturating_mul(4);
    is_as_long.then(|| STANDARD.decode(text).ok()?.try_into().ok())?
}

/// A signature in lower-case hex, of exactly this length.
pub(super) fn hex<const LEN: usize>(text: &[u8]) -> Option<[u8; LEN]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != LEN {
        return None;
    }
    let mut bytes = [0; LEN];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    let is_lower = !digit.is_ascii_uppercase();
    char::from(digit).to_digit(16).filter(|_| is_lower).and_then(|value| u8::try_from(value).ok())
}

/// What a scheme of this kind has to say of its algorithm.
pub(super) fn expect_algorithm(spec: &SchemeSpec, expected: Algorithm, problems: &mut Vec<SchemeProblem>) {
    if spec.algorithm != expected {
        problems.push(SchemeProblem { field: "algorithm", flaw: SchemeFlaw::NotThisAlgorithm });
    }
}

/// The one signature header, of which the code knows the encoding.
pub(super) fn signature_header(
    spec: &SchemeSpec,
    encoding: SignatureEncoding,
    problems: &mut Vec<SchemeProblem>,
) -> Option<HeaderName> {
    let Some(signature) = &spec.signature else {
        problems.push(SchemeProblem { field: "signature", flaw: SchemeFlaw::Missing });
        return None;
    };
    if signature.encoding != encoding {
        problems.push(SchemeProblem { field: "signature.encoding", flaw: SchemeFlaw::NotThisAlgorithm });
    }
    header(&signature.header, "signature.header", problems)
}

/// The one header of a field.
pub(super) fn header(names: &OneOrMany, field: &'static str, problems: &mut Vec<SchemeProblem>) -> Option<HeaderName> {
    let [name] = names.all() else {
        problems.push(SchemeProblem { field, flaw: SchemeFlaw::FamilyCount });
        return None;
    };
    let header = HeaderName::try_from(name.as_str()).ok();
    if header.is_none() {
        problems.push(SchemeProblem { field, flaw: SchemeFlaw::NotAHeader(name.as_str().into()) });
    }
    header
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_first_key_that_fits_counts_and_all_are_tried() {
        let key = |secret: &[u8]| {
            let check = Check::Mac(MacState::new(Algorithm::HmacSha256, secret).unwrap());
            LabeledKey { label: Arc::from("x"), key: Key { check, slot: 0 } }
        };
        let keys = [key(b"a"), key(b"b"), key(b"b"), key(b"c")];
        let tried = std::cell::Cell::new(0);
        let fitting = |secret: &[u8]| {
            let expected = MacState::new(Algorithm::HmacSha256, secret).unwrap().tag(|update| update(b"x"));
            first_that(&keys, |state| {
                tried.set(tried.get() + 1);
                state.tag(|update| update(b"x")).is(expected.as_bytes())
            })
        };
        assert_eq!(fitting(b"b"), Some(1));
        assert_eq!(tried.get(), 4);
        assert_eq!(fitting(b"d"), None);
    }

    #[test]
    fn reads_one_spelling_of_each_signature() {
        assert_eq!(base64::<2>(b"AQI="), Some([1, 2]));
        for text in ["AQI", "AQJ=", "AQ I=", "AQI=\n", "AQID", "AQ==", "_QI=", "", "AQI=AQI="] {
            assert_eq!(base64::<2>(text.as_bytes()), None, "{text}");
        }
        assert_eq!(base64::<2>(&vec![b'A'; 1 << 20]), None);
        assert_eq!(hex::<2>(b"01af"), Some([1, 0xaf]));
        for text in ["01aF", "01a", "01afa", "01af00", "+1af", "01ag", "", "0x1a"] {
            assert_eq!(hex::<2>(text.as_bytes()), None, "{text}");
        }
    }
}
