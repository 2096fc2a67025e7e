//! A head and a small body in one plain write: cheaper than a vectored one, which the kernel must take apart first.
//!
//! Measured at 1 KiB on loopback, in four interleaved rounds: system time fell by about 1 µs a request and user time rose by
//! 0.4 µs, near the noise of the whole. Large writes stay vectored, because copying them costs more than it saves. Must
//! never change the order of bytes.

use std::cell::RefCell;
use std::io::IoSlice;

/// Writes up to this size are put together.
const SMALL: usize = 4 * 1024;

/// Hands `write` the bytes of all slices as one, if they are few: the only slice, or a copy in this thread's own room.
pub(crate) fn gather<T>(slices: &[IoSlice<'_>], write: impl FnOnce(Option<&[u8]>) -> T) -> T {
    // Made once: a room on the stack would be cleared for each write.
    thread_local!(static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    if let [only] = slices {
        return write(Some(only));
    }
    if slices.iter().map(|slice| slice.len()).fold(0, usize::saturating_add) > SMALL {
        return write(None);
    }
    ROOM.with(|room| {
        let Ok(mut room) = room.try_borrow_mut() else { return write(None) };
        room.clear();
        for slice in slices {
            room.extend_from_slice(slice);
        }
        write(Some(&room))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_few_bytes_together_in_order() {
        for _ in 0..2 {
            let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
            gather(&slices, |bytes| assert_eq!(bytes, Some(&b"headbody"[..])));
        }
        let exact = [IoSlice::new(&[1; SMALL - 1]), IoSlice::new(&[2])];
        gather(&exact, |bytes| assert_eq!(bytes.map(<[u8]>::len), Some(SMALL)));
        gather(&[], |bytes| assert_eq!(bytes, Some(&b""[..])));
    }

    #[test]
    fn leaves_many_bytes_alone() {
        gather(&[IoSlice::new(&[1; SMALL]), IoSlice::new(&[2])], |bytes| assert_eq!(bytes, None));
        let only = [3; SMALL * 2];
        gather(&[IoSlice::new(&only)], |bytes| assert_eq!(bytes.map(<[u8]>::as_ptr), Some(only.as_ptr())));
    }

    #[test]
    fn a_write_within_a_write_has_bytes_of_its_own() {
        let (outer, inner) = ([IoSlice::new(b"a"), IoSlice::new(b"b")], [IoSlice::new(b"c"), IoSlice::new(b"d")]);
        gather(&outer, |bytes| {
            gather(&inner, |inner| assert_eq!(inner, None));
            assert_eq!(bytes, Some(&b"ab"[..]));
        });
    }
}
