//! How many sockets this process may have, and what that leaves for clients.
//!
//! A connection of a client may need one to the app, and a process that has no descriptor left can neither accept nor connect
//! (setrlimit(2), accept(2) `EMFILE`). Must never raise a limit that only an administrator may raise.

use rlimit::Resource;

/// For listeners, logs, probes, documents and lists.
const OWN: usize = 64;

/// Raises the soft limit to the hard one. The limit in force; `None` where it cannot be known.
pub(crate) fn raise() -> Option<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).or_else(|_| Resource::NOFILE.get().map(|(soft, _)| soft));
    Some(usize::try_from(limit.ok()?).unwrap_or(usize::MAX))
}

/// How many connections of clients fit in, with one to the app each. Some, even where nothing would be left.
pub(crate) fn places(descriptors: usize) -> usize {
    let half = descriptors.saturating_sub(OWN).checked_div(2).unwrap_or(0);
    half.max(descriptors.checked_div(8).unwrap_or(0)).max(1)
}

/// What so many connections need.
pub(crate) fn needed(max_connections: usize) -> usize {
    max_connections.saturating_mul(2).saturating_add(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_what_gives_as_many_places() {
        for connections in [64, 100, 4096] {
            assert_eq!(places(needed(connections)), connections);
            assert_eq!(places(needed(connections) - 1), connections - 1);
        }
        assert_eq!((places(64), places(8), places(0)), (8, 1, 1));
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise().unwrap();
        let (soft, hard) = Resource::NOFILE.get().unwrap();
        assert_eq!((soft, usize::try_from(hard).unwrap()), (hard, raised));
    }
}
