//! What the page says: the reject table's own words, those for the other outcomes, and the names of the steps.
//!
//! Must never say more of a request than what it came to.

use serde_json::{Value, json};

use crate::check::client::ClientFault;
use crate::check::target::TargetFault;
use crate::reject::Reject;
use crate::telemetry::access::Outcome;
use crate::telemetry::recent::Decision;

/// The steps of the gate, by number from 1: those of README.md, "The order of checks".
pub(super) const STEPS: [&str; 12] = [
    "Framing and target",
    "Route",
    "Reserved headers",
    "Method",
    "Client's address",
    "Signature headers, timestamp, declared length",
    "Body",
    "Signature",
    "Event filter",
    "Claim: a delivery runs once",
    "Forward to the app",
    "The app's answer",
];

/// Everything that does not change while the process runs.
pub(super) fn json() -> Value {
    let rejects: Vec<Value> = Reject::ALL
        .iter()
        .map(|reject| {
            json!({
                "code": reject.code(), "status": reject.status().as_u16(), "title": reject.title(), "fix": reject.fix(),
            })
        })
        .collect();
    let outcomes: Vec<Value> = Outcome::all()
        .filter_map(|outcome| {
            let (title, fix) = of(outcome)?;
            Some(json!({ "code": outcome.code(), "title": title, "fix": fix }))
        })
        .collect();
    let guards: Vec<Value> = GUARDS
        .iter()
        .map(|(from, to, title, fix)| json!({ "from": from, "to": to, "title": title, "fix": fix }))
        .collect();
    let details: Vec<Value> = TargetFault::ALL
        .iter()
        .map(|fault| (Reject::BadTarget, fault.code(), fault.why()))
        .chain(ClientFault::ALL.iter().map(|fault| (Reject::ClientUnknown, fault.code(), fault.why())))
        .map(|(reject, code, why)| json!({ "reject": reject.code(), "code": code, "why": why }))
        .collect();
    json!({ "rejects": rejects, "outcomes": outcomes, "details": details, "steps": STEPS, "guards": guards })
}

/// What happened, and what there is to do. `None`: the reject table says it, or it is never shown.
fn of(outcome: Outcome) -> Option<(&'static str, &'static str)> {
    Some(match outcome {
        Outcome::Forwarded => ("Proven genuine, and forwarded to the app.", ""),
        Outcome::WouldReject => (
            "A check that only logs would have refused it; it went to the app, unverified.",
            "Remove insecure_report from the route when this no longer happens to genuine deliveries.",
        ),
        Outcome::Filtered => (
            "Genuine, but the route's events do not name this type: answered with 204, and not forwarded.",
            "Add the type to the route's events if the app should get it.",
        ),
        Outcome::Duplicate => (
            "This delivery has run already: its sender was told so, and the app was not asked again.",
            "To let it run once more, use hookward forget, and send it again.",
        ),
        Outcome::Handshake => {
            ("The provider asked whether the endpoint is there, and was answered without the app.", "")
        }
        Outcome::ClientLeft => (
            "The sender left before it had an answer.",
            "If an event's id is shown it was genuine, and the app's run goes on without the sender.",
        ),
        Outcome::Passed | Outcome::Rejected(_) => return None,
    })
}

/// From a status to a status: what the app's answer to a genuine delivery looks like (clerk/javascript#4126).
const GUARDS: [(u16, u16, &str, &str); 3] = [
    (
        300,
        399,
        "The app answered a genuine delivery with a redirect: probably its middleware did, not the handler.",
        "A sender does not follow it. Leave this path public where the middleware sends visitors to sign in; a 308 comes from \
         trailingSlash or a locale: configure the path that the app itself uses.",
    ),
    (
        401,
        403,
        "The app answered that somebody must sign in: probably its middleware did, not the handler.",
        "A webhook has no session; its signature is the proof. Leave this path public in the middleware. If the handler answers \
         like this, it verifies with another secret than hookward.",
    ),
    (
        404,
        404,
        "The app says that there is nothing at this path: the handler is elsewhere, or the middleware hides it.",
        "auth.protect() of Clerk answers 404 to requests without a session: leave this path public in the middleware. Otherwise \
         compare the route's path with that of the handler.",
    ),
];

/// The step at which it ended. `None`: at its end, or nobody knows.
pub(super) fn step(decision: &Decision) -> Option<u8> {
    match decision.outcome {
        Outcome::Filtered => Some(9),
        Outcome::Duplicate => Some(10),
        Outcome::Rejected(reject) => Some(refused_at(reject, decision)),
        Outcome::WouldReject => decision.would_reject.map(|reject| refused_at(reject, decision)),
        Outcome::Forwarded | Outcome::Handshake | Outcome::ClientLeft | Outcome::Passed => None,
    }
}

fn refused_at(reject: Reject, decision: &Decision) -> u8 {
    let body_came = decision.bytes_in > 0;
    match reject {
        Reject::BadTarget | Reject::Framing | Reject::HeadTooLarge => 1,
        Reject::NoRoute => 2,
        Reject::MethodNotAllowed => 4,
        Reject::ClientUnknown | Reject::IpNotAllowed | Reject::IpListUnavailable => 5,
        Reject::HeaderMissing | Reject::HeaderRepeated | Reject::HeaderMalformed => 6,
        // Looked at twice: in its header before the body is read, and after; or where it is, in the body.
        Reject::TimestampMalformed | Reject::TimestampTooOld | Reject::TimestampInFuture => {
            if body_came {
                8
            } else {
                6
            }
        }
        Reject::BodyTooLarge => {
            if body_came {
                7
            } else {
                6
            }
        }
        Reject::BodyTimeout | Reject::BodyIncomplete | Reject::Draining => 7,
        // Before anything was read, or for want of room for a body.
        Reject::Overloaded => {
            if decision.route.is_some() {
                7
            } else {
                1
            }
        }
        Reject::SignatureMismatch | Reject::KeyUnavailable => 8,
        Reject::HandshakeFailed => 9,
        Reject::ReplayInFlight | Reject::ReplayStoreDown => 10,
        Reject::UpstreamUnreachable => 11,
        Reject::UpstreamInvalid | Reject::UpstreamTimeout => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_those_of_the_readme() {
        let readme = include_str!("../../README.md");
        let section = readme.split("## The order of checks").nth(1).unwrap().split("\n## ").next().unwrap();
        let count =
            section.lines().filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok())).count();
        assert_eq!(count, STEPS.len());
        for (number, word) in [
            (1, "Framing and target"),
            (2, "Route"),
            (4, "Method"),
            (7, "Body"),
            (8, "Signature"),
            (9, "Event filter"),
            (10, "Claim"),
        ] {
            assert!(section.contains(&format!("\n{number}. **{word}")), "{number}. {word}");
            assert!(STEPS[number - 1].starts_with(word), "{number}");
        }
    }

    #[test]
    fn every_outcome_that_can_be_shown_has_words() {
        let words = json();
        let codes = |list: &str| -> Vec<String> {
            words[list].as_array().unwrap().iter().map(|row| row["code"].as_str().unwrap().to_owned()).collect()
        };
        let known = [codes("rejects"), codes("outcomes")].concat();
        for outcome in Outcome::all().filter(|outcome| *outcome != Outcome::Passed) {
            assert!(known.iter().any(|code| code == outcome.code()), "{}", outcome.code());
        }
        for reject in Reject::ALL {
            let row = words["rejects"].as_array().unwrap().iter().find(|row| row["code"] == reject.code()).unwrap();
            assert_eq!((row["title"].as_str(), row["fix"].as_str()), (Some(reject.title()), Some(reject.fix())));
        }
    }
}
