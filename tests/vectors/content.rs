//! What tells deliveries apart that have no signed id: the digest of what is signed.
//!
//! The same for each attempt however it arrives, and another one for whatever else is signed.

use hookward::check::signature::scheme::Engine;
use hookward::check::signature::{Coverage, content_digest};

use super::one_bit::deliveries;
use super::*;

fn digest(judge: &Judge, sent: &Sent, chunk: usize) -> Option<[u8; 32]> {
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
        let coded = CATALOG.scheme(judge.scheme.name()).map(|spec| spec.engine).filter(|it| *it != Engine::Template);
        // What tells deliveries apart has to be there for every scheme that `replay = "content"` is taken for.
        if judge.scheme.coverage() == Coverage::Body {
            assert!(whole.is_some(), "{}", judge.name);
            by_code += usize::from(coded.is_some());
        }
        if coded.is_some() && whole.is_none() {
            continue;
        }
        if judge.scheme.coverage() == Coverage::Body {
            let longer = Sent { body: [&sent.body[..], b" "].concat().into(), ..sent.clone() };
            assert_ne!(digest(&judge, &longer, usize::MAX), whole, "{}: another body", judge.name);
        }
        if judge.scheme.signs_url() {
            let other = Sent { url: format!("{}x", sent.url), ..sent.clone() };
            assert_ne!(digest(&judge, &other, usize::MAX), whole, "{}: another URL", judge.name);
        }
        if let Some(engine) = coded {
            let other = Sent { method: Method::DELETE, ..sent.clone() };
            let covers_method = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("\"@method\""));
            let signs_method = engine == Engine::Contentful
                || (engine == Engine::Rfc9421 && sent.headers.get("signature-input").is_some_and(covers_method));
            assert_eq!(digest(&judge, &other, usize::MAX) != whole, signs_method, "{}: another method", judge.name);
        }
    }
    assert_eq!(by_code, 8, "those in code that sign the whole body");
}
