//! The pass to the application: [`Admitted`].
//!
//! `forward` takes nothing else. It is made from a [`Verified`], which only `signature::verify` makes, or by the loudly
//! named constructor for traffic that no route protects. Must never gain a third constructor.

use http::Request;

use crate::check::signature::Verified;
use crate::outbound::Outbound;

/// A request that may go upstream.
#[derive(Debug)]
pub(crate) struct Admitted {
    request: Request<Outbound>,
    passage: Passage,
}

/// How a request came to be admitted, which decides what becomes of it when its client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// A verified delivery: once begun, it runs to its end.
    Delivery,
    /// Unprotected traffic: cancelled with its client.
    Passed,
}

impl Admitted {
    /// Admits a verified delivery.
    pub(crate) fn delivery(_proof: &Verified, request: Request<Outbound>) -> Self {
        Self { request, passage: Passage::Delivery }
    }

    /// Admits traffic to a path that no route protects. Nothing about it is known to be genuine.
    pub(crate) fn passed_through_unverified(request: Request<Outbound>) -> Self {
        Self { request, passage: Passage::Passed }
    }

    /// The request, to be sent.
    pub(crate) fn into_parts(self) -> (Request<Outbound>, Passage) {
        (self.request, self.passage)
    }
}
