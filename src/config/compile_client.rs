//! Addresses: who is believed about the client, and the lists that compare with it.
//!
//! Must never widen a list: an entry that is not exactly an address or a network is refused.

use http::HeaderName;
use ipnet::IpNet;

use super::compile::Context;
use super::findings::Spot;
use super::hint::nearest;
use super::raw::{Table, Text};
use crate::check::client::{ClientHeader, ClientRules};
use crate::check::ip::{IpEntryError, IpSet, parse_entry};
use crate::plan::{ClientPolicy, Listener};

/// Whoever is in these lists can claim to be anyone, so they are never somebody else's to write.
const PROXIES: &str = "write the addresses or CIDRs of your own proxies";

impl Context<'_, '_> {
    pub(super) fn client(&mut self, table: &Table) -> Option<ClientPolicy> {
        let networks = self.networks(table, "trusted_proxies");
        for (network, spot) in &networks {
            let narrow = if network.addr().is_ipv4() { 16 } else { 48 };
            if network.prefix_len() == 0 {
                let what = format!("{network} trusts everyone: any caller can claim any address");
                self.findings.warn(spot, what, "write the addresses of the proxies in front of hookward");
            } else if network.prefix_len() < narrow {
                let what = format!("{network} is wide: everyone in it can claim any client address");
                self.findings.warn(spot, what, "write the ingress's own addresses, not the whole network");
            }
        }
        let header = self.client_header(table)?;
        let name = HeaderName::from_bytes(header.name().as_bytes()).ok()?;
        let trusted: IpSet = networks.into_iter().map(|(network, _)| network).collect();
        if trusted.is_empty() && table.given("header") {
            let hint = "set client_ip.trusted_proxies to the addresses that may send it";
            self.findings.warn(&table.spot_of("header"), "has no effect: nobody is trusted to send it", hint);
        }
        Some(ClientPolicy { rules: ClientRules { trusted, header }, header: name })
    }

    fn client_header(&mut self, table: &Table) -> Option<ClientHeader> {
        const KNOWN: &[&str] = &[
            "x-forwarded-for",
            "forwarded",
            "cf-connecting-ip",
            "x-real-ip",
            "true-client-ip",
            "x-client-ip",
            "fly-client-ip",
            "fastly-client-ip",
            "x-azure-clientip",
            "x-envoy-external-address",
        ];
        const NO_ADDRESS: &[&str] = &[
            "host",
            "connection",
            "cookie",
            "authorization",
            "content-length",
            "content-type",
            "transfer-encoding",
            "via",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "user-agent",
            "origin",
            "referer",
        ];
        let (text, spot) = table.text("header")?;
        let hint = "write x-forwarded-for, forwarded, cf-connecting-ip, x-real-ip or another header with one address";
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            self.findings.error(spot, format!("{text:?} is not a header name"), hint);
            return None;
        };
        if NO_ADDRESS.contains(&name.as_str()) {
            self.findings.error(spot, format!("`{name}` does not carry the client's address"), hint);
            return None;
        }
        if !KNOWN.contains(&name.as_str())
            && let Some(near) = nearest(name.as_str(), KNOWN.iter().copied())
        {
            self.findings.warn(
                spot,
                format!("`{name}` is not a known header of proxies"),
                format!("did you mean `{near}`?"),
            );
        }
        Some(match name.as_str() {
            "x-forwarded-for" => ClientHeader::XForwardedFor,
            "forwarded" => ClientHeader::Forwarded,
            single => ClientHeader::Single(single.into()),
        })
    }

    /// A list of addresses and CIDRs, those that are readable.
    pub(super) fn networks<'t>(&mut self, table: &'t Table, key: &str) -> Vec<(IpNet, &'t Spot)> {
        let mut networks: Vec<(IpNet, &Spot)> = Vec::new();
        for (text, spot) in table.texts(key) {
            match parse_entry(text) {
                Ok(network) if networks.iter().any(|(earlier, _)| *earlier == network) => {
                    self.findings.warn(spot, format!("{text} is in this list already"), "remove it");
                }
                Ok(network) => networks.push((network, spot)),
                Err(error) => self.network_problem((text, spot), error),
            }
        }
        networks
    }

    pub(super) fn network_problem(&mut self, (text, spot): Text<'_>, error: IpEntryError) {
        let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '.', '/']);
        let (what, hint) = match error {
            _ if text.starts_with("file:") => {
                ("a file has no place here, only in a route's allow_ips".to_owned(), PROXIES.to_owned())
            }
            IpEntryError::Malformed if is_name => {
                let what = format!("the name of a list has no place here, only in a route's allow_ips: {text:?}");
                (what, PROXIES.to_owned())
            }
            IpEntryError::HostBits(network) => (format!("{text} has host bits set"), format!("write {network}")),
            IpEntryError::MappedTooWide => {
                (format!("{text} is wider than /96 inside ::ffff:0:0/96"), "write the IPv4 network".to_owned())
            }
            IpEntryError::Malformed | IpEntryError::LeadingZero | IpEntryError::ZoneId | IpEntryError::Length => {
                let what = format!("{text:?} is not an address or CIDR: {error}");
                (what, "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32".to_owned())
            }
        };
        self.findings.error(spot, what, hint);
    }

    /// An allowlist is worth what is known about the client. Said once, not per route.
    pub(super) fn allowlists(&mut self, raw: &Table, listeners: &[Listener], client: Option<&ClientPolicy>) {
        let routes = raw.table("routes").into_iter().flat_map(Table::named);
        let Some(spot) =
            routes.map(|(_, route)| route).find(|route| route.given("allow_ips")).map(|r| r.spot_of("allow_ips"))
        else {
            return;
        };
        let Some(client) = client else { return };
        // Behind the PROXY protocol the peer is named by it.
        let direct = || listeners.iter().filter(|listener| listener.proxies.is_none());
        if !client.rules.trusted.is_empty() || direct().next().is_none() {
            return;
        }
        let hint = "set client_ip.trusted_proxies to the addresses of the proxies in front of hookward";
        if direct().all(|listener| listener.address.ip().is_loopback()) {
            let what =
                "every client is this machine: hookward listens on loopback and no proxy is trusted to name the client";
            self.findings.warn(&spot, what, hint);
        } else {
            let what = "is compared with the connection's own address, since client_ip.trusted_proxies is empty: behind a \
                        load balancer or ingress that is the proxy's";
            self.findings.warn(&spot, what, format!("{hint}, unless senders connect directly"));
        }
    }
}
