//! How much one read of an answer may bring: little, except for the few that fill each read.
//!
//! hyper doubles its buffer whenever a read fills it, up to 408 KiB, and a client that does not take its answer holds that
//! much of our memory. But a download costs half as much CPU in large reads. So a few answers at a time have them: whose
//! reads are full takes a place, if there is one. Must never make an answer wait for a place.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One byte less than 64 KiB, so that hyper's buffer stays at that.
const NARROW: usize = 64 * 1024 - 1;
/// More than hyper asks for.
const WIDE: usize = 512 * 1024;
/// At most 3 MiB more than with narrow reads, when nobody takes what they brought.
const PLACES: usize = 8;

/// The places of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WideReads(Arc<Semaphore>);

/// One connection's reads.
#[derive(Debug)]
pub(crate) struct ReadWidth {
    places: WideReads,
    place: Option<OwnedSemaphorePermit>,
}

impl WideReads {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }

    /// A connection's first reads: narrow.
    pub(crate) fn width(&self) -> ReadWidth {
        ReadWidth { places: self.clone(), place: None }
    }
}

impl ReadWidth {
    /// The most bytes that the next read may bring.
    pub(crate) const fn most(&self) -> usize {
        if self.place.is_some() { WIDE } else { NARROW }
    }

    /// To be told after each read. One that is not even a full narrow one gives the place back.
    pub(crate) fn brought(&mut self, bytes: usize) {
        if bytes < NARROW {
            self.place = None;
        } else if self.place.is_none() {
            self.place = Arc::clone(&self.places.0).try_acquire_owned().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_wide_after_a_full_read_and_narrow_again_after_a_small_one() {
        let mut width = WideReads::new().width();
        assert_eq!(width.most(), NARROW);
        for (bytes, then) in [
            (NARROW - 1, NARROW),
            (NARROW, WIDE),
            (WIDE, WIDE),
            (NARROW, WIDE),
            (NARROW - 1, NARROW),
            (NARROW, WIDE),
            (0, NARROW),
        ] {
            width.brought(bytes);
            assert_eq!(width.most(), then, "after {bytes}");
        }
    }

    #[test]
    fn so_many_are_wide_and_no_more_until_one_gives_its_place_back() {
        let places = WideReads::new();
        let mut widths: Vec<ReadWidth> = (0..20).map(|_| places.width()).collect();
        let wide = |widths: &[ReadWidth]| widths.iter().filter(|width| width.most() == WIDE).count();
        // Again and again, as nobody may take two places.
        for _ in 0..3 {
            for width in &mut widths {
                width.brought(WIDE);
            }
        }
        assert_eq!(wide(&widths), PLACES);
        widths[0].brought(1);
        assert_eq!(wide(&widths), PLACES - 1);
        // One that is closed gives it back as well.
        widths.remove(1);
        for width in &mut widths {
            width.brought(NARROW);
        }
        assert_eq!(wide(&widths), PLACES);
    }
}
