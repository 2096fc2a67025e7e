//! The named lists that are fetched again and again, and what each holds now.
//!
//! Must never give up a good list for a bad one, nor lock anybody out because a list is old.

use std::sync::Arc;

use crate::live::Live;
use crate::plan::{ListSource, Listed};

/// The lists of the process. They outlive a reload.
#[derive(Debug, Default)]
pub struct IpLists {}

/// One list, as `/readyz` and the metrics show it.
#[derive(Debug, Clone)]
pub struct ListStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses and networks in it.
    pub entries: usize,
    /// Seconds since it was published or fetched; `None`: it has no content yet.
    pub age: Option<u64>,
    /// Fetches that have failed since the last good one.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<Box<str>>,
}

impl IpLists {
    /// What `source` holds now: fetched, or of its cache file.
    pub fn current(&self, _source: &ListSource) -> Option<Listed> {
        None
    }

    /// The lists of the plan in force.
    pub fn status(&self, _live: &Live) -> Vec<ListStatus> {
        Vec::new()
    }

    /// Fetches what is due, for ever. `changed` is called after each list that has new content.
    pub(crate) async fn refresh(self: Arc<Self>, _live: Arc<Live>, _changed: impl Fn() + Send + 'static) {
        std::future::pending().await
    }
}
