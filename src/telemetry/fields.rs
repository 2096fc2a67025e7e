//! One line of named fields, as JSON or as `name=value`, appended to a buffer without further allocation.
//!
//! A line is written for every request, so this does not go through a serializer. Must never write an unescaped byte of a
//! value: values come from the network.

use std::cell::Cell;

use crate::civil::Civil;
use crate::hex::Hex;
use crate::plan::LogFormat;

/// A field's name, written out once for each format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) json: &'static [u8],
    pub(super) text: &'static [u8],
}

/// `key!("status")`
macro_rules! key {
    ($name:literal) => {
        $crate::telemetry::fields::Key {
            json: concat!(",\"", $name, "\":").as_bytes(),
            text: concat!(" ", $name, "=").as_bytes(),
        }
    };
}
pub(super) use key;

/// A line under construction.
#[derive(Debug)]
pub(super) struct Fields<'l> {
    line: &'l mut Vec<u8>,
    format: LogFormat,
    first: bool,
}

impl<'l> Fields<'l> {
    /// Appends one whole line, with its end.
    pub(super) fn line(line: &'l mut Vec<u8>, format: LogFormat, write: impl FnOnce(&mut Fields<'_>)) {
        if format == LogFormat::Json {
            line.push(b'{');
        }
        let mut fields = Fields { line, format, first: true };
        write(&mut fields);
        let line = fields.line;
        match format {
            LogFormat::Json => line.extend_from_slice(b"}\n"),
            LogFormat::Text => line.push(b'\n'),
        }
    }

    /// A text, escaped.
    #[inline]
    pub(super) fn text(&mut self, key: Key, value: &str) {
        self.key(key);
        if self.format == LogFormat::Text
            && !value.is_empty()
            && value.bytes().all(|byte| is_plain(byte) && byte != b' ' && byte != b'=')
        {
            self.line.extend_from_slice(value.as_bytes());
            return;
        }
        self.line.push(b'"');
        let mut rest = value.as_bytes();
        if are_plain(rest) {
            self.line.extend_from_slice(rest);
            self.line.push(b'"');
            return;
        }
        while let Some(odd) = rest.iter().position(|byte| !is_plain(*byte)) {
            let (plain, tail) = rest.split_at_checked(odd).unwrap_or((rest, &[]));
            self.line.extend_from_slice(plain);
            let Some((byte, tail)) = tail.split_first() else { break };
            self.escaped(*byte);
            rest = tail;
        }
        self.line.extend_from_slice(rest);
        self.line.push(b'"');
    }

    fn escaped(&mut self, byte: u8) {
        if byte == b'"' || byte == b'\\' {
            self.line.extend_from_slice(&[b'\\', byte]);
        } else {
            let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0');
            self.line.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
    }

    /// Bytes, as digits.
    pub(super) fn hex(&mut self, key: Key, bytes: &[u8]) {
        self.key(key);
        let quote: &[u8] = if self.format == LogFormat::Json { b"\"" } else { b"" };
        self.line.extend_from_slice(quote);
        Hex(bytes).append_to(self.line);
        self.line.extend_from_slice(quote);
    }

    /// A number, or a word of the format.
    pub(super) fn raw(&mut self, key: Key, value: &[u8]) {
        self.key(key);
        self.line.extend_from_slice(value);
    }

    pub(super) fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        digits(self.line, value, 1);
    }

    pub(super) fn signed(&mut self, key: Key, value: i64) {
        self.key(key);
        if value < 0 {
            self.line.push(b'-');
        }
        digits(self.line, value.unsigned_abs(), 1);
    }

    /// Milliseconds since 1970, as RFC 3339 in UTC.
    pub(super) fn time(&mut self, key: Key, millis: u64) {
        self.key(key);
        let quote: &[u8] = if self.format == LogFormat::Json { b"\"" } else { b"" };
        self.line.extend_from_slice(quote);
        self.line.extend_from_slice(&second(millis));
        digits(self.line, millis.wrapping_rem(1000), 3);
        self.line.push(b'Z');
        self.line.extend_from_slice(quote);
    }

    fn key(&mut self, key: Key) {
        let written = if self.format == LogFormat::Json { key.json } else { key.text };
        // What separates fields is not wanted before the first.
        let written = if std::mem::take(&mut self.first) { written.get(1..).unwrap_or_default() } else { written };
        self.line.extend_from_slice(written);
    }
}

/// `2026-11-22T10:00:00.`, which all lines of one second have in common: written out by this thread once for each.
fn second(millis: u64) -> [u8; 20] {
    thread_local! {
        static LAST: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
    }
    let wanted = millis.wrapping_div(1000);
    let (of, text) = LAST.get();
    if of == wanted {
        return text;
    }
    let civil = Civil::of(millis);
    let mut text = Vec::with_capacity(20);
    for (value, width, after) in [
        (civil.year, 4, b'-'),
        (civil.month, 2, b'-'),
        (civil.day, 2, b'T'),
        (civil.hour, 2, b':'),
        (civil.minute, 2, b':'),
        (civil.second, 2, b'.'),
    ] {
        digits(&mut text, value, width);
        text.push(after);
    }
    // No clock has a year of five digits.
    let text = text.try_into().unwrap_or(*b"9999-12-31T23:59:59.");
    LAST.set((wanted, text));
    text
}

/// Whether every byte is plain, looked at eight at a time.
fn are_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte below `least`, which is at most 0x80 (Warren, Hacker's Delight, 6-1).
    let below = |word: u64, least: u64| word.wrapping_sub(ONES.wrapping_mul(least)) & !word & HIGH;
    let is = |word: u64, byte: u8| below(word ^ u64::from_ne_bytes([byte; 8]), 1);
    let (words, rest) = text.as_chunks::<8>();
    let odd = words.iter().fold(0, |odd, word| {
        let word = u64::from_ne_bytes(*word);
        odd | below(word, 0x20) | is(word, b'"') | is(word, b'\\') | is(word, 0x7f)
    });
    odd == 0 && rest.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

/// Whether a byte stands for itself in a quoted text.
#[expect(clippy::needless_bitwise_bool, reason = "without branches, so that many bytes are looked at together")]
const fn is_plain(byte: u8) -> bool {
    (byte >= b' ') & (byte != b'"') & (byte != b'\\') & (byte != 0x7f)
}

/// Appends a decimal number of at least `width` digits.
fn digits(line: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut buffer = [b'0'; 20];
    let mut used = 0_usize;
    for digit in buffer.iter_mut().rev() {
        if value == 0 && used >= width {
            break;
        }
        *digit = b'0'.wrapping_add(u8::try_from(value.wrapping_rem(10)).unwrap_or(0));
        value = value.wrapping_div(10);
        used = used.saturating_add(1);
    }
    line.extend_from_slice(buffer.get(buffer.len().saturating_sub(used)..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(value: &str, format: LogFormat) -> String {
        let mut line = Vec::new();
        Fields::line(&mut line, format, |fields| fields.text(key!("a"), value));
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn json_texts_read_back_as_they_were() {
        for value in ["", "plain", "with \"quotes\" and \\", "line\nfeed\u{1}\u{7f}", "é🔑"] {
            let line = text_of(value, LogFormat::Json);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(json["a"], value);
        }
    }

    #[test]
    fn every_byte_is_escaped_or_not_wherever_it_stands() {
        for byte in 0..=0x7f_u8 {
            let escaped = byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f);
            for length in 1..20 {
                for at in 0..length {
                    let mut value = vec![b'x'; length];
                    value[at] = byte;
                    let value = String::from_utf8(value).unwrap();
                    let line = text_of(&value, LogFormat::Json);
                    assert_eq!(line.contains('\\'), escaped, "{line:?}");
                    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
                    assert_eq!(json["a"], *value);
                }
            }
        }
    }

    #[test]
    fn each_second_has_its_own_text() {
        let time = |millis| {
            let mut line = Vec::new();
            Fields::line(&mut line, LogFormat::Text, |fields| fields.time(key!("t"), millis));
            String::from_utf8(line).unwrap()
        };
        // There and back, as where two requests end in another order than they came.
        for (millis, text) in [
            (999, "1970-01-01T00:00:00.999Z"),
            (1_000, "1970-01-01T00:00:01.000Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (1_799_999_999_099, "2027-01-15T07:59:59.099Z"),
            (1_800_000_000_000, "2027-01-15T08:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time(millis), format!("t={text}\n"));
        }
    }

    #[test]
    fn text_lines_cannot_be_forged_by_a_value() {
        assert_eq!(text_of("plain", LogFormat::Text), "a=plain\n");
        assert_eq!(text_of("x outcome=passed", LogFormat::Text), "a=\"x outcome=passed\"\n");
        assert_eq!(text_of("x\ny", LogFormat::Text), "a=\"x\\u000ay\"\n");
    }

    #[test]
    fn numbers_and_times_are_decimal() {
        let mut line = Vec::new();
        Fields::line(&mut line, LogFormat::Json, |fields| {
            fields.number(key!("zero"), 0);
            fields.number(key!("most"), u64::MAX);
            fields.signed(key!("least"), i64::MIN);
            fields.time(key!("time"), 1_614_265_330_007);
        });
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"zero\":0,\"most\":18446744073709551615,\"least\":-9223372036854775808,\"time\":\"2021-02-25T15:02:10.007Z\"}\n"
        );
    }
}
