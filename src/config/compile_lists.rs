//! Lists of addresses: `[ip_lists.NAME]`, the names and files in `allow_ips`.
//!
//! Must never take a list that is empty or wider than a list of senders can be.

use super::compile::Context;
use super::raw::Table;
use crate::check::ip::IpSet;
use crate::plan::{Allowlist, NamedList};

impl Context<'_, '_> {
    /// `[ip_lists]`, with what each holds now.
    pub(super) fn ip_lists(&mut self, _raw: &Table) -> Vec<NamedList> {
        Vec::new()
    }

    /// A route's `allow_ips`: addresses, networks, names of lists, `file:`. `None`: not there, so that any address may call.
    pub(super) fn allow_ips(&mut self, table: &Table) -> Option<Allowlist> {
        if !table.given("allow_ips") {
            return None;
        }
        let networks = self.networks(table, "allow_ips");
        let spot = table.spot_of("allow_ips");
        if table.has_list("allow_ips") && table.texts("allow_ips").next().is_none() {
            let hint = "add addresses, or remove the key to let any call";
            self.findings.error(&spot, "the list is empty: nobody could call", hint);
        }
        let set: IpSet = networks.into_iter().map(|(network, _)| network).collect();
        if set.is_everything() {
            self.findings.warn(&spot, "lets everyone in", "remove it, or list the sender's addresses");
        }
        Some(Allowlist { set, pending: false })
    }
}
