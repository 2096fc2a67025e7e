//! What a delivery's judgement needs and cannot have: it is refused, and its sender comes again.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::*;

/// Where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn without_its_store_a_delivery_does_not_run_unless_its_route_says_so() {
    let app = App::start().await;
    let (gate, lines) = Gate::untouched(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[replay]\nstore = \"redis://{}\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n\
         [routes.lax]\npath = \"/lax\"\nprovider = \"clerk\"\ninsecure_on_store_error = \"forward\"\n",
        app.addr,
        nobody(),
    ))
    .await;
    let refused = gate.exchange(genuine(BODY, "")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "replay_store_down"));
    app.assert_unreached("nobody knows whether it ran already").await;
    let lax = genuine(BODY, "").replace(PATH, "/lax");
    for _ in 0..2 {
        assert_eq!(gate.exchange(&lax).await.status, 200);
    }
    assert_eq!(app.seen().len(), 2, "it runs twice, which is the price");
    let logged = lines.wait(3).await;
    let detail = |index: usize| logged[index]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail(1).starts_with("it may run twice: of the replay store: "), "{logged:#?}");
    assert!(detail(2).starts_with("it may run twice: of the replay store: "), "{logged:#?}");
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_message_whose_certificate_cannot_be_fetched_is_refused_and_not_called_forged() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../vectors/vectors.json")).unwrap();
    let is_meant = |case: &&Value| case["provider"] == "aws-sns" && case["expect"] == "accept";
    let message = cases.iter().find(is_meant).unwrap();
    let body = String::from_utf8(STANDARD.decode(message["body_base64"].as_str().unwrap()).unwrap()).unwrap();

    let app = App::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hookward.toml");
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [routes.sns]\npath = \"/sns\"\nprovider = \"aws-sns\"\n\
         options = {{ topics = \"arn:aws:sns:us-west-2:123456789012:MyTopic\" }}\n",
        app.addr
    );
    std::fs::write(&config, toml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(["run", "--log", "json", "--config"]).arg(&config).stdout(Stdio::piped());
    // All that leaves this machine would go through it.
    command.env("https_proxy", format!("http://{}", nobody()));
    let mut running = Running(command.spawn().unwrap());
    let mut said = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"ready\"") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it says where it listens");
    }
    let ready: Value = serde_json::from_str(&line).unwrap();
    let listen: SocketAddr = ready["listen"].as_str().unwrap().parse().unwrap();

    let ask = async |kind: &str| {
        let mut stream = TcpStream::connect(listen).await.unwrap();
        let head = format!(
            "POST /sns HTTP/1.1\r\nhost: x\r\nx-amz-sns-message-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let answer = Box::pin(Answer::read(&mut stream)).await;
        (answer.status, answer.code())
    };
    assert_eq!(ask("Notification").await, (503, "key_unavailable".to_owned()));
    // What no certificate could make genuine is not worth asking for one.
    assert_eq!(ask("SubscriptionConfirmation").await, (401, "signature_mismatch".to_owned()));
    app.assert_unreached("it was not checked").await;
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
}
