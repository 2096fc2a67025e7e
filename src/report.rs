//! Trying hookward out: checks of a route that only log what they would refuse (`insecure_report`).
//!
//! A request that such a check would have refused is forwarded as what it is, unverified: without `verified-event`, past the
//! event filter and the replay store. Must never soften a check that is not listed: a timestamp that cannot be read leaves a
//! signature that cannot be checked, so it is refused unless the signature is listed too.

use crate::check::signature::{Failure, Window};
use crate::plan::Reported;
use crate::reject::Reject;
use crate::telemetry::access::Record;

/// The checks of one request that only log, and the first of them that would have refused it.
#[derive(Debug)]
pub(crate) struct Report {
    reported: Reported,
    would: Option<Reject>,
}

impl Report {
    pub(crate) fn new(reported: Reported) -> Self {
        Self { reported, would: None }
    }

    /// What would have been refused, and why.
    pub(crate) fn would_reject(&self) -> Option<Reject> {
        self.would
    }

    /// The allowlist's verdict.
    ///
    /// # Errors
    /// As it was, unless it only logs.
    pub(crate) fn ip(&mut self, verdict: Result<(), Reject>) -> Result<(), Reject> {
        match verdict {
            Err(reject) if self.reported.ip => {
                self.note(reject);
                Ok(())
            }
            verdict => verdict,
        }
    }

    /// A check of the signature. `None`: it would have been refused, and there is nothing to believe. A timestamp outside of
    /// its window is looked past, where that only logs, and `window` is without end from there on.
    ///
    /// # Errors
    /// As it was, unless it only logs.
    pub(crate) fn signature<T>(
        &mut self,
        window: &mut Window,
        record: &mut Record,
        mut check: impl FnMut(Window) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut verdict = check(*window);
        if let Err(failure) = &verdict
            && self.reported.timestamp
            && matches!(failure.reject, Reject::TimestampTooOld | Reject::TimestampInFuture)
        {
            self.note(failure.reject);
            record.skew_seconds = failure.skew;
            window.tolerance = u64::MAX;
            verdict = check(*window);
        }
        match verdict {
            Err(failure) if self.reported.signature && self.is_only_logged(failure.reject) => {
                self.note(failure.reject);
                record.header = failure.header;
                Ok(None)
            }
            verdict => verdict.map(Some),
        }
    }

    /// What a signature's check may find, where signatures only log. The time is a check of its own.
    fn is_only_logged(&self, reject: Reject) -> bool {
        let is_about_it = matches!(
            reject,
            Reject::HeaderMissing | Reject::HeaderRepeated | Reject::HeaderMalformed | Reject::SignatureMismatch
        );
        is_about_it || (reject == Reject::TimestampMalformed && self.reported.timestamp)
    }

    fn note(&mut self, reject: Reject) {
        self.would = self.would.or(Some(reject));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::access::AccessLog;
    use http::{HeaderValue, Method};

    const WINDOW: Window = Window { now: 1000, tolerance: 10 };

    fn judged(
        reported: Reported,
        strict: Reject,
        lax: Result<(), Reject>,
    ) -> (Result<Option<()>, Reject>, Option<Reject>) {
        let mut report = Report::new(reported);
        let mut record = Record::new(AccessLog::off(), HeaderValue::from_static("a"), Method::POST, "/");
        let failure = |reject| Failure { reject, header: None, skew: None };
        let verdict = report.signature(&mut { WINDOW }, &mut record, |window| {
            if window.tolerance == 10 { Err(failure(strict)) } else { lax.map_err(failure) }
        });
        (verdict.map_err(|failure| failure.reject), report.would_reject())
    }

    const TIMESTAMP: Reported = Reported { ip: false, timestamp: true, signature: false };
    const SIGNATURE: Reported = Reported { ip: false, timestamp: false, signature: true };
    const BOTH: Reported = Reported { ip: false, timestamp: true, signature: true };

    #[test]
    fn only_the_listed_checks_are_softened() {
        let (old, wrong) = (Reject::TimestampTooOld, Reject::SignatureMismatch);
        assert_eq!(judged(Reported::default(), old, Ok(())), (Err(old), None));
        assert_eq!(judged(SIGNATURE, old, Ok(())), (Err(old), None));
        assert_eq!(judged(TIMESTAMP, wrong, Ok(())), (Err(wrong), None));
        assert_eq!(judged(TIMESTAMP, old, Ok(())), (Ok(Some(())), Some(old)));
        assert_eq!(judged(SIGNATURE, wrong, Ok(())), (Ok(None), Some(wrong)));
    }

    #[test]
    fn an_old_and_forged_delivery_needs_both() {
        let (old, wrong) = (Reject::TimestampTooOld, Reject::SignatureMismatch);
        assert_eq!(judged(TIMESTAMP, old, Err(wrong)), (Err(wrong), Some(old)));
        assert_eq!(judged(BOTH, old, Err(wrong)), (Ok(None), Some(old)));
    }

    #[test]
    fn a_timestamp_that_cannot_be_read_needs_both() {
        let malformed = Reject::TimestampMalformed;
        assert_eq!(judged(TIMESTAMP, malformed, Err(malformed)), (Err(malformed), None));
        assert_eq!(judged(SIGNATURE, malformed, Err(malformed)), (Err(malformed), None));
        assert_eq!(judged(BOTH, malformed, Err(malformed)), (Ok(None), Some(malformed)));
    }

    #[test]
    fn what_is_no_fault_of_the_sender_is_refused_all_the_same() {
        for reject in [Reject::KeyUnavailable, Reject::BodyIncomplete, Reject::BodyTooLarge] {
            assert_eq!(judged(BOTH, reject, Ok(())), (Err(reject), None));
        }
    }
}
