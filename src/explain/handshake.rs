//! Handshakes on a captured request: what the gate answers itself, and never hands on.
//!
//! Must never call what a handshake wants called, nor show what would be answered: it may be a MAC.

use bytes::Bytes;

use super::facts::Fact;
use super::judge::Judge;
use super::steps::{StepName, Stop};
use super::walk::Walk;
use crate::check::handshake::{self, Asked, Handshake, MAX_FORM, Reply};
use crate::check::signature::{Verified, Wanted};
use crate::reject::Reject;

impl<'c> Walk<'c> {
    /// One that is nothing but a head.
    pub(super) fn unsigned_handshake(&self, judge: &Judge) -> Option<Result<Reply, Reject>> {
        if !self.case.request.body.is_empty() {
            return None;
        }
        handshake::unsigned(self.handshakes(), self.asked(), &judge.keys)
    }

    /// One that is a small form.
    pub(super) fn form_handshake(&self, judge: &Judge) -> Option<Result<Reply, Reject>> {
        let body = &self.case.request.body;
        let is_small = u64::try_from(body.len()).is_ok_and(|size| size <= MAX_FORM);
        if !is_small || !handshake::may_be_a_form(self.handshakes(), self.asked(), judge.scheme.headers()) {
            return None;
        }
        handshake::unsigned_form(self.handshakes(), self.asked(), &[Bytes::from(body.clone())], &judge.keys)
    }

    /// One that is signed like a delivery.
    pub(super) fn signed_handshake(&mut self, judge: &Judge, verified: &Verified) -> Result<(), Stop> {
        let body = [Bytes::from(self.case.request.body.clone())];
        let signs_for_anyone = self.case.route().is_some_and(|route| route.signs_for_anyone);
        if signs_for_anyone && handshake::could_be_of_our_making(&body) {
            let detail = "the body could be a challenge, and anyone can have a challenge signed";
            return Err(self.steps.refuse(StepName::Mac, Reject::SignatureMismatch, detail));
        }
        match handshake::signed(self.handshakes(), self.asked(), &body, verified, &judge.keys) {
            Some(reply) => Err(self.handshake(StepName::Mac, reply)),
            None => Ok(()),
        }
    }

    /// Ends the checks at `step`.
    pub(super) fn handshake(&mut self, step: StepName, reply: Result<Reply, Reject>) -> Stop {
        let reply = match reply {
            Ok(reply) => reply,
            Err(reject) => return self.steps.refuse(step, reject, "a handshake that was made for someone else"),
        };
        if step != StepName::Mac {
            self.steps.skip(step, "a handshake, which nobody signs");
        }
        let first = match reply.confirm {
            Some(Wanted::Document(address)) => {
                let address = address.split('?').next().unwrap_or_default();
                format!(" once {address} was called")
            }
            None => String::new(),
        };
        let status = reply.status.as_u16();
        let finding =
            format!("This is a handshake, and not a delivery: hookward answers it itself with {status}{first}.");
        self.facts.push(Fact::new("handshake", finding, "Nothing: the app does not get it."));
        Stop::Handshake
    }

    fn handshakes(&self) -> &'c [Handshake] {
        self.case.route().map(|route| route.handshakes.as_slice()).unwrap_or_default()
    }

    fn asked(&self) -> Asked<'_> {
        let request = &self.case.request;
        let query = request.target.split_once('?').map(|(_, query)| query);
        Asked { method: &request.method, query, headers: &self.headers }
    }
}
