//! What tells deliveries apart that have no signed id: the digest of what is signed.
//!
//! The same for each attempt however it arrives, and another one for whatever else is signed.

use hookward::check::signature::{Coverage, content_digest};

use super::one_bit::deliveries;
use super::*;

fn digest(judge: &Judge, sent: &Sent, chunk: usize) -> [u8; 32] {
    let head = Head { method: &sent.method, url: Some(&sent.url), headers: &sent.headers };
    let presented = present(&judge.scheme, head, judge.window).unwrap_or_else(|failure| panic!("{failure:?}"));
    let chunks: Vec<Bytes> = sent.body.chunks(chunk).map(|piece| sent.body.slice_ref(piece)).collect();
    content_digest(&judge.scheme, &presented, &chunks)
}

#[test]
fn the_content_of_a_delivery_is_the_same_in_any_chunks_and_another_with_any_other_signed_part() {
    let mut by_code = 0;
    for (judge, sent) in deliveries() {
        let whole = digest(&judge, &sent, usize::MAX);
        assert_eq!(digest(&judge, &sent, 7), whole, "{}", judge.name);
        // Where the body is not signed as a whole, its content is the body all the same, unless data says otherwise.
        let is_template = CATALOG.scheme(judge.scheme.name()).is_some_and(|spec| !spec.content.is_empty());
        by_code += usize::from(!is_template && judge.scheme.coverage() != Coverage::Token);
        if judge.scheme.coverage() == Coverage::Body {
            let longer = Sent { body: [&sent.body[..], b" "].concat().into(), ..sent.clone() };
            assert_ne!(digest(&judge, &longer, usize::MAX), whole, "{}: another body", judge.name);
        }
        if judge.scheme.signs_url() {
            let other = Sent { url: format!("{}x", sent.url), ..sent.clone() };
            assert_ne!(digest(&judge, &other, usize::MAX), whole, "{}: another URL", judge.name);
        }
        let get = Sent { method: Method::DELETE, ..sent.clone() };
        if judge.scheme.signs_url() && !is_template {
            assert_ne!(digest(&judge, &get, usize::MAX), whole, "{}: another method", judge.name);
        }
    }
    assert!(by_code > 10, "{by_code}");
}
