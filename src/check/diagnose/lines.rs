//! Line breaks, byte order marks and white space around a body: what editors, shells and copying change.
//!
//! Only makes candidates, and only cheap ones: whatever the body is, and however large.

use bytes::Bytes;

const BOM: &[u8] = b"\xef\xbb\xbf";

pub(super) fn with_newline(body: &Bytes) -> Vec<Vec<Bytes>> {
    ["\n", "\r\n"].map(|end| vec![body.clone(), Bytes::from_static(end.as_bytes())]).into()
}

pub(super) fn without_newline(body: &Bytes) -> Vec<Vec<Bytes>> {
    let Some(rest) = body.strip_suffix(b"\n") else { return Vec::new() };
    let rest = rest.strip_suffix(b"\r").map_or_else(|| vec![rest], |less| vec![less, rest]);
    rest.into_iter().map(|rest| vec![body.slice_ref(rest)]).collect()
}

pub(super) fn with_bom(body: &Bytes) -> Vec<Vec<Bytes>> {
    if body.starts_with(BOM) { Vec::new() } else { vec![vec![Bytes::from_static(BOM), body.clone()]] }
}

pub(super) fn without_bom(body: &Bytes) -> Vec<Vec<Bytes>> {
    body.strip_prefix(BOM).map(|rest| vec![body.slice_ref(rest)]).into_iter().collect()
}

pub(super) fn trimmed(body: &Bytes) -> Vec<Vec<Bytes>> {
    [body.trim_ascii(), body.trim_ascii_start(), body.trim_ascii_end()]
        .into_iter()
        .filter(|rest| rest.len() != body.len())
        .map(|rest| vec![body.slice_ref(rest)])
        .collect()
}

/// All in `\n`, and all in `\r\n`.
pub(super) fn other_line_ends(body: &Bytes) -> Vec<Vec<Bytes>> {
    if !body.contains(&b'\n') {
        return Vec::new();
    }
    let mut unix = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if !(*byte == b'\r' && rest.peek() == Some(&&b'\n')) {
            unix.push(*byte);
        }
    }
    let mut windows = Vec::with_capacity(body.len());
    for byte in &unix {
        if *byte == b'\n' {
            windows.push(b'\r');
        }
        windows.push(*byte);
    }
    vec![vec![unix.into()], vec![windows.into()]]
}
