//! A verified delivery on its way to the app: tried again while its sender still waits.
//!
//! Again only when nothing of it was written: the app could not be connected to, or hyper gives the request back; and
//! after an answer that the route's `retry.on_status` names. So an app that restarts costs a sender some time and no
//! failure. An app that is gone during our own shutdown is not waited for: somebody else takes the sender's next
//! attempt. Must never hand a delivery over again whose fate nobody knows, nor outlive its deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::sync::watch;

use crate::admit::Admitted;
use crate::clock;
use crate::forward::{Answer, Failed, ForwardError, Forwarder};
use crate::in_flight::raised;
use crate::outbound::Outbound;
use crate::plan::{Plan, Route};

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
        let may_come_back = !retry.on_status.is_empty() && handed_over.saturating_add(1) < retry.attempts;
        let spare = may_come_back.then(|| copy(&request)).flatten();
        let is_time_left = || clock::monotonic().checked_add(pause).is_some_and(|next| next < give_up);
        match forwarder.exchange(request, passage, plan, Some(deadline)).await {
            Ok((exchange, response)) => {
                handed_over = handed_over.saturating_add(1);
                let wanted = retry.on_status.contains(&response.status()) && is_time_left();
                let Some(again) = spare.filter(|_| wanted) else { return exchange.answer(response) };
                (request, passage) = (again, exchange.set_aside(response));
            }
            // In a pod that ends the app goes first and does not come back, and we may have two seconds left: waiting
            // for it would cost the sender its answer.
            Err(Failed { error: error @ (ForwardError::Connect(_) | ForwardError::ConnectTimeout), .. })
                if *stopping.borrow() =>
            {
                return Err(ForwardError::Draining(Box::new(error)));
            }
            Err(Failed { error, unsent }) => {
                let may_try = retry.attempts > 1 && is_time_left();
                let Some(unsent) = unsent.filter(|_| may_try) else { return Err(error) };
                (request, passage) = unsent;
            }
        }
        // Woken by a shutdown, once: what follows is a last look, and no loop without a rest.
        let mut begins = stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = raised(&mut begins), if !*stopping.borrow() => {}
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// The same request once more; its body is shared. `None`: one that streams, which no delivery does.
fn copy(request: &Request<Outbound>) -> Option<Request<Outbound>> {
    let Outbound::Whole(frames) = request.body() else { return None };
    let mut copy = Request::new(Outbound::Whole(frames.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
