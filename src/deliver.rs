//! A verified delivery on its way to the app: tried again while its sender still waits.
//!
//! Again only when nothing of it was written: the app could not be connected to, or hyper gives the request back; and after
//! an answer that the route's `retry.on_status` names. So an app that restarts costs a sender some time and no failure. An
//! app that is gone during our own shutdown is not waited for: somebody else takes the sender's next attempt. Must never hand a
//! delivery over again whose fate nobody knows, nor one whose claim may be another's, nor outlive its deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::sync::watch;

use crate::admit::Admitted;
use crate::clock;
use crate::forward::{Answer, Failed, ForwardError, Forwarder};
use crate::in_flight::raised;
use crate::outbound::Outbound;
use crate::plan::{OnStoreError, Plan, Route};

/// Between two attempts, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Hands a delivery over whose head arrived at `began`.
///
/// # Errors
/// [`ForwardError`], of the last attempt.
pub(crate) async fn deliver(
    forwarder: &Arc<Forwarder>,
    admitted: Admitted,
    plan: &Arc<Plan>,
    route: &Route,
    began: Instant,
    stopping: &watch::Receiver<bool>,
) -> Result<Response<Answer>, ForwardError> {
    let retry = &route.retry;
    let deadline = began.checked_add(route.deadline).unwrap_or(began);
    let give_up = began.checked_add(retry.within).unwrap_or(began).min(deadline);
    let (mut request, mut passage) = admitted.into_parts();
    let mut handed_over = 0_u32;
    let mut pause = FIRST_PAUSE;
    loop {
        // It may be running elsewhere: the store was away while we waited for the app.
        if passage.is_over() && route.on_store_error == OnStoreError::Refuse {
            return Err(ForwardError::Over);
        }
        let may_come_back = !retry.on_status.is_empty() && handed_over.saturating_add(1) < retry.attempts;
        let spare = may_come_back.then(|| copy(&request)).flatten();
        match forwarder.exchange(request, passage, plan, Some(deadline), route.on_store_error).await {
            Ok((exchange, response)) => {
                handed_over = handed_over.saturating_add(1);
                let wanted = retry.on_status.contains(&response.status()) && may_wait(give_up);
                let Some(again) = spare.filter(|_| wanted) else { return exchange.answer(response) };
                (request, passage) = (again, exchange.set_aside(response));
            }
            // In a pod that ends the app goes first and does not come back, and we may have two seconds left: waiting for it
            // would cost the sender its answer.
            Err(Failed { error: error @ (ForwardError::Connect(_) | ForwardError::ConnectTimeout), .. })
                if *stopping.borrow() =>
            {
                return Err(ForwardError::Draining(Box::new(error)));
            }
            Err(Failed { error, unsent }) => {
                let may_try = retry.attempts > 1 && may_wait(give_up);
                let Some(unsent) = unsent.filter(|_| may_try) else { return Err(error) };
                (request, passage) = unsent;
            }
        }
        // Ever shorter towards the end, so that the last attempt is close to it.
        let half = give_up.saturating_duration_since(clock::monotonic()).checked_div(2).unwrap_or_default();
        Box::pin(rest(pause.min(half), stopping)).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Woken by a shutdown, once: what follows is a last look, and no loop without a rest.
async fn rest(pause: Duration, stopping: &watch::Receiver<bool>) {
    let mut begins = stopping.clone();
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = raised(&mut begins), if !*stopping.borrow() => {}
    }
}

/// Whether there is time for a further attempt.
fn may_wait(give_up: Instant) -> bool {
    give_up.saturating_duration_since(clock::monotonic()) > FIRST_PAUSE
}

/// The same request once more; its body is shared. `None`: one that streams, which no delivery does.
fn copy(request: &Request<Outbound>) -> Option<Box<Request<Outbound>>> {
    let Outbound::Whole(frames) = request.body() else { return None };
    let mut copy = Box::new(Request::new(Outbound::Whole(frames.clone())));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
