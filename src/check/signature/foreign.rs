//! Signature headers that do not belong to the verified family: removed before anything is forwarded.
//!
//! An app that trusts `webhook-id` must not get one that nobody checked next to a genuine `svix-id`. Some servers read `_`
//! or a dot as `-` (CGI, WSGI, PHP), so every spelling of every signature header counts, save the verified family's own, and every
//! odd spelling of those. Must never name another scheme's header that belongs to no signature, such as an event type.

use http::{HeaderMap, HeaderName};

use super::scheme::{OneOrMany, SchemeSpec};
use super::{Engine, Scheme, coded};
use crate::check::header_name::{folded, is_odd};

/// Headers that some scheme signs with, but that mean many things: an app's own, or the request's.
const SHARED: &[&str] = &["authorization", "date", "signature", "signature-input", "content-digest"];

/// The headers to remove once one family of one scheme is verified. Made at load, one per [`super::Verified::family`].
#[derive(Debug)]
pub struct ForeignHeaders {
    /// Signature, timestamp and id headers of all schemes and families, folded and sorted.
    names: Vec<Box<str>>,
    /// The verified family's own, exactly as they are.
    own: Vec<HeaderName>,
    /// One bit for each of `names`, by [`shape`]. Rules out most plain headers of most requests.
    shapes: Box<[u64; SHAPES]>,
}

impl Scheme {
    /// What to remove when this scheme's family with this index is verified. `all`: the catalogue and the custom schemes.
    pub fn foreign_headers<'s>(
        &self,
        family: usize,
        companions: &[String],
        all: impl IntoIterator<Item = &'s SchemeSpec>,
    ) -> ForeignHeaders {
        let mut names: Vec<Box<str>> = Vec::new();
        let mine = self.headers().filter(|header| !self.is_merely_required(header)).map(HeaderName::to_string);
        let others = all.into_iter().flat_map(|spec| {
            let signature = spec.signature.as_ref();
            let time = spec.timestamp.as_ref().and_then(|time| time.header.as_ref());
            let id = spec.id.as_ref().and_then(|id| id.header.as_ref());
            let also = signature.into_iter().flat_map(|signature| &signature.also);
            let lists = signature.map(|signature| &signature.header).into_iter().chain(time).chain(id);
            let in_code = coded::named_headers(spec.engine).iter().map(|name| (*name).to_owned());
            lists.flat_map(OneOrMany::all).chain(also).cloned().chain(in_code).collect::<Vec<_>>()
        });
        for name in mine.chain(others) {
            let name = folded(&name.to_ascii_lowercase()).into_boxed_str();
            if !SHARED.contains(&&*name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut shapes = Box::new([0; SHAPES]);
        for name in &names {
            let (word, bit) = shape(name);
            if let Some(word) = shapes.get_mut(word) {
                *word |= bit;
            }
        }
        let mut own: Vec<HeaderName> = match &self.engine {
            Engine::Template(scheme) => {
                scheme.families.get(family).map(|family| family.headers().cloned().collect()).unwrap_or_default()
            }
            Engine::Coded(_) => self.headers.clone(),
        };
        own.extend(companions.iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok()));
        ForeignHeaders { names, own, shapes }
    }

    /// Whether a header of this scheme is neither signature, time nor id.
    fn is_merely_required(&self, header: &HeaderName) -> bool {
        match &self.engine {
            Engine::Template(scheme) => !scheme.families.iter().any(|family| {
                let named = [Some(&family.signature), family.timestamp.as_ref(), family.id.as_ref()];
                named.contains(&Some(header)) || family.also.contains(header)
            }),
            Engine::Coded(_) => false,
        }
    }
}

impl ForeignHeaders {
    /// Removes them.
    pub fn remove_from(&self, headers: &mut HeaderMap) {
        let mut foreign = Vec::new();
        for name in headers.keys() {
            if self.contains(name) {
                foreign.push(name.clone());
            }
        }
        for name in foreign {
            headers.remove(name);
        }
    }

    /// Whether a header is one of them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        if self.own.contains(name) {
            return false;
        }
        let text = name.as_str();
        let known = |text: &str| self.names.binary_search_by(|known| (**known).cmp(text)).is_ok();
        let is_likely = |text: &str| {
            let (word, bit) = shape(text);
            self.shapes.get(word).is_some_and(|word| word & bit != 0)
        };
        if !is_odd(text) {
            return is_likely(text) && known(text);
        }
        let plain = folded(text);
        known(&plain) || self.own.iter().any(|own| folded(own.as_str()) == plain)
    }
}

/// Words of 64 bits.
const SHAPES: usize = 32;

/// A place among the bits, by length, first and last byte: a word, and the bit in it.
fn shape(name: &str) -> (usize, u64) {
    let ends = [name.as_bytes().first(), name.as_bytes().last()].map(|byte| usize::from(byte.copied().unwrap_or(0)));
    let [first, last] = ends;
    let place = name.len().wrapping_mul(67).wrapping_add(first.wrapping_mul(29)).wrapping_add(last);
    (place.wrapping_shr(6) % SHAPES, 1 << (place % 64))
}
