//! Every reason to say no, one row each.
//!
//! A row yields the status, the code in problem+json and log, the counter's label, what happened and what to do about
//! it. `Reject` is `Copy` and carries no payload: details (the skew, the peer) are fields of the access line. Must never
//! hold a secret, a signature or a part of the request, because senders' dashboards show the answer to people.

use http::StatusCode;

macro_rules! rejects {
    ($($variant:ident = $status:ident, $code:literal, $title:literal, $fix:literal;)+) => {
        /// A reason to refuse a request. See [`Reject::ALL`] for the whole table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reject {
            $(#[doc = $title] $variant,)+
        }

        impl Reject {
            /// Every reject, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The HTTP status of the answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The stable code: `code` in problem+json, `outcome` in the access line, label in metrics.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What happened, for the sender's dashboard.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What the operator can do about it.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)+ }
            }
        }
    };
}

rejects! {
    BadTarget = BAD_REQUEST, "bad_target", "The request target is not in canonical form.",
        "The access log's detail names the rule; most often: call the exact path that is configured, without dot segments or encoded letters.";
    Framing = BAD_REQUEST, "framing", "The request's framing is ambiguous or malformed.",
        "Send one Host, and either one plain Content-Length or Transfer-Encoding: chunked, with CRLF line ends.";
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "The request head is larger than the limit.",
        "Raise limits.max_head or limits.max_headers if the request is legitimate.";
    NoRoute = NOT_FOUND, "no_route", "Nothing is served at this path.",
        "Add a route, or set server.unmatched = \"forward\".";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This route does not take this method.",
        "Send a method listed in Allow, or add it to the route's methods.";
    ClientUnknown = FORBIDDEN, "client_unknown", "The client's address could not be determined.",
        "Check client_ip.trusted_proxies and client_ip.header: the trusted proxy sent no usable address.";
    IpNotAllowed = FORBIDDEN, "ip_not_allowed", "The client's address is not in the route's allowlist.",
        "Add the address to allow_ips, or set client_ip.trusted_proxies if the logged address is your load balancer's.";
    IpListUnavailable = SERVICE_UNAVAILABLE, "ip_list_unavailable", "The sender's list of addresses has not been fetched yet; nothing was forwarded.",
        "Let hookward reach the list's url, or give the list a cache that survives restarts.";
    HeaderMissing = BAD_REQUEST, "header_missing", "A header that the signature scheme needs is missing.",
        "Check that the sender is the configured provider and that nothing on the way removes its headers.";
    HeaderRepeated = BAD_REQUEST, "header_repeated", "A header of the signature scheme is present more than once.",
        "Send each signature header once; check for a proxy that duplicates headers.";
    HeaderMalformed = BAD_REQUEST, "header_malformed", "A header of the signature scheme is malformed.",
        "Compare the header with the provider's documentation; a template placeholder or a wrong encoding is common.";
    TimestampMalformed = BAD_REQUEST, "timestamp_malformed", "The timestamp is not in the scheme's format.",
        "Send plain digits (unix time), without sign, spaces or fraction.";
    TimestampTooOld = UNAUTHORIZED, "timestamp_too_old", "The timestamp is older than the tolerance.",
        "Check this machine's clock and the logged skew; a replayed request must be signed anew.";
    TimestampInFuture = UNAUTHORIZED, "timestamp_in_future", "The timestamp is further in the future than the tolerance.",
        "Check this machine's clock and the logged skew.";
    SignatureMismatch = UNAUTHORIZED, "signature_mismatch", "No configured secret produced this signature.",
        "Check that the secret belongs to this endpoint, and that nothing on the way changes the body.";
    KeyUnavailable = SERVICE_UNAVAILABLE, "key_unavailable", "The provider's public key could not be had; nothing was forwarded.",
        "Let hookward reach the provider's key server, or configure the key itself (cert_file).";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than the route's limit.",
        "Raise the route's max_body if the sender really sends this much.";
    BodyTimeout = REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time.",
        "Raise limits.body_timeout if the sender is slow but genuine.";
    BodyIncomplete = BAD_REQUEST, "body_incomplete", "The body ended before it was complete, or its chunks are broken.",
        "Check the connection between the sender and hookward.";
    HandshakeFailed = SERVICE_UNAVAILABLE, "handshake_failed", "The provider's confirmation address could not be called.",
        "Let hookward reach the provider's server over https, or confirm by hand and set handshake = false.";
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Too much is in flight; nothing was forwarded.",
        "Retry later; if this is ordinary load raise the limit that the access log names, or limits.buffered_bytes and limits.max_connections.";
    ReplayInFlight = CONFLICT, "replay_in_flight", "The same delivery is still running.",
        "Nothing to do: the next attempt is answered as a duplicate, or runs if this one fails.";
    ReplayStoreDown = SERVICE_UNAVAILABLE, "replay_store_down", "The replay store cannot be asked; nothing was forwarded.",
        "Check replay.store; with insecure_on_store_error = \"forward\" deliveries pass without de-duplication.";
    Draining = SERVICE_UNAVAILABLE, "draining", "hookward is shutting down; nothing was forwarded.",
        "Retry: another replica, or this one after its restart, will take it.";
    UpstreamUnreachable = BAD_GATEWAY, "upstream_unreachable", "The application could not be reached.",
        "Check that the application listens at server.upstream.";
    UpstreamInvalid = BAD_GATEWAY, "upstream_invalid", "The application's answer was broken or cut off.",
        "Look in the application's log: it closed the connection or answered something that is not HTTP.";
    UpstreamTimeout = GATEWAY_TIMEOUT, "upstream_timeout", "The application did not answer in time.",
        "Make the handler answer within the route's deadline and do slow work afterwards.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_has_its_own_code_and_an_error_status() {
        let codes: HashSet<_> = Reject::ALL.iter().map(|reject| reject.code()).collect();
        assert_eq!(codes.len(), Reject::ALL.len());
        for reject in Reject::ALL {
            let status = reject.status();
            assert!(status.is_client_error() || status.is_server_error(), "{}", reject.code());
            assert_ne!(status, StatusCode::GONE, "hookward itself never answers 410");
        }
    }
}
