//! The gate's checks on one captured request, in the order of `gate::judge`.
//!
//! Must decide nothing itself: each verdict is that of the function that the gate asks. What a capture cannot know (the
//! caller's address, a path) is skipped and said so.

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName};

use super::address;
use super::case::{Case, Chosen};
use super::facts::{self, Fact};
use super::judge::Judge;
use super::moment;
use super::sender;
use super::steps::{StepName, Steps, Stop};
use crate::capture::Note;
use crate::check::diagnose::Hypothesis;
use crate::check::signature::scheme::Engine;
use crate::check::signature::{self, Coverage, Failure, Head, Presented, Verified, Wanted, Window};
use crate::check::target::{Framework, Verdict as TargetVerdict};
use crate::headers;
use crate::plan::Unmatched;
use crate::reject::Reject;

/// The checks, and what they have found so far.
#[derive(Debug)]
pub(super) struct Walk<'c> {
    pub(super) case: &'c Case,
    pub(super) steps: Steps,
    pub(super) hypotheses: Vec<Hypothesis>,
    pub(super) facts: Vec<Fact>,
    pub(super) notes: Vec<String>,
    /// Unix seconds.
    pub(super) timestamp: Option<u64>,
    pub(super) verified: Option<Verified>,
    /// As the gate sees them: without what a client may not say.
    pub(super) headers: HeaderMap,
}

impl<'c> Walk<'c> {
    pub(super) fn new(case: &'c Case) -> Self {
        Self {
            case,
            steps: Steps::new(),
            hypotheses: Vec::new(),
            facts: facts::known(case),
            notes: Vec::new(),
            timestamp: None,
            verified: None,
            headers: case.request.headers.clone(),
        }
    }

    /// # Errors
    /// Why the request is not forwarded.
    pub(super) fn run(&mut self) -> Result<(), Stop> {
        self.framing()?;
        self.target()?;
        self.route()?;
        let Some(judge) = &self.case.judge else { return Err(Stop::Undecided) };
        self.reserved(judge)?;
        let unsigned = self.unsigned_handshake(judge);
        self.method(unsigned.is_some())?;
        self.client()?;
        if let Some(reply) = unsigned {
            return Err(self.handshake(StepName::Headers, reply));
        }
        let presented = match self.present(judge) {
            Ok(presented) => presented,
            Err(stop) => {
                let reply = self.form_handshake(judge);
                return Err(reply.map_or(stop, |reply| self.handshake(StepName::Headers, reply)));
            }
        };
        self.body()?;
        let verified = self.mac(judge, &presented)?;
        self.signed_handshake(judge, &verified)?;
        let verified = self.verified.insert(verified);
        let event_type = verified.event_type().map(|member| member.text.to_owned());
        self.events(event_type)
    }

    /// As much of it as a capture still shows.
    fn framing(&mut self) -> Result<(), Stop> {
        const STEP: StepName = StepName::Framing;
        let request = &self.case.request;
        if request.notes.contains(&Note::LengthAndChunked) {
            let detail = "content-length and transfer-encoding in one request";
            return Err(self.steps.refuse(STEP, Reject::Framing, detail));
        }
        if request.headers.get_all(HOST).iter().count() > 1 {
            return Err(self.steps.refuse(STEP, Reject::Framing, "more than one Host"));
        }
        let Some(limits) = self.case.plan().map(|plan| &plan.limits) else {
            self.steps.pass(STEP, "");
            return Ok(());
        };
        let lines = request.headers.len();
        // `METHOD target HTTP/1.1`, and for each header its colon and line end: no spelling of the head is shorter.
        let first = request.method.as_str().len().saturating_add(request.target.len()).saturating_add(12);
        let size = request.headers.iter().fold(first, |size, (name, value)| {
            size.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(3)
        });
        if lines > limits.max_headers || size > limits.max_head {
            let detail = format!("{lines} headers, {size} bytes");
            return Err(self.steps.refuse(STEP, Reject::HeadTooLarge, detail));
        }
        self.steps.pass(STEP, "");
        Ok(())
    }

    fn target(&mut self) -> Result<(), Stop> {
        const STEP: StepName = StepName::Target;
        let path = self.case.path();
        match self.case.verdict() {
            None if !self.case.has_path => self.steps.skip(STEP, "the request does not say to which path it was sent"),
            None => self.steps.skip(STEP, format!("{path}: give --config to judge paths")),
            Some(TargetVerdict::Route(_) | TargetVerdict::Unmatched) => self.steps.pass(STEP, path),
            Some(TargetVerdict::Refused(fault)) => {
                let detail = format!("{path}: {} ({})", fault.why(), fault.code());
                return Err(self.steps.refuse(STEP, Reject::BadTarget, detail));
            }
        }
        Ok(())
    }

    fn route(&mut self) -> Result<(), Stop> {
        const STEP: StepName = StepName::Route;
        let name = self.case.route().map(|route| format!("routes.{}", route.name)).unwrap_or_default();
        let denies = self.case.plan().is_some_and(|plan| plan.unmatched == Unmatched::Deny) && self.case.has_path;
        match self.case.chosen {
            Chosen::NoRoute => self.steps.skip(STEP, "judged by its provider alone"),
            Chosen::ByPath(_) => self.steps.pass(STEP, name),
            Chosen::AsAsked(_) => self.steps.skip(STEP, format!("judged by {name}, as asked")),
            Chosen::OnlyOne(_) | Chosen::Unmatched if denies => {
                return Err(self.steps.refuse(STEP, Reject::NoRoute, "no route has this path"));
            }
            Chosen::OnlyOne(_) => self.steps.skip(STEP, format!("judged by {name}, the only one")),
            Chosen::Unmatched => {
                self.steps.skip(STEP, "no route has this path: the app gets the request unverified");
            }
        }
        Ok(())
    }

    /// Removes what the gate removes before anything is believed.
    fn reserved(&mut self, judge: &Judge) -> Result<(), Stop> {
        let usual = headers::X_FORWARDED_FOR;
        let plan = self.case.plan().map(|plan| (plan.framework, &plan.client.header));
        let (framework, believed) = plan.unwrap_or((Framework::None, &usual));
        if headers::apply_connection(&mut self.headers, judge.scheme.headers().chain([believed])).is_err() {
            let detail = "the Connection list names a header that has to arrive";
            return Err(self.steps.refuse(StepName::Framing, Reject::Framing, detail));
        }
        headers::remove_reserved(&mut self.headers, framework, true, believed, false);
        Ok(())
    }

    fn method(&mut self, is_handshake: bool) -> Result<(), Stop> {
        const STEP: StepName = StepName::Method;
        let method = &self.case.request.method;
        match self.case.route() {
            None => self.steps.skip(STEP, format!("{method}: a matter of the route")),
            Some(_) if is_handshake => self.steps.skip(STEP, format!("{method}: a handshake has one of its own")),
            Some(route) if route.methods.contains(method) => self.steps.pass(STEP, method.as_str()),
            Some(route) => {
                let allowed = route.allow.to_str().unwrap_or_default();
                let detail = format!("{method}, and the route takes {allowed}");
                return Err(self.steps.refuse(STEP, Reject::MethodNotAllowed, detail));
            }
        }
        Ok(())
    }

    fn client(&mut self) -> Result<(), Stop> {
        let case = self.case;
        let (Some(plan), Some(route)) = (case.plan(), case.route()) else {
            self.steps.skip(StepName::Client, "a matter of the route");
            return Ok(());
        };
        if case.peer.is_none() && route.allow_ips.is_some() {
            self.facts.push(Fact::new(
                facts::ADDRESS_NOT_JUDGED,
                "The route has allow_ips, and the caller's address is not known here.",
                "Give --peer with the address that called.",
            ));
        }
        address::judge(&plan.client, route, case.peer, &self.headers, &mut self.steps, &mut self.hypotheses)
    }

    /// Signature headers and the time in them.
    fn present(&mut self, judge: &Judge) -> Result<Presented, Stop> {
        let window = self.window(judge);
        let presented = match signature::present(&judge.scheme, self.head(judge), window) {
            Ok(presented) => presented,
            Err(failure) => return Err(self.head_failure(judge, &failure)),
        };
        self.steps.pass(StepName::Headers, self.named(judge));
        self.timestamp = presented.timestamp();
        let token = self.token(judge);
        match (presented.timestamp(), judge.scheme.default_tolerance()) {
            _ if token.is_some() => {
                self.steps
                    .pass(StepName::Timestamp, token.map(|token| self.lifetime(judge, token)).unwrap_or_default());
            }
            (Some(timestamp), _) => {
                let tolerance = moment::span(window.tolerance);
                let detail = format!("{}; {tolerance} either way are allowed", self.distance(timestamp));
                self.steps.pass(StepName::Timestamp, detail);
            }
            (None, Some(_)) => self.steps.skip(StepName::Timestamp, "it is in the body"),
            (None, None) if judge.spec.engine == Engine::AwsSns => {
                self.steps
                    .skip(StepName::Timestamp, "it is signed, but not judged: a retry keeps the first one's for days");
            }
            (None, None) => self.steps.skip(StepName::Timestamp, "this provider signs no time"),
        }
        Ok(presented)
    }

    fn head_failure(&mut self, judge: &Judge, failure: &Failure) -> Stop {
        let header = failure.header.as_ref().map(HeaderName::as_str);
        let header = header.unwrap_or("a header");
        match failure.reject {
            Reject::TimestampTooOld | Reject::TimestampInFuture | Reject::TimestampMalformed => {
                self.steps.pass(StepName::Headers, self.named(judge));
                self.time_failure(judge, failure)
            }
            Reject::HeaderRepeated => {
                let count = self.headers.get_all(header).iter().count();
                self.steps.refuse(StepName::Headers, failure.reject, format!("{header} is there {count} times"))
            }
            Reject::HeaderMissing => {
                self.facts.extend(sender::wrong_names(judge, &self.headers));
                match sender::lost_signature(self.case, judge, &self.headers) {
                    Some(lost) => self.facts.push(lost),
                    None => self.facts.extend(sender::other_sender(self.case, judge, &self.headers)),
                }
                self.steps.refuse(StepName::Headers, failure.reject, format!("{header} is not there"))
            }
            Reject::HeaderMalformed => {
                let detail = format!("{header} is not written as {} writes it", judge.name);
                self.steps.refuse(StepName::Headers, failure.reject, detail)
            }
            // Complete and well-formed.
            other => {
                let detail = format!("{header} holds nothing that a secret of {} could have made", judge.name);
                self.steps.refuse(StepName::Headers, other, detail)
            }
        }
    }

    /// A time that is refused, in the head or in the body.
    fn time_failure(&mut self, judge: &Judge, failure: &Failure) -> Stop {
        let detail = match (failure.skew, &failure.header) {
            (Some(skew), _) if let Some(token) = self.token(judge) => {
                self.timestamp = token.inside();
                self.missed(judge, failure.reject, self.case.now.saturating_add_signed(skew))
            }
            (Some(skew), _) => {
                let timestamp = self.case.now.saturating_add_signed(skew);
                self.timestamp = Some(timestamp);
                format!("{}; {} either way are allowed", self.distance(timestamp), moment::span(judge.tolerance))
            }
            (None, Some(header)) => format!("{header} does not hold the time as {} writes it", judge.name),
            (None, None) => format!("the body does not hold the time as {} writes it", judge.name),
        };
        self.steps.refuse(StepName::Timestamp, failure.reject, detail)
    }

    fn body(&mut self) -> Result<(), Stop> {
        const STEP: StepName = StepName::Body;
        let request = &self.case.request;
        let size = u64::try_from(request.body.len()).unwrap_or(u64::MAX);
        if let Some(route) = self.case.route().filter(|route| size > route.max_body) {
            let detail = format!("{size} bytes, and max_body is {}", route.max_body);
            return Err(self.steps.refuse(STEP, Reject::BodyTooLarge, detail));
        }
        let broken = request.notes.iter().find(|note| {
            matches!(
                note,
                Note::Truncated { .. } | Note::ChunkedUnfinished { .. } | Note::BodyMissing | Note::FormFieldsOnly
            )
        });
        if let Some(note) = broken {
            return Err(self.steps.refuse(STEP, Reject::BodyIncomplete, note.to_string()));
        }
        self.steps.pass(STEP, format!("{size} bytes"));
        Ok(())
    }

    fn mac(&mut self, judge: &Judge, presented: &Presented) -> Result<Verified, Stop> {
        const STEP: StepName = StepName::Mac;
        let body = [Bytes::from(self.case.request.body.clone())];
        let verified = signature::wanted(&judge.scheme, presented, &body).and_then(|wanted| match wanted {
            Some(wanted) => Ok(Err(wanted)),
            None => signature::verify(&judge.scheme, &judge.keys, presented, &body, self.window(judge)).map(Ok),
        });
        match verified {
            Ok(Ok(verified)) => {
                let covers = match verified.coverage() {
                    Coverage::Body => "over all of the body",
                    Coverage::Partial => "over some fields of the body: believe these alone",
                    Coverage::Token => "but the body is not part of it",
                };
                self.steps.pass(STEP, format!("made with the secret `{}`, {covers}", verified.label()));
                if self.timestamp.is_none()
                    && let Some(timestamp) = verified.timestamp()
                {
                    self.timestamp = Some(timestamp);
                    let detail = format!("{}, as the body says", self.distance(timestamp));
                    match judge.scheme.default_tolerance() {
                        Some(_) => self.steps.pass(StepName::Timestamp, detail),
                        None => self.steps.skip(StepName::Timestamp, format!("{detail}: not judged")),
                    }
                }
                Ok(verified)
            }
            Ok(Err(Wanted::Document(address))) => {
                self.steps.skip(STEP, format!("it takes {address}, which `run` would fetch"));
                let option = judge.file_option().unwrap_or("cert_file");
                self.facts.push(Fact::new(
                    "needs_file",
                    format!("The signature is checked with {address}, and explain uses no network."),
                    format!("Download it and give --option {option}=FILE."),
                ));
                Err(Stop::Undecided)
            }
            Err(failure) => Err(self.mac_failure(judge, &failure)),
        }
    }

    fn mac_failure(&mut self, judge: &Judge, failure: &Failure) -> Stop {
        match failure.reject {
            // The time in a body is looked at only when the signature is right.
            Reject::TimestampTooOld | Reject::TimestampInFuture | Reject::TimestampMalformed => {
                self.steps.pass(StepName::Mac, "the signature is right");
                self.time_failure(judge, failure)
            }
            Reject::BodyIncomplete => {
                let detail = format!("it is empty, and {} never sends none", judge.name);
                self.steps.refuse(StepName::Body, failure.reject, detail)
            }
            other => {
                let detail = match judge.keys.as_slice() {
                    [] if judge.scheme.needs_no_secret() => format!("{} did not sign this request", judge.name),
                    [] => "none of the secrets can be a key".to_owned(),
                    [only] => format!("the secret `{}` did not sign this request", only.label),
                    keys => format!("none of the {} secrets signed this request", keys.len()),
                };
                self.steps.refuse(StepName::Mac, other, detail)
            }
        }
    }

    fn events(&mut self, event_type: Option<String>) -> Result<(), Stop> {
        const STEP: StepName = StepName::Events;
        match self.case.route() {
            None => self.steps.skip(STEP, "a matter of the route"),
            Some(route) if route.events.patterns.is_empty() => self.steps.skip(STEP, "every event is forwarded"),
            Some(route) if route.events.wants(event_type.as_deref()) => {
                self.steps.pass(STEP, event_type.unwrap_or_else(|| "the type cannot be read".to_owned()));
            }
            Some(route) => {
                let detail = format!(
                    "{} is none of {}: answered 204, not forwarded",
                    event_type.unwrap_or_default(),
                    route.events.patterns.join(", ")
                );
                return Err(self.steps.filter(detail));
            }
        }
        Ok(())
    }

    /// The scheme's headers that are there.
    fn named(&self, judge: &Judge) -> String {
        let names = judge.scheme.headers().map(HeaderName::as_str).filter(|name| self.headers.contains_key(*name));
        names.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn head<'w>(&'w self, judge: &'w Judge) -> Head<'w> {
        Head { method: &self.case.request.method, url: judge.url.as_deref(), headers: &self.headers }
    }

    pub(super) fn window(&self, judge: &Judge) -> Window {
        Window { now: self.case.now, tolerance: judge.tolerance }
    }

    pub(super) fn distance(&self, timestamp: u64) -> String {
        let now = self.case.now;
        match (now.checked_sub(timestamp), timestamp.checked_sub(now)) {
            _ if timestamp < moment::EARLIEST && now >= moment::EARLIEST => {
                "signed so long ago that it must be in another unit".to_owned()
            }
            _ if timestamp >= moment::LATEST => "signed so far ahead that it must be in milliseconds".to_owned(),
            (Some(0), _) => "signed in this very second".to_owned(),
            (Some(age), _) => format!("signed {} before now", moment::span(age)),
            (None, ahead) => format!("signed {} after now", moment::span(ahead.unwrap_or_default())),
        }
    }
}
