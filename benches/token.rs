//! What `verified-event-token` adds to a delivery: the hash of its body and one signature.
#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs, reason = "a bench: a failed unwrap is a failed bench")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use hookward::token::{Facts, TokenAlgorithm, TokenSigner};

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAZ+d8FL/JgWpMS6XJ/AofCNYSa7iyK6/oNo+bJUMSbn\n\
    -----END PRIVATE KEY-----\n";
const FACTS: Facts<'static> = Facts {
    id: Some("msg_2xJqT0kVbXW5g3o8c1Zr7nLw9aB"),
    event_type: Some("user.created"),
    provider: "clerk",
    route: "clerk",
    secret: "current",
    timestamp: Some(1_731_705_121),
    proof: None,
};

fn main() {
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, algorithm: TokenAlgorithm, key: &str, length: usize) {
    let signer = TokenSigner::new(algorithm, key.as_bytes(), "hookward", "app", 60).unwrap();
    let body = [Bytes::from(vec![b'a'; length])];
    bencher.bench(|| signer.sign(black_box(FACTS), black_box(&body), 1_731_705_122).unwrap());
}

#[divan::bench(args = [1 << 10, 1 << 20])]
fn hs256(bencher: Bencher<'_, '_>, length: usize) {
    bench(bencher, TokenAlgorithm::Hs256, "0123456789abcdef0123456789abcdef", length);
}

#[divan::bench(args = [1 << 10, 1 << 20])]
fn eddsa(bencher: Bencher<'_, '_>, length: usize) {
    bench(bencher, TokenAlgorithm::EdDsa, PRIVATE, length);
}
