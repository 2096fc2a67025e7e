//! A body in another character set: UTF-8 taken for Latin-1 or Windows-1252, and the reverse.
//!
//! Only makes candidates. Source: WHATWG Encoding standard, index windows-1252.

use bytes::Bytes;

/// What Windows-1252 has at 0x80 to 0x9f; where it has nothing, the control character of Latin-1.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

pub(super) fn changed(body: &Bytes) -> Vec<Vec<Bytes>> {
    if body.is_ascii() {
        return Vec::new();
    }
    let mut bodies = Vec::new();
    if let Ok(text) = std::str::from_utf8(body) {
        let latin: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
        let windows: Option<Vec<u8>> = text.chars().map(windows_byte).collect();
        bodies.extend([latin, windows]);
    }
    let latin: String = body.iter().map(|byte| char::from(*byte)).collect();
    let windows: String = body.iter().map(|byte| windows_letter(*byte)).collect();
    bodies.extend([Some(latin.into_bytes()), Some(windows.into_bytes())]);
    bodies.into_iter().flatten().map(|body| vec![body.into()]).collect()
}

fn windows_byte(letter: char) -> Option<u8> {
    match HIGH.iter().zip(0x80_u8..).find(|(high, _)| **high == letter) {
        Some((_, byte)) => Some(byte),
        None => u8::try_from(letter).ok().filter(|byte| !(0x80..0xa0).contains(byte)),
    }
}

fn windows_letter(byte: u8) -> char {
    let high = byte.checked_sub(0x80).and_then(|index| HIGH.get(usize::from(index)));
    high.copied().unwrap_or(char::from(byte))
}
