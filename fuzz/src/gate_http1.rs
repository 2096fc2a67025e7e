//! The whole gate on a connection's raw bytes, HTTP/1: what the app sees is what a strict reader finds in them, or less.
//!
//! The first byte chooses the gate, the second where the bytes are cut in two; the rest is sent.

use crate::gate::{Which, send, signed};
use crate::http1::requests;

pub fn run(data: &[u8]) {
    let [which, cut, bytes @ ..] = data else { return };
    let (bytes, _) = signed(bytes);
    let which = if which & 1 == 0 { Which::NextJs } else { Which::Behind };
    let (first, rest) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let pieces: &[&[u8]] = if *cut == 0 || rest.is_empty() { &[&bytes] } else { &[first, rest] };
    let seen = send(which, pieces);
    // HTTP/2 has a target of its own.
    if bytes.starts_with(b"PRI * HTTP/2.0") {
        return;
    }
    let sent = requests(&bytes);
    let mut left = sent.iter();
    for request in &seen {
        let same = left.any(|sent| {
            let body = sent.body == request.body && sent.complete;
            sent.method == request.method && sent.target == request.target && (body || !request.complete)
        });
        assert!(same, "a request that was not sent: {request:?}; sent: {sent:?}; seen: {seen:?}");
    }
}
