//! Names of headers as the laxest server reads them.
//!
//! A header that is removed under its own name must not reach the app under another one that some server takes for it. Must
//! never be used to find a header that is to be believed.

/// Whether a name holds more than letters, digits and single hyphens.
pub(crate) fn is_odd(name: &str) -> bool {
    let mut last = 0;
    let mut odd = false;
    for byte in name.bytes() {
        odd |= !byte.is_ascii_alphanumeric() && (byte != b'-' || last == b'-');
        last = byte;
    }
    odd
}

/// A name as the laxest server reads it: CGI and WSGI take `_` for `-`, PHP a dot as well.
pub(crate) fn folded(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            plain.push(letter);
        } else if !plain.ends_with('-') {
            plain.push('-');
        }
    }
    plain
}
