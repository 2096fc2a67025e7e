//! From a failed check to what the sender hears and what the access line says about it.
//!
//! Must never put a header's value or a part of a body into the line.

use std::error::Error as _;

use http::HeaderValue;

use crate::check::signature;
use crate::outbound::BodyError;
use crate::receive::Stopped;
use crate::reject::Reject;
use crate::telemetry::access::Record;
use crate::wire::{BodyFault, Line};

/// A reject, with what only its place knows.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reject: Reject,
    pub(crate) allow: Option<HeaderValue>,
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self { reject, allow: None }
    }
}

/// Steps 6 and 8: what the signature's check found.
pub(crate) fn failed(failure: signature::Failure, record: &mut Record) -> Refusal {
    record.header = failure.header;
    record.skew_seconds = failure.skew;
    failure.reject.into()
}

/// Step 7: the body is not whole.
pub(crate) fn stopped(stopped: Stopped, line: &Line, record: &mut Record) -> Refusal {
    match stopped {
        Stopped::Rejected(reject) => reject.into(),
        Stopped::Broken(error) => broken_body(&error, line, record).into(),
    }
}

/// The client's body ended before its end; the socket may know why.
pub(crate) fn broken_body(error: &hyper::Error, line: &Line, record: &mut Record) -> Reject {
    let stalled = error.source().and_then(|source| source.downcast_ref::<BodyError>());
    let fault = line.body_fault().or(matches!(stalled, Some(BodyError::Stalled)).then_some(BodyFault::Stalled));
    record.detail = Some(match fault {
        Some(BodyFault::Framing(fault)) => fault.why().into(),
        Some(BodyFault::Stalled) => BodyError::Stalled.to_string().into(),
        // What hyper wraps says more than its own "error from user's Body stream".
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string).into(),
    });
    match fault {
        Some(BodyFault::Framing(_)) => Reject::Framing,
        Some(BodyFault::Stalled) => Reject::BodyTimeout,
        None => Reject::BodyIncomplete,
    }
}
