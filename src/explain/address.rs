//! The client's address and the allowlist: the gate's verdict, and what would have been in the list.
//!
//! What would have been is found by asking the gate's own rules again with one more trusted hop, or about another header.
//! Must never take a header for true: every fix says who has to have written it. Sources: as `check::client`.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::steps::{StepName, Steps, Stop};
use crate::check::client::{self, Client, ClientHeader, ClientRules};
use crate::check::diagnose::Hypothesis;
use crate::check::ip::IpSet;
use crate::plan::{ClientPolicy, Route};
use crate::reject::Reject;

/// Headers in which proxies and platforms name the client, besides the two lists.
const SINGLE: &[&str] = &[
    "cf-connecting-ip",
    "true-client-ip",
    "x-real-ip",
    "x-client-ip",
    "fly-client-ip",
    "fastly-client-ip",
    "x-vercel-forwarded-for",
    "x-envoy-external-address",
    "x-azure-clientip",
];
/// Longer chains of proxies are not looked through.
const HOPS: usize = 16;

/// The gate's fifth step.
pub(super) fn judge(
    policy: &ClientPolicy,
    route: &Route,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    steps: &mut Steps,
    hypotheses: &mut Vec<Hypothesis>,
) -> Result<(), Stop> {
    const STEP: StepName = StepName::Client;
    let Some(allowed) = &route.allow_ips else {
        steps.skip(STEP, "any address may call this route");
        return Ok(());
    };
    let Some(peer) = peer else {
        steps.skip(STEP, "not judged without the caller's address: give --peer");
        return Ok(());
    };
    let peer = peer.to_canonical();
    let name = policy.header.as_str();
    let is_trusted = client::peer_is_trusted(&policy.rules, peer);
    let who = if is_trusted {
        format!("the peer {peer} is a trusted proxy")
    } else {
        format!("the peer {peer} is no trusted proxy, so {name} is not read")
    };
    let detail = match client::client(&policy.rules, peer, lines(headers, name)) {
        Client::Known(address) if allowed.contains(address) => {
            steps.pass(STEP, format!("{address} is in allow_ips; {who}"));
            return Ok(());
        }
        Client::Known(address) if allowed.pending => {
            let detail = format!("{address} is not in allow_ips, of which one list has no content yet; {who}");
            return Err(steps.refuse(STEP, Reject::IpListUnavailable, detail));
        }
        Client::Known(address) => {
            hypotheses.extend(elsewhere(policy, &allowed.set, peer, headers));
            return Err(steps.refuse(STEP, Reject::IpNotAllowed, format!("{address} is not in allow_ips; {who}")));
        }
        Client::Unknown(fault) => format!("{name} names no client ({}); {who}", fault.code()),
    };
    hypotheses.extend(elsewhere(policy, &allowed.set, peer, headers));
    Err(steps.refuse(STEP, Reject::ClientUnknown, detail))
}

/// Whether another reading of the request names an address of the list.
fn elsewhere(policy: &ClientPolicy, allowed: &IpSet, peer: IpAddr, headers: &HeaderMap) -> Option<Hypothesis> {
    let configured = &policy.rules.header;
    if let Some((address, hops)) = behind(configured, allowed, peer, headers) {
        let untrusted: Vec<String> =
            hops.iter().filter(|hop| !client::peer_is_trusted(&policy.rules, **hop)).map(ToString::to_string).collect();
        let list = untrusted.join(", ");
        return Some(Hypothesis {
            code: "proxy_not_trusted",
            finding: format!(
                "{} names {address}, which is in allow_ips, but {list} stands between it and hookward and is not in client_ip.trusted_proxies.",
                configured.name()
            ),
            fix: format!(
                "If {list} is your own proxy, add it to client_ip.trusted_proxies; if not, the header can be forged."
            ),
        });
    }
    let lists = [ClientHeader::XForwardedFor, ClientHeader::Forwarded];
    let singles = SINGLE.iter().map(|name| ClientHeader::Single((*name).into()));
    let mut others = singles.chain(lists).filter(|other| other.name() != configured.name());
    let (other, address, hops) = others
        .find_map(|other| behind(&other, allowed, peer, headers).map(|(address, hops)| (other, address, hops)))?;
    let also: Vec<String> =
        hops.iter().filter(|hop| !client::peer_is_trusted(&policy.rules, **hop)).map(ToString::to_string).collect();
    let trust = if also.is_empty() {
        String::new()
    } else {
        format!(" and add {} to client_ip.trusted_proxies", also.join(", "))
    };
    Some(Hypothesis {
        code: "client_in_other_header",
        finding: format!(
            "{} names {address}, which is in allow_ips, but client_ip.header is {}.",
            other.name(),
            configured.name()
        ),
        fix: format!(
            "If your proxy writes {0} itself, never passing on what it was sent, set client_ip.header = \"{0}\"{trust}.",
            other.name()
        ),
    })
}

/// The first address of the list that a header would name if the hops before it were trusted, and these hops, the peer
/// first.
fn behind(header: &ClientHeader, allowed: &IpSet, peer: IpAddr, headers: &HeaderMap) -> Option<(IpAddr, Vec<IpAddr>)> {
    let mut hops = vec![peer];
    while hops.len() <= HOPS {
        let trusted: IpSet = hops.iter().copied().map(IpNet::from).collect();
        let rules = ClientRules { trusted, header: header.clone() };
        match client::client(&rules, peer, lines(headers, header.name())) {
            Client::Known(address) if allowed.contains(address) => return Some((address, hops)),
            // A header with one address says the same however many hops are trusted.
            Client::Known(address) if !hops.contains(&address) => hops.push(address),
            Client::Known(_) | Client::Unknown(_) => return None,
        }
    }
    None
}

fn lines<'h>(headers: &'h HeaderMap, name: &str) -> impl DoubleEndedIterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ip::parse_entry;
    use http::HeaderName;

    fn set(entries: &[&str]) -> IpSet {
        entries.iter().map(|entry| parse_entry(entry).unwrap()).collect()
    }

    fn policy(trusted: &[&str], header: ClientHeader) -> ClientPolicy {
        let name = HeaderName::try_from(header.name()).unwrap();
        ClientPolicy { rules: ClientRules { trusted: set(trusted), header }, header: name }
    }

    fn found(policy: &ClientPolicy, headers: &[(&'static str, &str)]) -> Option<(&'static str, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::try_from(*value).unwrap());
        }
        let hypothesis = elsewhere(policy, &set(&["54.216.8.0/24"]), "10.0.3.7".parse().unwrap(), &map)?;
        Some((hypothesis.code, format!("{} {}", hypothesis.finding, hypothesis.fix)))
    }

    #[test]
    fn names_the_peer_that_is_not_trusted() {
        let (code, text) =
            found(&policy(&[], ClientHeader::XForwardedFor), &[("x-forwarded-for", "54.216.8.72")]).unwrap();
        assert_eq!(code, "proxy_not_trusted");
        assert!(text.contains("54.216.8.72") && text.contains("add it to client_ip.trusted_proxies"), "{text}");
        assert!(text.contains("If 10.0.3.7 is your own proxy"), "{text}");
    }

    #[test]
    fn names_only_the_hops_that_are_not_trusted_yet() {
        let policy = policy(&["10.0.0.0/8"], ClientHeader::XForwardedFor);
        let (_, text) = found(&policy, &[("x-forwarded-for", "54.216.8.72, 198.51.100.9, 10.1.1.1")]).unwrap();
        assert!(text.contains("If 198.51.100.9 is your own proxy"), "{text}");
    }

    #[test]
    fn names_another_header() {
        let policy = policy(&["10.0.3.7"], ClientHeader::XForwardedFor);
        let headers = [("x-forwarded-for", "203.0.113.1"), ("cf-connecting-ip", "54.216.8.72")];
        let (code, text) = found(&policy, &headers).unwrap();
        assert_eq!(code, "client_in_other_header");
        assert!(text.contains("set client_ip.header = \"cf-connecting-ip\""), "{text}");
        assert!(!text.contains("add 10.0.3.7"), "{text}");
        let headers = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=54.216.8.72;proto=https")];
        assert!(found(&policy, &headers).unwrap().1.contains("\"forwarded\""));
    }

    #[test]
    fn says_nothing_when_no_reading_is_in_the_list() {
        let policy = policy(&["10.0.3.7"], ClientHeader::XForwardedFor);
        assert_eq!(found(&policy, &[]), None);
        assert_eq!(found(&policy, &[("x-forwarded-for", "54.216.9.72"), ("x-real-ip", "54.216.9.72")]), None);
        assert_eq!(
            found(&policy, &[("x-forwarded-for", "54.216.8.72, unknown")]),
            None,
            "nothing beyond an unknown hop"
        );
        let twice = [("x-real-ip", "54.216.8.72"), ("x-real-ip", "54.216.8.72")];
        assert_eq!(found(&policy, &twice), None, "refused by the rule itself");
    }
}
