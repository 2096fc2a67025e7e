//! `hookward sign`, as a process: what it prints passes the gate.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::harness::*;

fn sign(args: &[&str], body: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["sign", "--body", "-"])
        .args(args)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("STRIPE", "whsec_test_secret")
        .env("SEED", "0707070707070707070707070707070707070707070707070707070707070707")
        .env("SHORT", "whsec_")
        .env_remove("DISCORD_PUBLIC_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A process that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(body.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn the_printed_lines_are_a_delivery_that_is_forwarded() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let lines = stdout(&sign(&["--provider", "clerk", "--id", "msg_signed"], BODY)).replace('\n', "\r\n");
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let answer = gate.exchange(&request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(app.only().headers["verified-event"].to_str().unwrap().contains("msg_signed"));
    let answer = gate.exchange(request.replace("user_1", "user_2")).await;
    assert_eq!(answer.code(), "signature_mismatch");
}

#[test]
fn the_time_the_id_and_the_secret_decide_the_signature() {
    let usual = ["--provider", "stripe", "--secret-env", "STRIPE", "--now", "1614265330", "--format", "json"];
    let document: serde_json::Value = serde_json::from_str(&stdout(&sign(&usual, "{}"))).unwrap();
    let signature = document["headers"]["stripe-signature"].as_str().unwrap();
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"whsec_test_secret").unwrap();
    hmac::Mac::update(&mut mac, b"1614265330.{}");
    let hex: String = hmac::Mac::finalize(mac).into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, format!("t=1614265330,v1={hex}"));
    assert_eq!(document["provider"], "stripe");
    assert!(document["body"].is_null());
}

#[test]
fn only_the_sender_signs_with_a_key_pair_unless_its_private_half_is_there() {
    let output = sign(&["--provider", "discord"], "{}");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("only discord can sign"), "{}", stderr(&output));
    let output = sign(&["--provider", "discord", "--secret-env", "SEED", "--now", "1614265330"], "{}");
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = hex(&ed25519_dalek::Signer::sign(&key, b"1614265330{}").to_bytes());
    assert!(stdout(&output).contains(&format!("x-signature-ed25519: {expected}\n")), "{}", stdout(&output));
    let public = hex(key.verifying_key().as_bytes());
    assert!(stderr(&output).contains(&public), "{}", stderr(&output));
    assert_eq!(sign(&["--provider", "sendgrid", "--secret-env", "SEED"], "{}").status.code(), Some(1));
}

#[test]
fn what_cannot_be_right_is_said_with_exit_2_and_without_the_secret() {
    for (args, said) in [
        (vec!["--provider", "clrek"], "did you mean `clerk`?"),
        (vec!["--provider", "clerk", "--secret-env", "HOOKWARD_TEST_NOT_SET"], "HOOKWARD_TEST_NOT_SET is not set"),
        (vec!["--provider", "clerk", "--secret-env", "STRIPE"], "is not base64"),
        (vec!["--provider", "clerk", "--secret-env", "SHORT"], "empty after `whsec_`"),
        (vec!["--provider", "clerk", "--option", "key_id=1"], "`key_id` is not an option"),
        (vec!["--provider", "clerk", "--id", "a.b"], "the id cannot be part"),
        (vec!["--provider", "clerk", "--format", "curl"], "needs --url"),
        (vec!["--provider", "clerk", "--header", "no-colon"], "NAME: VALUE"),
        (vec!["--provider", "hubspot-v3", "--secret-env", "STRIPE"], "signs the URL"),
        (vec!["--provider", "mine", "--config", "not-there.toml"], "cannot be read"),
    ] {
        let output = sign(&args, "{}");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("test_secret") && !stderr(&output).contains("MfKQ9r8"), "{args:?}");
    }
}

#[test]
fn a_scheme_of_a_configuration_needs_none_of_its_routes_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookward.toml");
    std::fs::write(
        &file,
        "[routes.x]\npath = \"/x\"\nscheme = \"mine\"\nsecrets = [{ env = \"HOOKWARD_TEST_NOT_SET\" }]\n[schemes.mine]\nsignature = { header = \"x-mine\", encoding = \"hex\" }\ncontent = \"{body}\"\n",
    )
    .unwrap();
    let config = file.to_str().unwrap();
    let printed = stdout(&sign(&["--provider", "mine", "--config", config, "--secret-env", "STRIPE"], "{}"));
    assert!(printed.contains("\nx-mine: ") || printed.starts_with("x-mine: "), "{printed}");
    let output = sign(&["--provider", "mien", "--config", config, "--secret-env", "STRIPE"], "{}");
    assert!(stderr(&output).contains("did you mean `mine`?"), "{}", stderr(&output));
    let output = sign(&["--provider", "mine", "--config", config], "{}");
    assert!(stderr(&output).contains("--secret-env"), "{}", stderr(&output));
}
