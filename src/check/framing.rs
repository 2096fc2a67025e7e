//! Where does each HTTP/1 message of a connection begin and end, and is it framed so that nobody can read it otherwise?
//!
//! A state machine between the socket and hyper: it sees every byte first and says which may go on. Sources: RFC 9112
//! (HTTP/1.1), RFC 9110 (fields), NEXTJS.md "Framing". hyper is laxer (Content-Length beside Transfer-Encoding, bare LF,
//! `3 ` as a chunk size, a missing Host, a dropped `#fragment`) and answers a broken head with a blank 400 of its own.
//!
//! Must never: deliver a byte of a head before all of it is proven; deliver a body byte known to be wrong; judge by how
//! the bytes were cut into reads; repair anything; do I/O or name a parser's type.
//!
//! **Why hyper reads the same boundaries** (hyper 1.12 `proto/h1`, httparse 1.10, http 1.5). Whatever passes is a subset
//! of what they accept, in the one spelling that has one meaning:
//! - head: httparse skips the same empty line, wants the same tokens and ends at the first CRLF CRLF; with bare LF and
//!   bare CR refused there is no other end. `Method` and `HeaderName` take exactly the tokens, `Uri` the target bytes
//!   below, both up to 64 KiB: hence [`MAX_HEAD`]. The server must be given the same `max_headers` and `max_head`.
//! - length: one line of ≤ 18 digits is `from_digits` without overflow; no line and no `chunked` is zero on both sides.
//! - chunked: the only coding, HTTP/1.1 only, so `is_chunked_` is true and no Content-Length can be dropped.
//! - chunks: 1–16 hex digits fit its `u64`; the states `SizeLws` and `Extension` are never entered.
//! - trailers: ends at the first empty line; counted and measured as `TrailerLf` and `put_u8` do.
//! - upgrade: hyper hands over what follows any 101. [`Step::AwaitUpgrade`] keeps those bytes out until that is decided;
//!   CONNECT, the other way into a tunnel, is refused.

mod body;
mod head;
mod lines;

use crate::reject::Reject;
use body::{Chunk, Trailers};
use head::Head;

pub use body::is_trailer;
pub use lines::is_field_name;

/// Heads above this are refused whatever the limit says: hyper has 16-bit lengths for targets and names, and `HeaderMap`
/// holds 32,768 lines.
const MAX_HEAD: usize = 65_534;

/// What one head, or one trailer section, may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a head, from its first byte to the end of the empty line; a trailer section stays below it.
    pub max_head: usize,
    /// Field lines in a head, and again in a trailer section.
    pub max_headers: usize,
}

/// What the caller may do with the bytes it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Deliver the first n bytes (n ≥ 1); call again with the rest, if any.
    Deliver(usize),
    /// The first n bytes are one complete head: deliver them and queue the facts.
    Head(usize, HeadFacts),
    /// An incomplete head or trailer line: hold every byte, read more, and show the held ones again with the new.
    NeedMore,
    /// The request before these bytes may switch protocols: hold them until `switch_to_opaque` or `stay_http` is called.
    AwaitUpgrade,
    /// The head breaks a rule: nothing of it may be delivered, and nothing after it.
    RefusedHead(Fault),
    /// The body breaks a rule at the first byte shown: deliver nothing more, the stream is dead.
    RefusedBody(Fault),
}

/// What a complete head declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadFacts {
    /// The version in the request line.
    pub version: Version,
    /// How the body is delimited.
    pub body: Body,
    /// The connection waits after this head because it may become another protocol: an `Upgrade` field in HTTP/1.1 and
    /// no body. A request without this flag must never be answered 101. (With a body it is an ordinary request: Java's
    /// client offers `h2c` on every POST, so it cannot be refused, and RFC 9110 §7.8 lets a server ignore the offer.)
    pub upgrade: bool,
}

/// The two versions that are HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How a request's body is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Neither field: no body.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

macro_rules! faults {
    ($($variant:ident = $reject:ident, $why:literal;)+) => {
        /// The rule that was broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $why] $variant,)+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reject that the sender gets.
            pub const fn reject(self) -> Reject {
                match self { $(Self::$variant => Reject::$reject,)+ }
            }

            /// What is wrong, with its source; for logs and the answer.
            pub const fn why(self) -> &'static str {
                match self { $(Self::$variant => $why,)+ }
            }
        }
    };
}

faults! {
    Target = BadTarget, "the target is not `/path?query` in the bytes a URI may hold (RFC 9112 §3.2.1, RFC 3986 §3.3)";
    Connect = BadTarget, "CONNECT asks for a tunnel, which is never given (RFC 9110 §9.3.6)";
    RequestLine = Framing, "the request line is not `method SP target SP version CRLF` (RFC 9112 §3)";
    Version = Framing, "the version is neither HTTP/1.1 nor HTTP/1.0 (RFC 9112 §2.3)";
    LineEnd = Framing, "a CR or LF outside a CRLF pair (RFC 9112 §2.2)";
    FieldName = Framing, "a field name is not a token directly before its colon (RFC 9112 §5.1)";
    FieldValue = Framing, "a field value holds a control byte (RFC 9110 §5.5)";
    Folded = Framing, "a field line begins with whitespace (RFC 9112 §2.2, §5.2)";
    HostMissing = Framing, "HTTP/1.1 without Host (RFC 9112 §3.2)";
    HostRepeated = Framing, "more than one Host (RFC 9112 §3.2)";
    HostMalformed = Framing, "Host is not a plain host and port (RFC 9112 §3.2, RFC 3986 §3.2.2)";
    Length = Framing, "Content-Length is not 1 to 18 digits (RFC 9110 §8.6)";
    LengthRepeated = Framing, "more than one Content-Length (RFC 9110 §8.6)";
    Coding = Framing, "Transfer-Encoding is not exactly `chunked`, once, in HTTP/1.1 (RFC 9112 §6.1)";
    LengthAndCoding = Framing, "both Content-Length and Transfer-Encoding (RFC 9112 §6.1)";
    Alias = Framing, "a field name that equals a framing field when `_` is read as `-` (RFC 3875 §4.1.18)";
    Expect = Framing, "Expect is not exactly `100-continue`, once (RFC 9110 §10.1.1)";
    HeadTooLarge = HeadTooLarge, "the head is longer than `limits.max_head` (RFC 9112 §3, RFC 6585 §5)";
    TooManyHeaders = HeadTooLarge, "more field lines than `limits.max_headers` (RFC 9110 §5.4, RFC 6585 §5)";
    ChunkSize = Framing, "a chunk size is not 1 to 16 hex digits and CRLF (RFC 9112 §7.1)";
    ChunkExtension = Framing, "a chunk extension (RFC 9112 §7.1.1)";
    ChunkEnd = Framing, "a chunk's data is not followed by CRLF (RFC 9112 §7.1)";
    TrailerField = Framing, "a field that must not be in a trailer section (RFC 9110 §6.5.1)";
    TrailersTooLarge = HeadTooLarge, "the trailer section exceeds `limits.max_head` or `limits.max_headers` (RFC 9110 §5.4)";
}

/// One connection's place in its stream of messages.
#[derive(Debug)]
pub struct Framing {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunked(Chunk),
    Trailers(Trailers),
    AwaitUpgrade,
    Opaque,
    Refused(Step),
}

impl Framing {
    /// The start of a connection.
    pub const fn new(limits: Limits) -> Self {
        let max_head = if limits.max_head < MAX_HEAD { limits.max_head } else { MAX_HEAD };
        Self { limits: Limits { max_head, ..limits }, state: State::Head(Head::NEW) }
    }

    /// Judges `bytes`: what was held back, if anything, followed by what was just read.
    ///
    /// The verdict depends on the stream only, not on how it was cut. A refusal is repeated for ever.
    pub fn approve(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::NeedMore;
        }
        let (step, next) = match &mut self.state {
            State::Head(head) => head.step(bytes, self.limits),
            State::Length(remaining) => body::length_step(remaining, bytes),
            State::Chunked(chunk) => chunk.step(bytes),
            State::Trailers(trailers) => trailers.step(bytes, self.limits),
            State::AwaitUpgrade => (Step::AwaitUpgrade, None),
            State::Opaque => (Step::Deliver(bytes.len()), None),
            State::Refused(step) => (*step, None),
        };
        if let Some(next) = next {
            self.state = next;
        } else if matches!(step, Step::RefusedHead(_) | Step::RefusedBody(_)) {
            self.state = State::Refused(step);
        }
        step
    }

    /// Whether a message has begun whose body is not complete.
    pub const fn in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_) | State::Trailers(_))
    }

    /// The upgrade was answered 101: everything that follows passes unread.
    ///
    /// Does nothing unless an upgrade is awaited, so that no mistake elsewhere can turn the guard off inside a message.
    pub fn switch_to_opaque(&mut self) {
        if matches!(self.state, State::AwaitUpgrade) {
            self.state = State::Opaque;
        }
    }

    /// The upgrade was answered with anything but 101: another head follows. Does nothing unless an upgrade is awaited.
    pub fn stay_http(&mut self) {
        if matches!(self.state, State::AwaitUpgrade) {
            self.state = State::Head(Head::NEW);
        }
    }
}

#[cfg(test)]
mod tests;
