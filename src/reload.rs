//! Loads the configuration again when it changes: whole, or not at all.
//!
//! Must never put a plan in force that was read while somebody wrote it, nor one that takes protection away unasked.
