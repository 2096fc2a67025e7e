//! `hookward send`, as a process: through the gate to the app, or refused before it.

use std::process::{Command, Output};

use crate::harness::*;

async fn send(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command
        .arg("send")
        .args(args)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("PLAIN", "mysecret")
        .env("OTHER", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    // The gate and the app run on this thread.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn clerk(gate: &Gate, more: &[&str]) -> Output {
    let to = format!("http://{}{PATH}", gate.addr);
    send(&[&["--provider", "clerk", "--event", "user.created", "--to", &to], more].concat()).await
}

#[tokio::test]
async fn a_sample_event_arrives_as_the_sender_would_send_it() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let output = clerk(&gate, &["--header", "x-extra: 1"]).await;
    assert!(output.status.success(), "{}", shown(&output));
    let seen = app.only();
    assert_eq!(seen.body, include_str!("../../src/providers/samples/clerk/user.created.json"));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert!(seen.headers["user-agent"].to_str().unwrap().len() > 3);
    assert_eq!(seen.headers["x-extra"], "1");
    assert!(seen.headers["verified-event"].to_str().unwrap().contains(r#"type="user.created""#));
    let text = shown(&output);
    assert!(text.contains("200 OK in ") && text.contains(PATH), "{text}");
    let signature = seen.headers["svix-signature"].to_str().unwrap();
    assert!(!text.contains(signature) && !text.contains("MfKQ9r8GKYqr"), "{text}");
}

#[tokio::test]
async fn another_method_than_post_is_sent_where_it_is_asked_for() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let output = clerk(&gate, &["--method", "PUT"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("\nmethod_not_allowed: "), "{}", shown(&output));
    assert!(shown(&output).starts_with("PUT http://"), "{}", shown(&output));
    app.assert_unreached("a method that the route does not take").await;
    for bad in ["put", "CONNECT", ""] {
        assert_eq!(clerk(&gate, &["--method", bad]).await.status.code(), Some(2), "{bad}");
    }
}

#[tokio::test]
async fn a_member_of_the_sample_can_be_changed() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let output = clerk(&gate, &["--set", "data.id=user_mine", "--set", "data.new={\"a\":[1]}"]).await;
    assert!(output.status.success(), "{}", shown(&output));
    let body: serde_json::Value = serde_json::from_slice(&app.only().body).unwrap();
    assert_eq!(body["data"]["id"], "user_mine");
    assert_eq!(body["data"]["new"], serde_json::json!({"a": [1]}));
    let output = clerk(&gate, &["--set", "dta.id=1"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("the body has no `dta`"), "{}", shown(&output));
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn what_was_tampered_with_is_refused_and_explained() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let old = (now() - 3600).to_string();
    for (args, code) in [
        (&["--tamper", "body"][..], "signature_mismatch"),
        (&["--tamper", "time"], "signature_mismatch"),
        (&["--tamper", "signature"], "signature_mismatch"),
        (&["--now", &old], "timestamp_too_old"),
        (&["--secret-env", "OTHER"], "signature_mismatch"),
    ] {
        let output = clerk(&gate, args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", shown(&output));
        let text = shown(&output);
        assert!(text.contains(&format!("\n{code}: ")) && text.contains("\n  fix: "), "{args:?}: {text}");
    }
    app.assert_unreached("tampered with").await;
}

#[tokio::test]
async fn repeats_the_same_delivery_a_line_each() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let output = clerk(&gate, &["--repeat", "3", "--id", "msg_again"]).await;
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(app.seen().len(), 3);
    assert!(app.seen().iter().all(|seen| seen.headers["svix-id"] == "msg_again"));
    assert_eq!(shown(&output).matches("200 OK in ").count(), 3);
    assert!(shown(&output).contains("#3 200 OK"), "{}", shown(&output));
}

#[tokio::test]
async fn another_provider_sends_its_own_sample() {
    let app = App::start().await;
    let gate = Gate::with(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[routes.github]\npath = \"/gh\"\nprovider = \"github\"\nsecrets = [{{ env = \"PLAIN\" }}]\n",
        app.addr
    ))
    .await;
    let to = format!("http://{}/gh", gate.addr);
    let output = send(&["--provider", "github", "--secret-env", "PLAIN", "--to", &to]).await;
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(app.only().headers["x-github-event"], "push");
    assert!(app.only().headers["user-agent"].to_str().unwrap().starts_with("GitHub-Hookshot/"));
    let output = send(&["--provider", "github", "--event", "psh", "--secret-env", "PLAIN", "--to", &to]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(shown(&output).contains("`push`"), "{}", shown(&output));
}

/// The first two attempts are refused, the third would come five seconds later.
#[tokio::test]
async fn tries_again_with_a_new_signature_and_the_same_id() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, ids) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counted, kept) = (Arc::clone(&count), Arc::clone(&ids));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 65536];
            let read = stream.read(&mut bytes).await.unwrap();
            let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let id = head.lines().find(|line| line.starts_with("svix-id: ")).unwrap_or_default().to_owned();
            kept.lock().unwrap().push(id);
            let status =
                if counted.fetch_add(1, Ordering::SeqCst) == 0 { "503 Service Unavailable" } else { "204 No Content" };
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let to = format!("http://{address}/");
    let output = send(&["--provider", "clerk", "--event", "user.deleted", "--to", &to, "--retry"]).await;
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let ids = ids.lock().unwrap().clone();
    assert!(ids[0].starts_with("svix-id: msg_") && ids[0] == ids[1], "{ids:?}");
    let output = send(&["--provider", "clerk", "--event", "user.deleted", "--to", "http://127.0.0.1:1/"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(shown(&output).contains("no answer after"), "{}", shown(&output));
}

#[tokio::test]
async fn says_what_is_missing_with_exit_2() {
    for (args, said) in [
        (&["--provider", "clerk"][..], "user.created\n"),
        (&["--provider", "clerk", "--event", "user.creatd"], "did you mean `user.created`?"),
        (&["--provider", "clerk", "--event", "user.created"], "use --to"),
        (&["--provider", "clerk", "--event", "user.created", "--to", "localhost:3000"], "http://"),
        (&["--provider", "clerk", "--event", "user.created", "--to", "ftp://x/"], "http://"),
        (&["--provider", "clrek", "--to", "http://127.0.0.1:1/"], "did you mean `clerk`?"),
    ] {
        let output = send(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", shown(&output));
        assert!(shown(&output).contains(said), "{args:?}: {}", shown(&output));
    }
}
