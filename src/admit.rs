//! The pass to the application: [`Admitted`].
//!
//! `forward` takes nothing else. It is made from a [`Verified`], which only `signature::verify` makes, or by the loudly
//! named constructor for traffic that no route protects. Must never gain a third constructor.

use http::Request;

use crate::check::signature::Verified;
use crate::outbound::Outbound;
use crate::replay::Claim;

/// A request that may go upstream. Small, since it is handed on from step to step: the request is in a box.
#[derive(Debug)]
pub(crate) struct Admitted {
    request: Box<Request<Outbound>>,
    passage: Passage,
}

/// How a request came to be admitted, which decides what becomes of it when its client leaves.
#[derive(Debug)]
pub(crate) enum Passage {
    /// A verified delivery: once begun, it runs to its end, and the claim with it.
    Delivery(Option<Box<Claim>>),
    /// Unprotected traffic: cancelled with its client.
    Passed,
}

impl Passage {
    /// Whether the right to run it may be another's by now.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Delivery(Some(claim)) if claim.is_over())
    }

    /// The request was sent, and nobody knows what became of it.
    pub(crate) fn lose(self) {
        if let Self::Delivery(Some(claim)) = self {
            claim.unknown();
        }
    }
}

impl Admitted {
    /// Admits a verified delivery, with the right to run it where its route de-duplicates.
    pub(crate) fn delivery(_proof: &Verified, claim: Option<Claim>, request: Box<Request<Outbound>>) -> Self {
        Self { request, passage: Passage::Delivery(claim.map(Box::new)) }
    }

    /// Admits traffic to a path that no route protects. Nothing about it is known to be genuine.
    pub(crate) fn passed_through_unverified(request: Box<Request<Outbound>>) -> Self {
        Self { request, passage: Passage::Passed }
    }

    /// The request, to be sent.
    pub(crate) fn into_parts(self) -> (Box<Request<Outbound>>, Passage) {
        (self.request, self.passage)
    }
}
