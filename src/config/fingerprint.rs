//! The plan's fingerprint: the same on every replica that runs the same configuration.
//!
//! Must never be made of a secret, not even of its hash.

use super::compile::Context;
use super::raw::Table;
use crate::plan::Route;

impl Context<'_, '_> {
    pub(super) fn fingerprint(&self, _raw: &Table, _routes: &[Route]) -> Box<str> {
        "".into()
    }
}
