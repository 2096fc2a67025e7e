//! Lower-case hexadecimal digits, two a byte.
//!
//! Some are written on every request, so they do not go through `format!`, which takes a hundred instructions a digit. Must
//! never be used to compare secrets.

use std::fmt;

/// Bytes that are shown as digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hex<'b>(pub(crate) &'b [u8]);

impl Hex<'_> {
    /// Appends the digits.
    pub(crate) fn append_to(self, text: &mut Vec<u8>) {
        text.extend(self.0.iter().flat_map(|byte| pair(*byte)));
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| f.write_str(std::str::from_utf8(&pair(*byte)).unwrap_or_default()))
    }
}

const fn pair(byte: u8) -> [u8; 2] {
    [digit(byte >> 4), digit(byte & 15)]
}

/// Of a number below 16.
const fn digit(nibble: u8) -> u8 {
    nibble.wrapping_add(if nibble < 10 { b'0' } else { b'a'.wrapping_sub(10) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_two_digits_that_the_standard_library_gives_it() {
        for byte in 0..=u8::MAX {
            assert_eq!(Hex(&[byte]).to_string(), format!("{byte:02x}"));
        }
        let mut text = b"x".to_vec();
        Hex(&[0, 0x0a, 0xf0, 0xff]).append_to(&mut text);
        assert_eq!(text, b"x000af0ff");
    }
}
