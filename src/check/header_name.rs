//! Names of headers as the laxest server reads them.
//!
//! A header that is removed under its own name must not reach the app under another one that some server takes for it. Must
//! never be used to find a header that is to be believed.

/// Whether a name holds more than letters, digits and single hyphens.
pub(crate) fn is_odd(name: &str) -> bool {
    // Without a branch, since it is asked of every byte of every name: 2 is odd in any place, 1 (the hyphen) behind another 1.
    let (mut last, mut odd) = (0, 0);
    for byte in name.bytes() {
        let class = CLASSES.get(usize::from(byte)).copied().unwrap_or(2);
        odd |= class & (last | 2);
        last = class;
    }
    odd != 0
}

static CLASSES: [u8; 256] = {
    let mut table = [2; 256];
    let mut slots: &mut [u8] = &mut table;
    let mut byte = 0_u8;
    while let Some((slot, rest)) = slots.split_first_mut() {
        if byte.is_ascii_alphanumeric() {
            *slot = 0;
        } else if byte == b'-' {
            *slot = 1;
        }
        byte = byte.wrapping_add(1);
        slots = rest;
    }
    table
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_odd_if_the_laxest_server_reads_it_as_another() {
        for name in ["", "a", "svix-id", "x-a-1", "-a", "a-", "etag"] {
            assert!(!is_odd(name), "{name}");
        }
        for name in ["svix_id", "svix.id", "a--b", "--", "a-_", "a~", "!", "a---b", "a b"] {
            assert!(is_odd(name), "{name}");
        }
    }
}
