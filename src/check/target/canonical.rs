//! The texts that a path may turn into before some reader compares it with a route.
//!
//! Nothing made here is ever forwarded: these are guesses at what others do, only compared. Wherever readers differ, a
//! guess may decode, fold or drop too much, since a route's own path has nothing to decode, fold or drop.
//! Sources: RFC 3986 §2.1; Unicode 16 §3.9 (overlong UTF-8) and `CaseFolding.txt`; `%uXXXX` from ECMA-262 Annex B
//! `unescape`; path parameters from RFC 3986 §3.3.

use memchr::{memchr, memmem};

use super::TargetFault;

/// Rounds of decoding that may still change something. Real traffic needs one, a URL inside a path two.
const ROUNDS: usize = 4;

/// Calls `judge` with `text` as received and after every round of decoding, until nothing changes any more.
///
/// Both kinds of decoders are followed on their own: what a lenient one makes of one part of a path must not hide what a
/// standard one reads in another.
///
/// # Errors
/// The first error of `judge`, or [`TargetFault::UnstableEncoding`].
pub(super) fn each_round(
    text: &[u8],
    mut judge: impl FnMut(&[u8]) -> Result<(), TargetFault>,
) -> Result<(), TargetFault> {
    let mut readers_differ = false;
    rounds(text, Decoder::Standard, |text| {
        readers_differ = readers_differ || is_read_leniently(text);
        judge(text)
    })?;
    if readers_differ { rounds(text, Decoder::Lenient, judge) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    /// `%XX` alone.
    Standard,
    /// Also `%uXXXX`, and folds what remains.
    Lenient,
}

fn rounds(
    text: &[u8],
    decoder: Decoder,
    mut judge: impl FnMut(&[u8]) -> Result<(), TargetFault>,
) -> Result<(), TargetFault> {
    judge(text)?;
    let mut next = decode(text, decoder);
    for _ in 0..ROUNDS {
        let Some(text) = next else { return Ok(()) };
        judge(&text)?;
        next = decode(&text, decoder);
    }
    if next.is_none() { Ok(()) } else { Err(TargetFault::UnstableEncoding) }
}

/// Whether a lenient decoder would see more in `text` than a standard one.
fn is_read_leniently(text: &[u8]) -> bool {
    let has_wide_escape = memmem::find(text, b"%u").is_some() || memmem::find(text, b"%U").is_some();
    has_wide_escape || (!text.iter().all(u8::is_ascii_graphic) && fold(text).len() < text.len())
}

/// Calls `read` with the canonical form of `text`, and once more as a sloppy reader sees it: without path parameters and
/// without anything that is not a printable ASCII character.
pub(super) fn each_form(text: &[u8], mut read: impl FnMut(&[u8])) {
    read(&join(text, Reader::Careful));
    if text.iter().any(|byte| *byte == b';' || !byte.is_ascii_graphic()) {
        read(&join(text, Reader::Sloppy));
    }
}

/// Whether a segment is `.` or `..`, by its [`name`].
pub(super) fn has_dot_segment(text: &[u8]) -> bool {
    text.split(|byte| is_separator(*byte)).any(|segment| matches!(name(segment), b"." | b".."))
}

/// A segment without what a reader may cut off (`..;x` in servlet containers, `..?x` where it was encoded).
pub(super) fn name(segment: &[u8]) -> &[u8] {
    segment.split(|byte| matches!(byte, b';' | b'?' | b'#' | 0)).next().unwrap_or(segment)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Careful,
    Sloppy,
}

/// `/a/b`: lower case, without `@@` in front of a segment, `\` for `/`, no empty segment, no trailing slash; `""` for the root.
fn join(text: &[u8], reader: Reader) -> Vec<u8> {
    let sloppy = reader == Reader::Sloppy;
    let mut joined = Vec::with_capacity(text.len().saturating_add(1));
    let (mut segment_starts, mut in_parameters) = (true, false);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            // The name of a view behind its object (Pyramid, Zope), for which the path has no other word.
            b'@' if segment_starts && after.first() == Some(&b'@') => rest = after.get(1..).unwrap_or_default(),
            b'/' | b'\\' => (segment_starts, in_parameters) = (true, false),
            b';' if sloppy => in_parameters = true,
            // The query begins behind the parameters; it is kept for the comparison, which stops there.
            b'?' | b'#' => {
                in_parameters = false;
                push(&mut joined, &mut segment_starts, *byte);
            }
            _ if in_parameters || (sloppy && !byte.is_ascii_graphic()) => (),
            _ => push(&mut joined, &mut segment_starts, byte.to_ascii_lowercase()),
        }
    }
    joined
}

fn push(joined: &mut Vec<u8>, segment_starts: &mut bool, byte: u8) {
    if std::mem::take(segment_starts) {
        joined.push(b'/');
    }
    joined.push(byte);
}

/// One round. `None` when nothing changed; a change always shortens, so repeating it ends.
fn decode(text: &[u8], decoder: Decoder) -> Option<Vec<u8>> {
    if decoder == Decoder::Standard && memchr(b'%', text).is_none() {
        return None;
    }
    let mut next = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = memchr(b'%', rest) {
        let (before, escaped) = rest.split_at_checked(escape)?;
        next.extend_from_slice(before);
        rest = match escaped {
            [_, high, low, after @ ..] if let Some(byte) = hex(&[*high, *low]) => {
                next.extend(u8::try_from(byte));
                after
            }
            [_, b'u' | b'U', a, b, c, d, after @ ..]
                if decoder == Decoder::Lenient
                    && let Some(character) = hex(&[*a, *b, *c, *d]).and_then(char::from_u32) =>
            {
                next.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            [percent, after @ ..] => {
                next.push(*percent);
                after
            }
            [] => break,
        };
    }
    next.extend_from_slice(rest);
    if decoder == Decoder::Lenient {
        next = fold(&next);
    }
    (next.len() < text.len()).then_some(next)
}

/// The value of two to four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(digit)
    })
}

/// Replaces look-alikes by the ASCII character that some reader takes them for, and drops spaces and control characters,
/// which URL parsers trim or strip. NUL stays: the comparison stops there, as a C string does.
fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after_first @ ..] = rest {
        let (byte, after) = ascii_twin(rest).unwrap_or((*first, after_first));
        if byte == 0 || !(byte == b' ' || byte.is_ascii_control()) {
            folded.push(byte);
        }
        rest = after;
    }
    folded
}

/// The ASCII character that the start of `text` is another spelling of, and what follows it.
fn ascii_twin(text: &[u8]) -> Option<(u8, &[u8])> {
    let low_bits = |lead: u8, trail: u8| (lead & 1).wrapping_mul(0x40) | (trail & 0x3F);
    match text {
        // Overlong UTF-8: `%c0%af` is a `/` for a decoder that does not check.
        [lead @ 0xC0..=0xC1, trail @ 0x80..=0xBF, after @ ..]
        | [0xE0, lead @ 0x80..=0x81, trail @ 0x80..=0xBF, after @ ..]
        | [0xF0, 0x80, lead @ 0x80..=0x81, trail @ 0x80..=0xBF, after @ ..] => Some((low_bits(*lead, *trail), after)),
        // Letters whose lower or upper case is ASCII: the Kelvin sign, long s, dotted and dotless i.
        [0xE2, 0x84, 0xAA, after @ ..] => Some((b'k', after)),
        [0xC5, 0xBF, after @ ..] => Some((b's', after)),
        [0xC4, 0xB0..=0xB1, after @ ..] => Some((b'i', after)),
        // Full-width forms, U+FF01 to U+FF5E, which compatibility normalisation turns into ASCII.
        [0xEF, 0xBC, byte @ 0x81..=0xBF, after @ ..] => Some((byte.wrapping_sub(0x60), after)),
        [0xEF, 0xBD, byte @ 0x80..=0x9E, after @ ..] => Some((byte.wrapping_sub(0x20), after)),
        _ => None,
    }
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// The careful form after the last round.
#[cfg(test)]
pub(super) fn canonical(path: &[u8]) -> Result<Vec<u8>, TargetFault> {
    let mut last = Vec::new();
    rounds(path, Decoder::Lenient, |text| {
        last = text.to_vec();
        Ok(())
    })?;
    Ok(join(&last, Reader::Careful))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &[u8]) -> Vec<String> {
        let mut forms = Vec::new();
        each_form(text, |form| forms.push(String::from_utf8_lossy(form).into_owned()));
        forms
    }

    #[test]
    fn reduces_every_spelling_to_one() {
        for (path, expected) in [
            ("/", ""),
            ("///", ""),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b"),
            ("/A/B", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/a%2Fb", "/a/b"),
            ("/a%5cb", "/a/b"),
            ("/%61/%62", "/a/b"),
            ("/%2561/b", "/a/b"),
            ("/%252561/b", "/a/b"),
            ("/%25252561/b", "/a/b"),
            ("/%u0061/%U0062", "/a/b"),
            ("/a%u002fb", "/a/b"),
            ("/a%c0%afb", "/a/b"),
            ("/a%c1%9cb", "/a/b"),
            ("/%c1%a1/b", "/a/b"),
            ("/a%e0%80%afb", "/a/b"),
            ("/a%f0%80%80%afb", "/a/b"),
            ("/%f0%80%81%a1/b", "/a/b"),
            ("/a%ef%bc%8fb", "/a/b"),
            ("/%EF%BD%81/%EF%BC%A2", "/a/b"),
            ("/%uFF41/b", "/a/b"),
            ("/%ef%bc%8561/b", "/a/b"),
            ("/%e2%84%aa/%c5%bf/%c4%b0/%c4%b1", "/k/s/i/i"),
            ("/a%20/b%09%0d%0a%7f", "/a/b"),
            ("/%%0961/b", "/a/b"),
            ("/%c1%01%a1/b", "/a/b"),
            ("/a%00/b", "/a\0/b"),
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%zz%u00zz", "/%zz%u00zz"),
            ("/caf%C3%A9", "/caf\u{e9}"),
        ] {
            let found = canonical(path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn takes_four_rounds_of_decoding_and_no_fifth() {
        assert_eq!(canonical(b"/%25252561"), Ok(b"/a".to_vec()));
        assert_eq!(canonical(b"/%2525252561"), Err(TargetFault::UnstableEncoding));
    }

    #[test]
    fn is_stable_when_repeated_on_whatever_bytes() {
        let alphabet = b"%%25u002fF/\\.;?#\0 \tAaz\xC0\xAF\xEF\xBC\x85\xE2\x84\xAA\xC1\xE0\x80\x81\xF0";
        let mut state = 1_u64;
        for _ in 0..200_000 {
            let mut path = vec![b'/'];
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                path.push(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]);
            }
            if let Ok(once) = canonical(&path) {
                assert_eq!(canonical(&once), Ok(once.clone()), "{path:?}");
            }
        }
    }

    #[test]
    fn shows_every_round_to_the_judge() {
        let mut seen = Vec::new();
        let outcome = each_round(b"/a%252fb", |text| {
            seen.push(String::from_utf8(text.to_vec()).unwrap());
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(seen, ["/a%252fb", "/a%2fb", "/a/b"]);
    }

    #[test]
    fn follows_a_lenient_decoder_only_where_it_reads_something_else_and_then_on_its_own() {
        let rounds = |text: &[u8]| {
            let mut seen = Vec::new();
            let outcome = each_round(text, |text| {
                seen.push(String::from_utf8_lossy(text).into_owned());
                Ok(())
            });
            assert_eq!(outcome, Ok(()));
            seen
        };
        assert_eq!(rounds(b"/caf%C3%A9"), ["/caf%C3%A9", "/caf\u{e9}"]);
        assert_eq!(rounds(b"/%u0061"), ["/%u0061", "/%u0061", "/a"]);
        assert_eq!(rounds(b"/%61%20"), ["/%61%20", "/a ", "/%61%20", "/a"]);
        assert_eq!(
            rounds(b"/x%e2%84%aa/%2561"),
            ["/x%e2%84%aa/%2561", "/x\u{212a}/%61", "/x\u{212a}/a", "/x%e2%84%aa/%2561", "/xk/%61", "/xk/a"]
        );
    }

    #[test]
    fn a_sloppy_reader_drops_parameters_and_what_is_not_printable_ascii() {
        assert_eq!(forms(b"/a/b"), ["/a/b"]);
        assert_eq!(forms(b"/a;x=1/b;y"), ["/a;x=1/b;y", "/a/b"]);
        assert_eq!(forms(b"/a;x?y/b"), ["/a;x?y/b", "/a?y/b"]);
        assert_eq!(forms("/a\u{feff}/b\u{a0}".as_bytes()), ["/a\u{feff}/b\u{a0}", "/a/b"]);
        assert_eq!(forms(b"/a\0/;x/b"), ["/a\0/;x/b", "/a/b"]);
    }

    #[test]
    fn sees_dot_segments_and_nothing_else() {
        for text in ["/.", "/..", "/a/..", "/a/../b", "/a\\..\\b", "..", "/..;x/b", "/.;/b", "/..?x", "/a/.#", "/..\0"]
        {
            assert!(has_dot_segment(text.as_bytes()), "{text}");
        }
        for text in ["/", "/...", "/.a", "/..a", "/a..", "/a./b", "/a;../b", "/a?..", "/?/a", ""] {
            assert!(!has_dot_segment(text.as_bytes()), "{text}");
        }
    }
}
