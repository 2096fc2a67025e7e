//! Questions and their answers, without files, a terminal or a clock.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::capture::{self, Captured};
use crate::check::signature::{Delivery, Scheme, sign};
use crate::config::{self, Environment};
use crate::explain::steps::{StepName, Verdict};
use crate::providers::Catalog;

const CLERK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STRIPE: &str = "whsec_stripe_test_secret_of_some_length";
const GITHUB: &str = "It's a Secret to Everybody";
const BODY: &str = r#"{"data":{"id":"user_1"},"object":"event","type":"user.created","id":"evt_1"}"#;
const THEN: u64 = 1_614_265_330;

struct Env(HashMap<&'static str, String>);

impl Environment for Env {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.clone().into_bytes())
    }

    fn variable_names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("clerk.secret") {
            Ok(format!("{CLERK}\n").into_bytes())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

fn env() -> Env {
    Env(HashMap::from([
        ("CLERK", CLERK.to_owned()),
        ("STRIPE", STRIPE.to_owned()),
        ("GITHUB", GITHUB.to_owned()),
        ("API_KEY", "sk_test_abcdefghijklmnop".to_owned()),
        ("CLERK_WEBHOOK_SIGNING_SECRET", CLERK.to_owned()),
    ]))
}

/// A genuine request, and `more` header lines, each ending in CRLF.
fn genuine(provider: &str, secret: &str, path: &str, more: &str) -> String {
    let catalog = Catalog::load().unwrap();
    let scheme = Scheme::compile(provider, catalog.scheme(provider).unwrap(), &BTreeMap::new()).unwrap();
    let (key, _) = scheme.key(secret.as_bytes()).unwrap();
    let url = format!("https://app.example{path}");
    let delivery = Delivery {
        id: "msg_1",
        timestamp: THEN,
        method: &Method::POST,
        url: Some(&url),
        headers: &HeaderMap::new(),
        body: BODY.as_bytes(),
    };
    let signed = sign(&scheme, Some(&key), &delivery).unwrap();
    let headers = lines(&signed.headers);
    format!("POST {path} HTTP/1.1\r\nHost: app.example\r\n{headers}{more}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn lines(headers: &[(HeaderName, HeaderValue)]) -> String {
    let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
    headers.iter().map(line).collect::<Vec<_>>().concat()
}

fn clerk(more: &str) -> String {
    genuine("clerk", CLERK, "/api/webhooks/clerk", more)
}

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://127.0.0.1:3000"
[client_ip]
trusted_proxies = ["10.0.3.7"]
[routes.clerk]
path = "/api/webhooks/clerk"
provider = "clerk"
secrets = [{ env = "CLERK" }]
[routes.stripe]
path = "/api/webhooks/stripe"
provider = "stripe"
secrets = [{ label = "live", env = "STRIPE" }]
"#;

struct Ask {
    request: Captured,
    config: Option<String>,
    asked: Asked,
    peer: Option<&'static str>,
    now: u64,
}

impl Ask {
    fn of(request: &str) -> Self {
        let request = capture::read(request.as_bytes()).unwrap();
        Self { request, config: None, asked: Asked::default(), peer: None, now: THEN + 10 }
    }

    fn provider(mut self, name: &str) -> Self {
        self.asked.provider = Some(name.into());
        self
    }

    fn secret(mut self, name: &str) -> Self {
        self.asked.secret_env.push(name.into());
        self
    }

    fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.into());
        self
    }

    fn answer(self) -> Result<Explanation, String> {
        let loaded = self.config.map(|toml| {
            config::compile(&toml, Path::new("t.toml"), &env()).unwrap_or_else(|report| panic!("{report}"))
        });
        let question = Question {
            request: self.request,
            loaded,
            own_schemes: BTreeMap::new(),
            asked: self.asked,
            peer: self.peer.map(|peer| peer.parse().unwrap()),
            now: self.now,
        };
        let case = Case::of(question, &env()).map_err(|usage| usage.to_string())?;
        Ok(explain(&case, &mut || true))
    }

    fn explained(self) -> Explanation {
        self.answer().unwrap_or_else(|message| panic!("{message}"))
    }
}

fn verdict(explanation: &Explanation, name: StepName) -> Verdict {
    explanation.steps.iter().find(|step| step.name == name).unwrap().verdict
}

/// With further variables.
fn asked(request: &str, provider: &str, variables: &[(&'static str, &str)], change: &dyn Fn(&mut Ask)) -> Explanation {
    let mut environment = env();
    let mut ask = Ask::of(request).provider(provider);
    for (name, value) in variables {
        environment.0.insert(name, (*value).to_owned());
        ask.asked.secret_env.push((*name).to_owned());
    }
    change(&mut ask);
    let question = Question {
        request: ask.request,
        loaded: None,
        own_schemes: BTreeMap::new(),
        asked: ask.asked,
        peer: None,
        now: ask.now,
    };
    explain(&Case::of(question, &environment).unwrap(), &mut || true)
}

fn detail(explanation: &Explanation, name: StepName) -> String {
    explanation.steps.iter().find(|step| step.name == name).unwrap().detail.clone()
}

fn told(explanation: &Explanation) -> String {
    let mut out = Vec::new();
    write_text(explanation, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn codes(explanation: &Explanation) -> Vec<&'static str> {
    explanation.hypotheses.iter().map(|found| found.code).collect()
}

fn facts(explanation: &Explanation) -> Vec<&'static str> {
    explanation.facts.iter().map(|fact| fact.code).collect()
}

#[test]
fn a_genuine_request_passes_every_step_that_can_be_judged() {
    for (provider, variable, secret) in
        [("clerk", "CLERK", CLERK), ("stripe", "STRIPE", STRIPE), ("github", "GITHUB", GITHUB)]
    {
        let explanation =
            Ask::of(&genuine(provider, secret, "/hook", "")).provider(provider).secret(variable).explained();
        assert_eq!(explanation.outcome, Outcome::Accepted, "{provider}: {explanation:?}");
        assert_eq!(explanation.secret.as_deref(), Some(variable));
        assert!(explanation.hypotheses.is_empty() && explanation.facts.is_empty(), "{explanation:?}");
        assert_eq!(verdict(&explanation, StepName::Mac), Verdict::Passed);
        assert_eq!(verdict(&explanation, StepName::Target), Verdict::Skipped, "nothing to judge it by");
    }
}

#[test]
fn the_route_is_found_by_its_path_and_brings_its_secrets() {
    let explanation = Ask::of(&clerk("")).config(CONFIG).explained();
    assert_eq!((explanation.outcome, explanation.route.as_deref()), (Outcome::Accepted, Some("clerk")));
    assert_eq!(explanation.secret.as_deref(), Some("current"));
}

#[test]
fn a_named_route_judges_a_request_with_another_path() {
    let mut ask = Ask::of(&genuine("stripe", STRIPE, "/tunnel", "")).config(CONFIG);
    ask.asked.route = Some("stripe".into());
    let explanation = ask.explained();
    assert_eq!(explanation.outcome, Outcome::Accepted);
    assert_eq!(verdict(&explanation, StepName::Route), Verdict::Skipped);
    assert_eq!(facts(&explanation), ["no_route_matches"]);
}

#[test]
fn the_path_of_another_route_is_told() {
    let mut ask = Ask::of(&clerk("")).config(CONFIG);
    ask.asked.route = Some("stripe".into());
    let explanation = ask.explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::HeaderMissing));
    assert_eq!(facts(&explanation), ["other_route"]);
    assert_eq!(codes(&explanation), ["delivery_of_another_route"]);
}

#[test]
fn no_route_is_no_verdict_where_the_app_gets_the_request_and_404_where_it_does_not() {
    let request = genuine("clerk", CLERK, "/api/webhook/clerk", "");
    let explanation = Ask::of(&request).config(CONFIG).explained();
    assert_eq!(explanation.outcome, Outcome::Undecided);
    let [fact] = explanation.facts.as_slice() else { panic!("{explanation:?}") };
    assert!(fact.fix.contains("/api/webhooks/clerk") && !fact.fix.contains("stripe"), "the nearest path: {fact:?}");
    let deny = CONFIG.replace("[server]", "[server]\nunmatched = \"deny\"");
    let explanation = Ask::of(&request).config(&deny).explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::NoRoute));
}

#[test]
fn each_step_refuses_what_the_gate_refuses() {
    let limited = CONFIG.replace("provider = \"clerk\"", "provider = \"clerk\"\nmax_body = \"70B\"\n");
    let events = CONFIG.replace("provider = \"clerk\"", "provider = \"clerk\"\nevents = [\"sms.*\"]\n");
    let good = clerk("");
    let without = |name: &str| {
        let lines: Vec<&str> = good.split("\r\n").filter(|line| !line.to_lowercase().starts_with(name)).collect();
        lines.join("\r\n")
    };
    let other = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    for (request, config, step, reject) in [
        (clerk("Host: b\r\n"), CONFIG, StepName::Framing, Reject::Framing),
        (clerk("Connection: svix-id\r\n"), CONFIG, StepName::Framing, Reject::Framing),
        (clerk(&format!("x-long: {}\r\n", "x".repeat(20_000))), CONFIG, StepName::Framing, Reject::HeadTooLarge),
        (other("/api/webhooks/clerk", "/api/webhooks/%63lerk"), CONFIG, StepName::Target, Reject::BadTarget),
        (other("POST", "PUT"), CONFIG, StepName::Method, Reject::MethodNotAllowed),
        (without("svix-id"), CONFIG, StepName::Headers, Reject::HeaderMissing),
        (clerk("svix-id: msg_1\r\n"), CONFIG, StepName::Headers, Reject::HeaderRepeated),
        (other("svix-signature: v1,", "svix-signature: "), CONFIG, StepName::Headers, Reject::HeaderMalformed),
        (other("svix-signature: v1,", "svix-signature: v2,"), CONFIG, StepName::Headers, Reject::SignatureMismatch),
        (other("svix-timestamp: 1", "svix-timestamp: +1"), CONFIG, StepName::Timestamp, Reject::TimestampMalformed),
        (other("svix-timestamp: 16", "svix-timestamp: 15"), CONFIG, StepName::Timestamp, Reject::TimestampTooOld),
        (other("svix-timestamp: 16", "svix-timestamp: 17"), CONFIG, StepName::Timestamp, Reject::TimestampInFuture),
        (good.clone(), &limited, StepName::Body, Reject::BodyTooLarge),
        (good[..good.len() - 3].to_owned(), CONFIG, StepName::Body, Reject::BodyIncomplete),
        (other("user_1", "user_2"), CONFIG, StepName::Mac, Reject::SignatureMismatch),
    ] {
        let explanation = Ask::of(&request).config(config).explained();
        assert_eq!(explanation.outcome, Outcome::Refused(reject), "{step:?}: {explanation:?}");
        let refused: Vec<StepName> = explanation
            .steps
            .iter()
            .filter(|step| step.verdict == Verdict::Refused)
            .map(|step| {
                assert_eq!(step.code, Some(reject.code()));
                step.name
            })
            .collect();
        assert_eq!(refused, [step]);
    }
    let explanation = Ask::of(&good).config(&events).explained();
    assert_eq!((explanation.outcome, explanation.outcome.code()), (Outcome::Filtered, Some("filtered")));
    assert_eq!(explanation.event_type.as_deref(), Some("user.created"), "it is genuine");
}

#[test]
fn a_header_that_the_gate_removes_is_not_there() {
    let config = r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://127.0.0.1:3000"
[app]
framework = "nextjs"
[routes.own]
path = "/hook"
scheme = "own"
secrets = [{ env = "GITHUB" }]
[schemes.own]
algorithm = "token"
signature = { header = "next-token", encoding = "text" }
content = ""
insecure_unsigned_body = true
"#;
    let request = format!("POST /hook HTTP/1.1\r\nHost: a\r\nnext-token: {GITHUB}\r\n\r\n{BODY}");
    assert_eq!(Ask::of(&request).config(config).explained().outcome, Outcome::Refused(Reject::HeaderMissing));
    let plain = config.replace("nextjs", "none");
    assert_eq!(Ask::of(&request).config(&plain).explained().outcome, Outcome::Accepted);
}

#[test]
fn a_handshake_is_answered_where_the_route_says_so() {
    let body =
        r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let catalog = Catalog::load().unwrap();
    let scheme = Scheme::compile("slack", catalog.scheme("slack").unwrap(), &BTreeMap::new()).unwrap();
    let (key, _) = scheme.key(GITHUB.as_bytes()).unwrap();
    let headers = HeaderMap::new();
    let delivery = Delivery {
        id: "",
        timestamp: THEN,
        method: &Method::POST,
        url: None,
        headers: &headers,
        body: body.as_bytes(),
    };
    let signed = sign(&scheme, Some(&key), &delivery).unwrap();
    let headers = lines(&signed.headers);
    let request = format!("POST /slack HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
    let config = |more: &str| {
        format!(
            "{CONFIG}\n[routes.slack]\npath = \"/slack\"\nprovider = \"slack\"\nsecrets = [{{ env = \"GITHUB\" }}]\n{more}"
        )
    };
    let explanation = Ask::of(&request).config(&config("handshake = true")).explained();
    assert_eq!((explanation.outcome, explanation.outcome.is_accepted()), (Outcome::Handshake, true));
    assert_eq!(facts(&explanation), ["handshake"]);
    let explanation = Ask::of(&request).config(&config("")).explained();
    assert_eq!(explanation.outcome, Outcome::Accepted, "the app answers it");
    let forged = request.replace("3eZ", "4eZ");
    let explanation = Ask::of(&forged).config(&config("handshake = true")).explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::SignatureMismatch));
}

#[test]
fn the_allowlist_is_judged_for_a_peer_alone() {
    let config = CONFIG.replace("provider = \"clerk\"", "provider = \"clerk\"\nallow_ips = [\"54.216.8.72\"]\n");
    let ask = |more: &str, peer: Option<&'static str>| {
        let mut ask = Ask::of(&clerk(more)).config(&config);
        ask.peer = peer;
        ask.explained()
    };
    let explanation = ask("", None);
    assert_eq!(explanation.outcome, Outcome::Accepted);
    assert_eq!(facts(&explanation), ["address_not_judged"]);
    let mut out = Vec::new();
    write_text(&explanation, false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\naccepted, but the address was not judged: give --peer ("), "{text}");
    let forwarded = "x-forwarded-for: 54.216.8.72\r\n";
    assert_eq!(ask(forwarded, Some("10.0.3.7")).outcome, Outcome::Accepted);
    assert_eq!(ask("", Some("54.216.8.72")).outcome, Outcome::Accepted);
    let explanation = ask(forwarded, Some("10.0.3.8"));
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::IpNotAllowed));
    assert_eq!(explanation.hypotheses.first().unwrap().code, "proxy_not_trusted");
    let explanation = ask("", Some("10.0.3.7"));
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::ClientUnknown));
    assert!(explanation.hypotheses.is_empty(), "no header names anyone");
}

#[test]
fn an_old_capture_says_whether_the_signature_was_right() {
    let mut ask = Ask::of(&clerk("")).provider("clerk").secret("CLERK");
    ask.now = THEN + 86_400 * 400;
    let explanation = ask.explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::TimestampTooOld));
    assert_eq!(explanation.timestamp, Some(THEN));
    let fact = explanation.facts.first().unwrap();
    assert!(fact.finding.contains("The signature is right") && fact.fix.contains("--now 1614265330"), "{fact:?}");

    let mut ask = Ask::of(&clerk("").replace("user_1", "user_2")).provider("clerk").secret("CLERK");
    ask.now = THEN + 86_400 * 400;
    let explanation = ask.explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::TimestampTooOld));
    let fact = explanation.facts.first().unwrap();
    assert!(fact.finding.contains("not right either"), "{fact:?}");
}

#[test]
fn both_edges_of_the_tolerance_are_the_gates() {
    for (now, tolerance, outcome) in [
        (THEN + 300, None, Outcome::Accepted),
        (THEN + 301, None, Outcome::Refused(Reject::TimestampTooOld)),
        (THEN - 301, None, Outcome::Refused(Reject::TimestampInFuture)),
        (THEN + 301, Some(301), Outcome::Accepted),
        (THEN + 11, Some(10), Outcome::Refused(Reject::TimestampTooOld)),
    ] {
        let mut ask = Ask::of(&clerk("")).provider("clerk").secret("CLERK");
        (ask.now, ask.asked.tolerance) = (now, tolerance);
        assert_eq!(ask.explained().outcome, outcome, "{now} {tolerance:?}");
    }
}

#[test]
fn a_cut_body_says_so_and_a_wrong_length_alone_is_told_apart() {
    let good = clerk("");
    let cut = &good[..good.len() - 3];
    let explanation = Ask::of(cut).provider("clerk").secret("CLERK").explained();
    assert_eq!(facts(&explanation).first(), Some(&"body_cut_off"));
    assert!(!facts(&explanation).contains(&"signature_right"));
    let longer = good.replace(&format!("Content-Length: {}", BODY.len()), "Content-Length: 9999");
    let explanation = Ask::of(&longer).provider("clerk").secret("CLERK").explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::BodyIncomplete));
    assert!(facts(&explanation).contains(&"signature_right"), "{explanation:?}");
}

#[test]
fn what_is_named_goes_before_what_is_configured_and_that_before_what_is_customary() {
    let explanation = Ask::of(&clerk("")).provider("clerk").explained();
    assert_eq!(explanation.secret.as_deref(), Some("CLERK_WEBHOOK_SIGNING_SECRET"));
    assert!(explanation.notes.iter().any(|note| note.contains("CLERK_WEBHOOK_SIGNING_SECRET")));
    let explanation = Ask::of(&clerk("")).provider("clerk").config(CONFIG).explained();
    assert_eq!(explanation.secret.as_deref(), Some("routes.clerk: current"));
    let mut ask = Ask::of(&clerk("")).config(CONFIG);
    ask.asked.secret_file.push("clerk.secret".into());
    let explanation = ask.explained();
    assert_eq!(explanation.secret.as_deref(), Some("clerk.secret"));
    assert!(explanation.notes.iter().any(|note| note.contains("newline")), "{explanation:?}");
}

#[test]
fn the_secret_of_another_route_is_told_from_an_unknown_one() {
    let twin = r#"
[routes.other]
path = "/api/webhooks/other"
provider = "clerk"
secrets = [{ insecure_value = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" }]
"#;
    let request = genuine("clerk", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "/api/webhooks/clerk", "");
    let explanation = Ask::of(&request).config(&format!("{CONFIG}{twin}")).explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::SignatureMismatch));
    let found = explanation.hypotheses.first().unwrap();
    assert!(found.finding.contains("routes.other: current"), "{found:?}");
    let explanation = Ask::of(&request).config(CONFIG).explained();
    assert!(explanation.hypotheses.is_empty());
    let fact = explanation.facts.first().unwrap();
    assert_eq!(fact.code, "nothing_matched");
    assert!(fact.finding.contains("not current"), "{fact:?}");
}

#[test]
fn a_configured_secret_that_was_replaced_is_still_looked_at() {
    let mut environment = env();
    environment.0.insert("OTHER", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into());
    let question = Question {
        request: Ask::of(&clerk("")).request,
        loaded: Some(config::compile(CONFIG, Path::new("t.toml"), &env()).unwrap()),
        own_schemes: BTreeMap::new(),
        asked: Asked { secret_env: vec!["OTHER".into()], ..Asked::default() },
        peer: None,
        now: THEN,
    };
    let case = Case::of(question, &environment).unwrap();
    let explanation = explain(&case, &mut || true);
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::SignatureMismatch));
    let found = explanation.hypotheses.first().unwrap();
    assert!(found.finding.contains("routes.clerk: current"), "{found:?}");
}

#[test]
fn a_usable_secret_makes_an_unusable_one_a_fact() {
    let explanation = Ask::of(&clerk("")).provider("clerk").secret("API_KEY").secret("CLERK").explained();
    assert_eq!(explanation.outcome, Outcome::Accepted);
    assert_eq!(facts(&explanation), ["secret_other_credential"]);
}

#[test]
fn a_question_that_makes_no_sense_says_what_does() {
    let answer = |change: &dyn Fn(&mut Ask)| {
        let mut ask = Ask::of(&clerk(""));
        change(&mut ask);
        ask.answer().unwrap_err()
    };
    let message = answer(&|_| {});
    assert!(message.contains("--provider"), "{message}");
    let message = answer(&|ask| ask.asked.provider = Some("strpie".into()));
    assert!(message.contains("did you mean `stripe`?"), "{message}");
    let message = answer(&|ask| {
        ask.config = Some(CONFIG.into());
        ask.asked.route = Some("clark".into());
    });
    assert!(message.contains("did you mean `clerk`?"), "{message}");
    let message = answer(&|ask| {
        ask.asked.provider = Some("clerk".into());
        ask.asked.options.push(("colour".into(), "red".into()));
    });
    assert!(message.contains("`colour` is not an option") && message.contains("no options"), "{message}");
    let message = answer(&|ask| {
        ask.asked.provider = Some("clerk".into());
        ask.asked.url = Some("app.example".into());
    });
    assert!(message.contains("--url"), "{message}");
    let message = answer(&|ask| ask.asked.provider = Some("github".into()));
    assert!(message.contains("--secret-env"), "{message}");
}

#[test]
fn headers_and_a_body_have_no_path_until_a_url_names_one() {
    let captured = Ask::of(&clerk("")).request;
    let headers: Vec<String> =
        captured.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let parts = |url: Option<&str>| {
        let request = capture::from_parts(&headers, BODY.into(), None, url).unwrap();
        let asked = Asked { url: url.map(Into::into), ..Asked::default() };
        Ask { request, config: Some(CONFIG.into()), asked, peer: None, now: THEN }.answer()
    };
    let message = parts(None).unwrap_err();
    assert!(message.contains("clerk, stripe"), "{message}");
    for url in ["/api/webhooks/clerk", "https://app.example/api/webhooks/clerk"] {
        assert_eq!(parts(Some(url)).unwrap().route.as_deref(), Some("clerk"), "{url}");
    }
}

#[test]
fn neither_form_of_the_answer_holds_a_secret_or_a_signature() {
    for body in ["user_1", "user_2"] {
        for now in [THEN, THEN + 1_000_000] {
            let mut ask = Ask::of(&clerk("").replace("user_1", body)).config(CONFIG);
            ask.now = now;
            ask.asked.url = Some("/api/webhooks/clerk?token=hidden".into());
            let signature = ask.request.headers["svix-signature"].to_str().unwrap().to_owned();
            let explanation = ask.explained();
            let mut out = Vec::new();
            write_json(&explanation, &mut out).unwrap();
            write_text(&explanation, false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            for hidden in [CLERK, STRIPE, &CLERK[6..], signature.as_str(), &signature[3..], "hidden"] {
                assert!(!text.contains(hidden), "{text}");
            }
        }
    }
}

#[test]
fn text_has_colours_for_a_terminal_alone() {
    let explanation = Ask::of(&clerk("")).config(CONFIG).explained();
    let written = |colour| {
        let mut out = Vec::new();
        write_text(&explanation, colour, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(!written(false).contains('\x1b'));
    assert!(written(true).contains("\x1b[32m✓\x1b[0m"));
}

#[test]
fn a_secret_that_cannot_be_one_as_it_is_may_still_be_explained() {
    let mut quoted = env();
    quoted.0.insert("QUOTED", format!("\"{CLERK}\""));
    let question = || Question {
        request: Ask::of(&clerk("")).request,
        loaded: None,
        own_schemes: BTreeMap::new(),
        asked: Asked { provider: Some("clerk".into()), secret_env: vec!["QUOTED".into()], ..Asked::default() },
        peer: None,
        now: THEN,
    };
    let case = Case::of(question(), &quoted).unwrap();
    let explanation = explain(&case, &mut || true);
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::SignatureMismatch));
    assert_eq!(explanation.hypotheses.first().unwrap().code, "secret_quoted");
    assert_eq!(facts(&explanation), [""; 0], "the quotes say it all");
    // Without time to recompute there is only what can be said at load.
    let explanation = explain(&case, &mut || false);
    assert_eq!(codes(&explanation), ["secret_unusable"]);
}

#[test]
fn a_signed_url_is_asked_for_unless_the_request_or_the_configuration_says_it() {
    let path = "/api/webhooks/square";
    let square = genuine("square", "square-signature-key", path, "");
    let outcome = |request: &str, url: Option<&str>| {
        let mut ask = Ask::of(request).provider("square");
        ask.asked.url = url.map(Into::into);
        ask.asked.secret_env.push("SQUARE".into());
        let mut environment = env();
        environment.0.insert("SQUARE", "square-signature-key".into());
        let question = Question {
            request: ask.request,
            loaded: None,
            own_schemes: BTreeMap::new(),
            asked: ask.asked,
            peer: None,
            now: THEN,
        };
        let case = Case::of(question, &environment).map_err(|usage| usage.to_string())?;
        Ok::<_, String>(explain(&case, &mut || false))
    };
    let explanation = outcome(&square, None).unwrap();
    assert_eq!(explanation.outcome, Outcome::Accepted);
    assert!(explanation.notes.iter().any(|note| note.contains("https://app.example/api/webhooks/square")));
    let hostless = square.replace("Host: app.example\r\n", "");
    let message = outcome(&hostless, None).unwrap_err();
    assert!(message.contains("--url"), "{message}");
    let explanation = outcome(&hostless, Some("https://app.example/api/webhooks/square")).unwrap();
    assert_eq!((explanation.outcome, explanation.notes.len()), (Outcome::Accepted, 0));
    let explanation = outcome(&square, Some("http://app.example/api/webhooks/square")).unwrap();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::SignatureMismatch), "what is given is what counts");
}

#[test]
fn a_secret_that_cannot_be_right_is_an_answer_and_not_a_question() {
    for (value, code, finding) in [
        ("sk_test_abcdefghijklmnop", "secret_other_credential", "`sk_test_` begins another kind of credential"),
        ("whsk_abcdefghijklmnop", "secret_unusable", "`whsk_` is a private key"),
        ("whsec_not base64!", "secret_unusable", "the secret is not base64"),
        ("whsec_", "secret_unusable", "the secret is empty after `whsec_`"),
        ("", "secret_unusable", "the secret is empty"),
        ("\n", "secret_unusable", "the secret is empty"),
        ("${CLERK_SECRET}", "secret_unusable", "it is a placeholder that nothing has replaced"),
        ("CLERK=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "secret_unusable", "does not begin with `whsec_`"),
    ] {
        let good = clerk("");
        for (request, now, reject) in [
            (good.clone(), THEN, Reject::SignatureMismatch),
            (good.clone(), THEN + 301, Reject::TimestampTooOld),
            (good.replace("svix-id", "x-id"), THEN, Reject::HeaderMissing),
        ] {
            let explanation = asked(&request, "clerk", &[("BAD", value)], &|ask| ask.now = now);
            assert_eq!(explanation.outcome, Outcome::Refused(reject), "{value}");
            assert_eq!(codes(&explanation), [code], "{value}");
            assert!(facts(&explanation).iter().all(|fact| !fact.starts_with("secret_")), "said once: {value}");
            let found = explanation.hypotheses.first().unwrap();
            assert!(found.finding.starts_with("BAD: ") && found.finding.contains(finding), "{found:?}");
            assert!(found.fix.contains("the endpoint's Signing Secret in the dashboard"), "{found:?}");
            assert!(value.len() < 12 || !told(&explanation).contains(value), "{value}");
        }
    }
}

#[test]
fn a_placeholder_is_told_where_any_text_can_be_a_secret() {
    let request = genuine("github", GITHUB, "/hook", "");
    for (value, is_told) in
        [("${GITHUB_SECRET}", true), ("{{ .Secret }}", true), ("$SECRET", true), ("$ecret-of-mine", false)]
    {
        let explanation = asked(&request, "github", &[("BAD", value)], &|_| {});
        assert_eq!(
            explanation.facts.iter().any(|fact| fact.finding.contains("placeholder")),
            is_told,
            "{value}: {explanation:?}"
        );
    }
}

const SIGNING_KEY: &str = "sig_7abcDEF0123456789";

#[test]
fn an_expired_token_is_judged_at_a_time_when_it_was_good() {
    for provider in ["qstash", "messagebird"] {
        let request = genuine(provider, SIGNING_KEY, "/in", "");
        let at = |now: u64| asked(&request, provider, &[("KEY", SIGNING_KEY)], &|ask| ask.now = now);
        let explanation = at(THEN + 900);
        assert_eq!(explanation.outcome, Outcome::Refused(Reject::TimestampTooOld), "{provider}");
        assert_eq!(codes(&explanation), ["clock_skew"], "{provider}");
        assert!(detail(&explanation, StepName::Timestamp).contains("the token expired 10 minutes before now"));
        let [fact] = explanation.facts.as_slice() else { panic!("{explanation:?}") };
        assert!(fact.finding.contains("The signature is right"), "{fact:?}");
        let advised = fact.fix.split("--now ").nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(at(advised.parse().unwrap()).outcome, Outcome::Accepted, "{provider}: {}", fact.fix);

        let explanation = at(THEN - 120);
        assert_eq!(explanation.outcome, Outcome::Refused(Reject::TimestampInFuture), "{provider}");
        assert_eq!(codes(&explanation), ["clock_skew"], "{provider}");
        assert!(
            detail(&explanation, StepName::Timestamp).contains("good from 2 minutes after now on"),
            "{explanation:?}"
        );
    }
    let changed = genuine("qstash", SIGNING_KEY, "/in", "").replace("user_1", "user_2");
    let explanation = asked(&changed, "qstash", &[("KEY", SIGNING_KEY)], &|ask| ask.now = THEN + 900);
    assert!(explanation.facts.iter().any(|fact| fact.finding.contains("not right either")), "{explanation:?}");
}

#[test]
fn a_token_that_is_good_says_until_when() {
    let request = genuine("qstash", SIGNING_KEY, "/in", "");
    let explanation = asked(&request, "qstash", &[("KEY", SIGNING_KEY)], &|_| {});
    assert_eq!(explanation.outcome, Outcome::Accepted);
    assert_eq!(
        detail(&explanation, StepName::Timestamp),
        "signed 10 seconds before now; it expires in 4 minutes 50 seconds"
    );
}

#[test]
fn a_genuine_token_for_something_else_blames_no_secret() {
    let request = genuine("qstash", SIGNING_KEY, "/in", "");
    let explanation = asked(&request, "qstash", &[("KEY", SIGNING_KEY)], &|ask| {
        ask.asked.url = Some("https://app.example/other/in".into());
    });
    assert_eq!(codes(&explanation), ["url_differs"]);
    assert_eq!(detail(&explanation, StepName::Mac), "the token is genuine, but not for this delivery");
    let text = told(&explanation);
    assert!(text.contains("`https://app.example/in`") && !text.contains("the secret"), "{text}");
    let explanation = asked(&request, "qstash", &[("KEY", "sig_another_key_0123456789")], &|_| {});
    let fact = explanation.facts.first().unwrap();
    assert!(fact.finding.ends_with("the token was not signed with KEY."), "{fact:?}");
}

#[test]
fn a_body_without_a_border_is_told_from_a_wrong_secret() {
    for provider in ["square", "trello", "hubspot-v1", "hubspot-v2", "hubspot-v3"] {
        let key = "square-signature-key";
        let request = genuine(provider, key, "/in", "")
            .replace(BODY, "a=1")
            .replace(&format!("Length: {}", BODY.len()), "Length: 3");
        let explanation = asked(&request, provider, &[("KEY", key)], &|_| {});
        assert_eq!(facts(&explanation), ["body_without_border"], "{provider}: {explanation:?}");
        let changed = genuine(provider, key, "/in", "").replace("user_1", "user_2");
        let explanation = asked(&changed, provider, &[("KEY", key)], &|_| {});
        assert_eq!(facts(&explanation), ["nothing_matched"], "{provider}");
    }
}

#[test]
fn what_is_said_of_a_secret_is_true_of_the_scheme() {
    let mailgun = genuine_of(
        "mailgun",
        "mailgun-signing-key",
        r#"{"signature":{"token":"","timestamp":"","signature":""},"event-data":{"event":"x"}}"#,
    );
    let explanation = asked(&mailgun, "mailgun", &[("KEY", "mailgun-signing-key")], &|_| {});
    assert_eq!(explanation.outcome, Outcome::Accepted, "{explanation:?}");
    let explanation = asked(&mailgun, "mailgun", &[("KEY", "another-signing-key")], &|_| {});
    let fact = explanation.facts.first().unwrap();
    assert!(fact.finding.contains("mailgun signs no body") && !fact.fix.contains("body"), "{fact:?}");

    let cut = clerk("").replace("user_1", "user_2");
    let explanation = Ask::of(&cut[..cut.len() - 3]).provider("clerk").secret("CLERK").explained();
    assert_eq!(facts(&explanation), ["body_cut_off", "nothing_matched"]);
    let fact = explanation.facts.last().unwrap();
    assert!(fact.finding.contains("says nothing about CLERK"), "{fact:?}");
}

/// A delivery with this body.
fn genuine_of(provider: &str, secret: &str, body: &str) -> String {
    let catalog = Catalog::load().unwrap();
    let scheme = Scheme::compile(provider, catalog.scheme(provider).unwrap(), &BTreeMap::new()).unwrap();
    let (key, _) = scheme.key(secret.as_bytes()).unwrap();
    let headers = HeaderMap::new();
    let (id, method) = ("0123456789abcdef0123456789abcdef0123456789abcdef01", &Method::POST);
    let delivery = Delivery { id, timestamp: THEN, method, url: None, headers: &headers, body: body.as_bytes() };
    let signed = sign(&scheme, Some(&key), &delivery).unwrap();
    let body = signed.body.map_or(body.to_owned(), |body| String::from_utf8(body).unwrap());
    let headers = lines(&signed.headers);
    format!("POST /in HTTP/1.1\r\nHost: app.example\r\n{headers}Content-Type: application/json\r\n\r\n{body}")
}

#[test]
fn an_odd_body_is_told() {
    for (body, code) in [
        ("", "body_empty"),
        ("[object Object]", "body_object_object"),
        ("{\"a\":1,\"b\":\"c", "body_incomplete_json"),
        ("{\"a\":1}", "nothing_matched"),
        ("a=1", "nothing_matched"),
    ] {
        let request = clerk("")
            .replace(BODY, body)
            .replace(&format!("Length: {}", BODY.len()), &format!("Length: {}", body.len()));
        let explanation = Ask::of(&request).provider("clerk").secret("CLERK").explained();
        assert_eq!(facts(&explanation).first(), Some(&code), "{body}: {explanation:?}");
    }
}

const CERTIFICATE: &str = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-aa.pem";

#[test]
fn sns_has_no_secret_to_be_wrong() {
    let message = |topic: &str, certificate: &str| {
        let body = serde_json::json!({
            "Type": "Notification", "MessageId": "1", "TopicArn": topic, "Message": "m", "Signature": "AAAA",
            "Timestamp": "2021-02-25T15:02:10.000Z", "SignatureVersion": "2", "SigningCertURL": certificate,
        });
        format!("POST /in HTTP/1.1\r\nHost: a\r\nx-amz-sns-message-type: Notification\r\n\r\n{body}")
    };
    let topics = |ask: &mut Ask| ask.asked.options.push(("topics".into(), "arn:aws:sns:eu-west-1:1:T".into()));
    for (topic, certificate, expected) in [
        ("arn:aws:sns:eu-west-1:2:T", CERTIFICATE, vec!["topic_not_allowed"]),
        ("arn:aws:sns:eu-west-1:1:T", &CERTIFICATE.replace("https", "http"), vec!["certificate_not_amazons"]),
        ("arn:aws:sns:eu-west-1:1:T", "https://sns.eu-west-1.example.com/a.pem", vec!["certificate_not_amazons"]),
        ("arn:aws:sns:eu-west-1:1:T", CERTIFICATE, vec!["needs_file"]),
    ] {
        let explanation = asked(&message(topic, certificate), "aws-sns", &[], &topics);
        assert_eq!(facts(&explanation), expected, "{topic} {certificate}: {explanation:?}");
        assert!(!told(&explanation).contains("secret"), "{}", told(&explanation));
        let time = detail(&explanation, StepName::Timestamp);
        assert!(time.contains("signed, but not judged"), "{time}");
    }
}

#[test]
fn headers_of_another_family_name_the_likeliest_sender_and_no_look_alike() {
    let good = clerk("");
    let mixed = good.replace("svix-signature", "webhook-signature").replace("svix-timestamp", "webhook-timestamp");
    let explanation = Ask::of(&mixed).provider("clerk").secret("CLERK").explained();
    assert_eq!((codes(&explanation), facts(&explanation)), (vec!["headers_mixed"], vec![]));
    let whole = good.replace("svix-", "webhook-");
    let explanation = Ask::of(&whole).provider("clerk").secret("CLERK").explained();
    assert_eq!((codes(&explanation), facts(&explanation)), (vec!["other_provider"], vec![]));
    // With another secret, the names of the headers are all that there is.
    let unknown = |request: &str| {
        let explanation = asked(request, "clerk", &[("OTHER", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")], &|_| {});
        explanation.facts.first().map(|fact| fact.finding.clone()).unwrap_or_default()
    };
    assert!(unknown(&whole).contains("those of svix, standard-webhooks, "), "{}", unknown(&whole));
    assert!(!unknown(&whole).contains("gocardless"), "{}", unknown(&whole));
    assert_eq!(unknown(&mixed), "");
    let alone = mixed.replace("webhook-timestamp", "x-timestamp").replace("svix-id", "x-id");
    assert!(unknown(&alone).contains("gocardless"), "its only header: {}", unknown(&alone));
}

#[test]
fn headers_that_a_proxy_renamed_are_told() {
    for prefix in ["svix_", "HTTP_SVIX_"] {
        let request = clerk("").replace("svix-", prefix);
        let explanation = Ask::of(&request).provider("clerk").secret("CLERK").explained();
        assert_eq!((codes(&explanation), facts(&explanation)), (vec!["headers_renamed"], vec![]), "{prefix}");
        let explanation = asked(&request, "clerk", &[("OTHER", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")], &|_| {});
        assert_eq!(facts(&explanation), ["headers_renamed"], "{prefix}: seen, though nothing fits");
    }
}

#[test]
fn a_signature_that_was_lost_on_the_way_makes_it_no_other_sender() {
    let good = genuine("github", GITHUB, "/hook", "x-github-event: push\r\nx-hub-signature: sha1=00\r\n");
    let lost = good.replace("x-hub-signature-256", "x-gone");
    let explanation = Ask::of(&lost).provider("github").secret("GITHUB").explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::HeaderMissing));
    let [fact] = explanation.facts.as_slice() else { panic!("{explanation:?}") };
    assert_eq!(fact.code, "signature_header_lost");
    assert!(fact.finding.contains("x-hub-signature-256 is not (x-hub-signature alone"), "{fact:?}");
    assert!(fact.fix.contains("on the way") && fact.fix.contains("no secret"), "{fact:?}");
    let explanation =
        Ask::of(&lost.replace("x-github-event", "x-event")).provider("github").secret("GITHUB").explained();
    assert_eq!(facts(&explanation), ["other_provider"], "nothing says that it is GitHub's");
}

#[test]
fn a_delivery_on_the_path_of_another_route_is_told_where_it_belongs() {
    let request = genuine("stripe", STRIPE, "/api/webhooks/clerk", "");
    let explanation = Ask::of(&request).config(CONFIG).explained();
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::HeaderMissing));
    assert_eq!((codes(&explanation), facts(&explanation)), (vec!["delivery_of_another_route"], vec![]));
    assert_eq!(
        explanation.hypotheses.first().unwrap().finding,
        "This is a `stripe` delivery, signed with the secret `live` of routes.stripe; it was sent to the path of routes.clerk."
    );
    let changed = request.replace("user_1", "user_2");
    let explanation = Ask::of(&changed).config(CONFIG).explained();
    assert!(!codes(&explanation).contains(&"delivery_of_another_route"), "{explanation:?}");
}

#[test]
fn no_time_before_there_were_webhooks_is_advised() {
    // Contentful writes milliseconds.
    let secret = "c".repeat(64);
    let request = genuine("contentful", &secret, "/in", "").replace(&format!("{THEN}000"), &THEN.to_string());
    let explanation = asked(&request, "contentful", &[("KEY", &secret)], &|_| {});
    assert_eq!(explanation.outcome, Outcome::Refused(Reject::TimestampTooOld));
    let text = told(&explanation);
    assert!(!text.contains("--now") && !text.contains("1970"), "{text}");
    assert!(text.contains("in another unit"), "{text}");
}
