//! A head and a small body in one plain write: cheaper than a vectored one, which the kernel must take apart first.
//!
//! Measured at 1 KiB on loopback, in four interleaved rounds: system time fell by about 1 µs a request and user time rose by
//! 0.4 µs, near the noise of the whole. Large writes stay vectored, because copying them costs more than it saves. Must
//! never change the order of bytes.

use std::io::IoSlice;

/// Writes up to this size are put together.
pub(crate) const SMALL: usize = 4 * 1024;

/// The bytes of all slices as one, if they are few: borrowed from the only slice, or copied into `room`.
pub(crate) fn gather<'b>(slices: &'b [IoSlice<'_>], room: &'b mut [u8; SMALL]) -> Option<&'b [u8]> {
    if let [only] = slices {
        return Some(only);
    }
    let mut end = 0_usize;
    for slice in slices {
        let start = end;
        end = start.checked_add(slice.len())?;
        room.get_mut(start..end)?.copy_from_slice(slice);
    }
    room.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_few_bytes_together_in_order() {
        let mut room = [0; SMALL];
        let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
        assert_eq!(gather(&slices, &mut room), Some(&b"headbody"[..]));
        let exact = [IoSlice::new(&[1; SMALL - 1]), IoSlice::new(&[2])];
        assert_eq!(gather(&exact, &mut room).map(<[u8]>::len), Some(SMALL));
    }

    #[test]
    fn leaves_many_bytes_alone() {
        let mut room = [0; SMALL];
        assert_eq!(gather(&[IoSlice::new(&[1; SMALL]), IoSlice::new(&[2])], &mut room), None);
        let only = [3; SMALL * 2];
        assert_eq!(gather(&[IoSlice::new(&only)], &mut room).map(<[u8]>::as_ptr), Some(only.as_ptr()));
    }
}
