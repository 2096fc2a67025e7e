//! The name under which a delivery is claimed: a hash of its route and of what tells it from every other delivery.
//!
//! A store holds these and nothing else, so that an id of any length or content is one of a fixed size there, and says
//! nothing to whoever reads it. Must never be made of anything that the signature does not cover: whoever can change what
//! tells deliveries apart can run one twice, or keep a genuine one out.

use std::fmt;

use sha2::{Digest, Sha256};

/// Of a delivery: 128 bits of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplayKey([u8; 16]);

impl ReplayKey {
    /// Of a delivery with a signed id, whatever it was signed with and when: retries, and the same event by two endpoints.
    pub fn of_id(route: &str, id: &[u8]) -> Self {
        Self::of(b"id", route, id)
    }

    /// Of a delivery without: by its signed content, [`super::signature::content_digest`].
    pub fn of_content(route: &str, digest: &[u8; 32]) -> Self {
        Self::of(b"content", route, digest)
    }

    fn of(kind: &[u8], route: &str, what: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        // No route's name has a zero byte (config::raw::is_label), so nothing reads in two ways.
        for part in [kind, b"\0", route.as_bytes(), b"\0", what] {
            hasher.update(part);
        }
        let mut key = [0; 16];
        key.iter_mut().zip(hasher.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        Self(key)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it was written by `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'))?;
        Some(Self(number.to_be_bytes()))
    }
}

/// A hash that was made elsewhere.
impl From<[u8; 16]> for ReplayKey {
    fn from(hash: [u8; 16]) -> Self {
        Self(hash)
    }
}

/// 32 hex digits.
impl fmt::Display for ReplayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ReplayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_kind_and_id_tell_deliveries_apart() {
        let all = [
            ReplayKey::of_id("a", b"b"),
            ReplayKey::of_id("a", b"c"),
            ReplayKey::of_id("b", b"b"),
            ReplayKey::of_id("a", b"\0b"),
            ReplayKey::of_id("a", &[7; 32]),
            ReplayKey::of_content("a", &[7; 32]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one), "{index}");
        }
        assert_eq!(ReplayKey::of_id("a", b"b"), all[0]);
    }

    #[test]
    fn is_a_hash_of_kind_route_and_content_that_never_changes() {
        // A store outlives the process: another hash would let every delivery in once more.
        let hashed = Sha256::digest(b"id\0clerk\0msg_1");
        assert_eq!(ReplayKey::of_id("clerk", b"msg_1").as_bytes()[..], hashed[..16]);
        let hashed = Sha256::digest([&b"content\0clerk\0"[..], &[7; 32]].concat());
        assert_eq!(ReplayKey::of_content("clerk", &[7; 32]).as_bytes()[..], hashed[..16]);
        assert_eq!(format!("{:?}", ReplayKey::from([0xab; 16])), format!("ReplayKey({})", "ab".repeat(16)));
    }

    #[test]
    fn is_written_as_it_is_read() {
        let key = ReplayKey::of_id("clerk", b"msg_1");
        assert_eq!(ReplayKey::parse(&key.to_string()), Some(key));
        let short = "0".repeat(31);
        for bad in ["", &short, &format!("+{short}"), &format!("{short}00"), &format!("{short}g")] {
            assert_eq!(ReplayKey::parse(bad), None, "{bad}");
        }
    }
}
