//! The chunked coding, RFC 9112 §7.1, as files have it.
//!
//! A file may have lost its CRs, and an inspector may have decoded the body and kept the header, so this tells "no chunks
//! here" from "chunks that end early". Must never take a body for chunks that is not: the first line has to be a size and
//! the first chunk has to end in a line end, or the file has to end inside it. Trailers are left out.

/// A decoded body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) content: Vec<u8>,
    /// Whether the last chunk was there.
    pub(super) complete: bool,
}

/// More hex digits than any chunk needs.
const MAX_SIZE_DIGITS: usize = 8;

/// `None` if the body is not chunked.
pub(super) fn decode(body: &[u8]) -> Option<Decoded> {
    let mut content = Vec::new();
    let mut rest = body;
    loop {
        let Some((size, data)) = size_line(rest) else {
            return (rest.len() < body.len()).then_some(Decoded { content, complete: false });
        };
        if size == 0 {
            return Some(Decoded { content, complete: true });
        }
        let Some((chunk, after)) = data.split_at_checked(size) else {
            content.extend_from_slice(data);
            return Some(Decoded { content, complete: false });
        };
        content.extend_from_slice(chunk);
        let next = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n"));
        match next {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(Decoded { content, complete: false }),
            None => return None,
        }
    }
}

/// The size and what follows its line. Extensions are passed over.
fn size_line(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let line = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if line.is_empty() || line.len() > MAX_SIZE_DIGITS || !line.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let size = usize::from_str_radix(str::from_utf8(line).ok()?, 16).ok()?;
    Some((size, rest.get(1..).unwrap_or_default()))
}
