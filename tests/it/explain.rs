//! `hookward explain` as people run it: the built binary, files, exit codes; and the same verdict as the gate's.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{App, BODY, Gate, PATH, SECRET, now, signed_headers, svix_signature};

const THEN: u64 = 1_614_265_330;
const STRIPE: &str = "whsec_test_secret";
const GITHUB: &str = "It's a Secret to Everybody";

/// A folder of files, and the binary run in it.
struct Desk(tempfile::TempDir);

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
        command.arg("explain").args(arguments).current_dir(self.0.path()).env_clear();
        command.env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET).env("CLERK", SECRET).env("STRIPE", STRIPE);
        command.env("GITHUB", GITHUB).env("API_KEY", "sk_test_notawebhooksecret");
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().unwrap())
    }

    fn fed(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Run::of(&child.wait_with_output().unwrap())
    }
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

fn clerk(path: &str, timestamp: u64, body: &str) -> String {
    let headers = signed_headers("msg_1", timestamp, BODY.as_bytes());
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: app.example\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn hmac_hex(secret: &str, content: &[u8]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(app: std::net::SocketAddr, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{more}"
    )
}

fn anywhere() -> std::net::SocketAddr {
    "127.0.0.1:3000".parse().unwrap()
}

#[test]
fn clerk_stripe_and_github_are_accepted() {
    let desk = Desk::new();
    desk.put("clerk.http", clerk("/hook", THEN, BODY));
    let stripe = hmac_hex(STRIPE, format!("{THEN}.{BODY}").as_bytes());
    let head = "POST /hook HTTP/1.1\r\nhost: app.example\r\n";
    desk.put("stripe.http", format!("{head}stripe-signature: t={THEN},v1={stripe}\r\n\r\n{BODY}"));
    let github = hmac_hex(GITHUB, BODY.as_bytes());
    desk.put(
        "github.http",
        format!(
            "{head}x-hub-signature-256: sha256={github}\r\nx-github-event: push\r\nx-github-delivery: d1\r\n\r\n{BODY}"
        ),
    );
    for (provider, variable) in [("clerk", "CLERK"), ("stripe", "STRIPE"), ("github", "GITHUB")] {
        let file = format!("{provider}.http");
        let run = desk.run(&["--provider", provider, "--secret-env", variable, "--now", "2021-02-25T15:02:10Z", &file]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
        assert!(run.out.contains("\naccepted: "), "{}", run.out);
        assert!(run.out.contains("✓ mac"), "{}", run.out);
    }
}

#[test]
fn the_json_document_has_one_shape() {
    let desk = Desk::new();
    desk.put("hookward.toml", config(anywhere(), ""));
    desk.put("request.http", clerk(PATH, THEN, BODY));
    let run = desk.run(&["--now", "1614265340", "--format", "json", "request.http"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let step = |name: &str, verdict: &str, detail: &str| {
        format!(
            "    {{\n      \"name\": \"{name}\",\n      \"verdict\": \"{verdict}\",\n      \"code\": null,\n      \"detail\": \"{detail}\"\n    }}"
        )
    };
    let steps = [
        step("framing", "passed", ""),
        step("target", "passed", PATH),
        step("route", "passed", "routes.clerk"),
        step("method", "passed", "POST"),
        step("client", "skipped", "any address may call this route"),
        step("signature_headers", "passed", "svix-signature, svix-timestamp, svix-id"),
        step("timestamp", "passed", "signed 10 seconds before now; 5 minutes either way are allowed"),
        step("body", "passed", "63 bytes"),
        step("mac", "passed", "made with the secret `current`, over all of the body"),
        step("events", "skipped", "every event is forwarded"),
    ];
    let expected = format!(
        r#"{{
  "accepted": true,
  "code": null,
  "steps": [
{}
  ],
  "hypotheses": [],
  "facts": [],
  "notes": [],
  "provider": "clerk",
  "route": "clerk",
  "timestamp": 1614265330,
  "now": 1614265340,
  "id": "msg_1",
  "event_type": "user.created",
  "secret": "current"
}}
"#,
        steps.join(",\n")
    );
    assert_eq!(run.out, expected);

    desk.put("changed.http", clerk(PATH, THEN, &BODY.replace("user_1", "user_2")));
    let run = desk.run(&["--now", "1614265340", "--format", "json", "changed.http"]);
    let document = run.json();
    assert_eq!(run.code, 1);
    assert_eq!(document["accepted"], false);
    assert_eq!(document["code"], "signature_mismatch");
    assert_eq!(document["steps"][8]["verdict"], "refused");
    assert_eq!(document["steps"][8]["code"], "signature_mismatch");
    assert_eq!(document["steps"][9]["verdict"], "not_reached");
    assert_eq!(document["facts"][0]["code"], "nothing_matched");
    assert!(document["facts"][0]["fix"].is_string());
    assert_eq!(document["secret"], Value::Null);
}

#[test]
fn a_rewritten_body_is_named() {
    let desk = Desk::new();
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(BODY).unwrap()).unwrap();
    desk.put("request.http", clerk("/hook", THEN, &pretty));
    let run = desk.run(&[
        "--provider",
        "clerk",
        "--secret-env",
        "CLERK",
        "--now",
        "1614265340",
        "--format",
        "json",
        "request.http",
    ]);
    let document = run.json();
    assert_eq!(document["hypotheses"][0]["code"], "body_reserialised", "{}", run.out);
    assert!(document["hypotheses"][0]["fix"].is_string());
}

#[test]
fn an_old_capture_is_refused_and_told_how_to_be_judged() {
    let desk = Desk::new();
    desk.put("request.http", clerk("/hook", THEN, BODY));
    let run = desk.run(&["--provider", "clerk", "--secret-env", "CLERK", "request.http"]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("refused: timestamp_too_old (401)"), "{}", run.out);
    assert!(run.out.contains("Replay it with --now 1614265330"), "{}", run.out);
    assert!(run.out.contains("signature is right"), "{}", run.out);
}

#[test]
fn the_request_may_come_by_standard_input_in_parts_or_as_a_har() {
    let desk = Desk::new();
    let by = ["--provider", "clerk", "--secret-env", "CLERK", "--now", "1614265340"];
    let with = |more: &[&str]| [by.as_slice(), more].concat().iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let run = |more: &[&str]| desk.run(&with(more).iter().map(String::as_str).collect::<Vec<_>>());

    let fed =
        desk.fed(&with(&["-"]).iter().map(String::as_str).collect::<Vec<_>>(), clerk("/hook", THEN, BODY).as_bytes());
    assert_eq!(fed.code, 0, "{}{}", fed.out, fed.err);

    desk.put("body.json", BODY);
    let signature = svix_signature(SECRET, "msg_1", &THEN.to_string(), BODY.as_bytes());
    let headers =
        ["svix-id: msg_1".to_owned(), format!("svix-timestamp: {THEN}"), format!("svix-signature: {signature}")];
    let [id, time, signed] = &headers;
    let parts = run(&["--header", id, "--header", time, "--header", signed, "--body", "body.json"]);
    assert_eq!(parts.code, 0, "{}{}", parts.out, parts.err);
    let bodiless = run(&["--header", id, "--header", time, "--header", signed]);
    assert_eq!(bodiless.code, 1);
    assert!(bodiless.out.contains("note: without --body"), "{}", bodiless.out);

    let headers: Vec<Value> = headers
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
        .collect();
    let har = serde_json::json!({ "log": { "version": "1.2", "entries": [{ "request": {
        "method": "POST", "url": "https://app.example/hook", "httpVersion": "HTTP/1.1", "headers": headers,
        "postData": { "mimeType": "application/json", "text": BODY },
    } }] } });
    desk.put("request.har", har.to_string());
    let har = run(&["request.har"]);
    assert_eq!(har.code, 0, "{}{}", har.out, har.err);

    // A body that the capture lacks.
    desk.put("cut.http", clerk("/hook", THEN, BODY).replace(BODY, ""));
    assert_eq!(run(&["cut.http"]).code, 1);
    let mended = run(&["cut.http", "--body", "body.json"]);
    assert_eq!(mended.code, 0, "{}{}", mended.out, mended.err);
}

#[test]
fn a_question_that_cannot_be_answered_exits_with_2_and_prints_no_document() {
    let desk = Desk::new();
    desk.put("request.http", clerk("/hook", THEN, BODY));
    desk.put("empty.http", "\n");
    desk.put("letter.txt", "Dear Sir or Madam,\n");
    desk.put("headless.http", "POST /hook HTTP/1.1\r\nhost: a\r\nno colon here\r\n\r\n");
    desk.put("broken.toml", "[routes.clerk]\nprovider = \"clerk\"\n");
    let known = ["--provider", "clerk", "--secret-env", "CLERK"];
    for (arguments, told) in [
        (vec![], "REQUEST"),
        (vec!["request.http"], "--provider NAME"),
        (vec!["--provider", "clark", "request.http"], "did you mean `clerk`"),
        (vec!["--provider", "clerk", "--route", "clerk", "request.http"], "cannot be used with"),
        (
            vec!["--provider", "clerk", "--secret-env", "CLERC", "request.http"],
            "CLERC is not set: did you mean `CLERK`?",
        ),
        (vec!["--provider", "clerk", "--secret-file", "none", "request.http"], "--secret-file 1: cannot be read"),
        (vec!["--config", "broken.toml", "request.http"], "routes.clerk.path: is missing"),
        (vec!["--provider", "clerk", "request.http", "--secret-env", "NOPE"], "variable NOPE is not set\n"),
        ([&known[..], &["none.http"]].concat(), "none.http: cannot be read"),
        ([&known[..], &["empty.http"]].concat(), "empty.http: is empty"),
        ([&known[..], &["letter.txt"]].concat(), "letter.txt: line 1: expected a request line"),
        ([&known[..], &["headless.http"]].concat(), "headless.http: line 3: "),
        ([&known[..], &["--option", "colour=red", "request.http"]].concat(), "`colour` is not an option"),
        ([&known[..], &["--option", "colour", "request.http"]].concat(), "write NAME=VALUE"),
        ([&known[..], &["--now", "yesterday", "request.http"]].concat(), "write unix seconds"),
        ([&known[..], &["--tolerance", "5d", "request.http"]].concat(), "write seconds"),
        ([&known[..], &["--peer", "example", "request.http"]].concat(), "write an IP address"),
        ([&known[..], &["--url", "app.example", "request.http"]].concat(), "--url"),
        ([&known[..], &["--header", "a b: c", "--body", "request.http"]].concat(), "--header 1"),
    ] {
        let run = desk.run(&arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}{}", run.out, run.err);
        assert_eq!(run.out, "", "{arguments:?}");
        assert!(run.err.contains(told), "{arguments:?}: {}", run.err);
    }
}

#[test]
fn a_secret_that_cannot_be_right_gets_a_whole_document_and_exit_1() {
    let desk = Desk::new();
    desk.put("request.http", clerk("/hook", THEN, BODY));
    desk.put("empty.secret", "\n");
    let known = ["--provider", "clerk", "--now", "1614265340"];
    for (by, code) in [
        (["--secret-env", "API_KEY"], "secret_other_credential"),
        (["--secret-file", "empty.secret"], "secret_unusable"),
    ] {
        let run = desk.run(&[&known[..], &by, &["--format", "json", "request.http"]].concat());
        let document = run.json();
        assert_eq!((run.code, run.err.as_str()), (1, ""), "{}", run.out);
        assert_eq!(document["accepted"], false);
        assert_eq!(document["code"], "signature_mismatch");
        assert_eq!(document["steps"][8]["code"], "signature_mismatch");
        assert_eq!(document["hypotheses"][0]["code"], code);
        let text = desk.run(&[&known[..], &by, &["request.http"]].concat());
        assert_eq!(text.code, 1);
        assert!(text.out.contains("refused: signature_mismatch (401)") && text.out.contains("✗ mac"), "{}", text.out);
        assert!(!text.out.contains("notawebhooksecret"), "{}", text.out);
    }
    // The gate's own code where it refuses without looking at a secret.
    let late = ["--provider", "clerk", "--secret-env", "API_KEY", "--format", "json", "request.http"];
    assert_eq!(desk.run(&late).json()["code"], "timestamp_too_old");
}

#[test]
fn an_address_that_is_not_known_is_said_in_the_verdict() {
    let desk = Desk::new();
    desk.put("hookward.toml", config(anywhere(), "allow_ips = [\"192.0.2.1\"]\n"));
    desk.put("request.http", clerk(PATH, THEN, BODY));
    let run = desk.run(&["--now", "1614265340", "request.http"]);
    assert_eq!(run.code, 0);
    assert!(run.out.contains("\naccepted, but the address was not judged: give --peer"), "{}", run.out);
    let document = desk.run(&["--now", "1614265340", "--format", "json", "request.http"]).json();
    assert_eq!(document["accepted"], true);
    assert_eq!(document["facts"][0]["code"], "address_not_judged");
}

#[test]
fn a_scheme_of_ones_own_is_a_provider_too() {
    let desk = Desk::new();
    let own = "[schemes.plain]\nalgorithm = \"hmac-sha256\"\nsignature = { header = \"x-mine\", encoding = \"hex\" }\ncontent = \"{body}\"\n";
    desk.put("hookward.toml", config(anywhere(), own));
    // Its routes are of no use here: their secrets are not set.
    desk.put(
        "broken.toml",
        format!("[routes.x]\npath = \"/x\"\nprovider = \"clerk\"\nsecrets = [{{ env = \"NONE\" }}]\n{own}"),
    );
    let signature = hmac_hex(GITHUB, BODY.as_bytes());
    desk.put("request.http", format!("POST /x HTTP/1.1\r\nhost: a\r\nx-mine: {signature}\r\n\r\n{BODY}"));
    for file in ["hookward.toml", "broken.toml"] {
        let run = desk.run(&["--config", file, "--provider", "plain", "--secret-env", "GITHUB", "request.http"]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    }
    let run = desk.run(&["--config", "broken.toml", "request.http"]);
    assert_eq!(run.code, 2, "a route needs a configuration that holds: {}", run.out);
}

#[test]
fn a_secret_is_never_printed() {
    let desk = Desk::new();
    desk.put("hookward.toml", config(anywhere(), ""));
    desk.put("good.http", clerk(PATH, THEN, BODY));
    desk.put("changed.http", clerk(PATH, THEN, "{}"));
    desk.put("secret.txt", format!("{SECRET}\n"));
    desk.put("quoted.txt", format!("\"{SECRET}\""));
    let signature = svix_signature(SECRET, "msg_1", &THEN.to_string(), BODY.as_bytes());
    let right = svix_signature(SECRET, "msg_1", &THEN.to_string(), b"{}");
    for request in ["good.http", "changed.http"] {
        for more in [
            vec!["--now", "1614265340"],
            vec![],
            vec!["--provider", "clerk", "--secret-file", "secret.txt"],
            vec!["--provider", "clerk", "--secret-file", "quoted.txt", "--now", "1614265340"],
            vec!["--provider", "stripe", "--secret-file", "secret.txt"],
            vec!["--provider", "clerk", "--secret-env", SECRET],
            vec!["--provider", "clerk", "--secret-file", SECRET],
        ] {
            for format in ["text", "json"] {
                let run = desk.run(&[&more[..], &["--format", format, request]].concat());
                let printed = format!("{}{}", run.out, run.err);
                assert!(!printed.is_empty());
                for hidden in [SECRET, &SECRET[6..], &signature[3..], &right[3..]] {
                    assert!(!printed.contains(hidden), "{more:?} {request}: {printed}");
                }
            }
        }
    }
}

/// The promise of the whole command: what it says is what the gate does.
#[tokio::test]
async fn the_verdict_is_the_gates() {
    let more = "max_body = \"200B\"\nallow_ips = [\"127.0.0.0/8\"]\nevents = [\"user.*\"]\n[routes.far]\npath = \"/far\"\nprovider = \"clerk\"\nallow_ips = [\"192.0.2.1\"]\n";
    let app = App::start().await;
    let desk = Desk::new();
    desk.put("hookward.toml", config(app.addr, more));
    let gate = Gate::with(&config(app.addr, more)).await;
    let fresh = now();
    let good = clerk(PATH, fresh, BODY);
    let signed = |body: &str, timestamp: u64| {
        let headers = signed_headers("msg_1", timestamp, body.as_bytes());
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    };
    let cases = [
        good.clone(),
        good.replace("user_1", "user_2"),
        good.replace(PATH, &format!("{PATH}/")),
        good.replace(PATH, "/api/webhooks/../webhooks/clerk"),
        good.replace(PATH, "/api/webhooks/cl%65rk"),
        good.replace(PATH, "/far"),
        good.replace("POST", "PUT"),
        good.replace("svix-id: msg_1\r\n", ""),
        good.replace("svix-id: msg_1\r\n", "svix-id: msg_1\r\nsvix-id: msg_1\r\n"),
        good.replace("svix-signature: v1,", "svix-signature: v1;"),
        good.replace("svix-signature: v1,", "svix-signature: v0,"),
        good.replace("host: app.example", "host: app.example\r\nconnection: svix-signature"),
        good.replace("host: app.example", "host: app.example\r\nhost: app.example"),
        signed(BODY, fresh - 1000),
        signed(BODY, fresh + 1000),
        good.replace("svix-timestamp: ", "svix-timestamp: 0"),
        signed(&format!("{{\"type\":\"user.created\",\"x\":\"{}\"}}", "x".repeat(200)), fresh),
        signed("{\"type\":\"sms.created\"}", fresh),
        signed("", fresh),
    ];
    let mut codes = std::collections::BTreeSet::new();
    for request in cases {
        let answer = gate.exchange(&request).await;
        let expected = match answer.status {
            200 => String::new(),
            204 => "filtered".to_owned(),
            _ => answer.code(),
        };
        desk.put("request.http", &request);
        let run = desk.run(&["--peer", "127.0.0.1", "--format", "json", "request.http"]);
        let document = run.json();
        assert_eq!(document["code"].as_str().unwrap_or_default(), expected, "{request}\n{}", run.out);
        assert_eq!(document["accepted"], expected.is_empty());
        assert_eq!(run.code, i32::from(!expected.is_empty()));
        codes.insert(expected);
    }
    assert!(codes.len() >= 11, "{codes:?}");
}
