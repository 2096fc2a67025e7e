//! Signature headers that do not belong to the verified family: removed before anything is forwarded.
//!
//! An app that trusts `webhook-id` must not get one that nobody checked next to a genuine `svix-id`. Some servers read `_`
//! as `-` (CGI, WSGI), so every spelling of every signature header counts, save the verified family's own. Must never
//! name an unsigned header that belongs to no signature, such as an event type.

use http::{HeaderMap, HeaderName};

use super::scheme::{OneOrMany, SchemeSpec};
use super::{Engine, Scheme};

/// Headers that some scheme signs with, but that mean many things: an app's own, or the request's.
const SHARED: &[&str] = &["authorization", "date", "signature", "signature-input", "content-digest"];

/// The headers to remove once one family of one scheme is verified. Made at load, one per [`super::Verified::family`].
#[derive(Debug)]
pub struct ForeignHeaders {
    /// Signature, timestamp and id headers of all schemes and families, `_` written as `-`.
    names: Vec<Box<str>>,
    /// The verified family's own, exactly as they are.
    own: Vec<HeaderName>,
    /// Bit n: one of `names` has n bytes. Rules out most headers of most requests.
    lengths: u128,
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
            let named = signature.map(|signature| &signature.header).into_iter().chain(time).chain(id);
            named.flat_map(OneOrMany::all).chain(also).cloned()
        });
        for name in mine.chain(others) {
            let name = name.to_ascii_lowercase().replace('_', "-").into_boxed_str();
            if !names.contains(&name) && !SHARED.contains(&&*name) {
                names.push(name);
            }
        }
        let lengths = names.iter().fold(0, |lengths, name| lengths | length_bit(name));
        let mut own: Vec<HeaderName> = match &self.engine {
            Engine::Template(scheme) => {
                scheme.families.get(family).map(|family| family.headers().cloned().collect()).unwrap_or_default()
            }
            Engine::Coded(_) => self.headers.clone(),
        };
        own.extend(companions.iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok()));
        ForeignHeaders { names, own, lengths }
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
        let text = name.as_str();
        self.lengths & length_bit(text) != 0
            && self.names.iter().any(|foreign| is_same(foreign, text))
            && !self.own.contains(name)
    }
}

/// Lengths beyond the last bit share it.
fn length_bit(name: &str) -> u128 {
    1 << name.len().min(127)
}

fn is_same(foreign: &str, name: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    foreign.len() == name.len() && foreign.bytes().zip(name.bytes()).all(|(left, right)| left == plain(right))
}
