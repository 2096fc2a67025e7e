//! Forged, broken and disallowed deliveries: the right refusal, and the app never hears of them.

use crate::harness::*;

#[tokio::test]
async fn a_genuine_delivery_arrives_whole_with_its_proof() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let answer = gate.exchange(genuine(BODY, "connection: close\r\n")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, BODY), "{answer:?}");
    let seen = app.only();
    assert_eq!(seen.body, BODY);
    assert_eq!(seen.target, PATH);
    let event = seen.headers.get("verified-event").unwrap().to_str().unwrap();
    assert!(
        event.starts_with(r#"id="msg_1", type="user.created", provider="clerk", route="clerk", secret="#),
        "{event}"
    );
    assert!(seen.headers.contains_key("svix-signature"), "the app can verify again");
}

#[tokio::test]
async fn a_forged_delivery_does_not_arrive() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let sent = genuine(BODY, "connection: close\r\n");
    for (forged, status, code) in [
        (sent.replace("user_1", "user_2"), 401, "signature_mismatch"),
        (sent.replace("svix-id: msg_1", "svix-id: msg_2"), 401, "signature_mismatch"),
        (sent.replace("svix-signature: v1,", "svix-signature: v2,"), 401, "signature_mismatch"),
        (sent.replace("svix-signature", "x-signature"), 400, "header_missing"),
        (sent.replace("POST", "PUT"), 405, "method_not_allowed"),
    ] {
        let answer = gate.exchange(&forged).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{forged}");
        assert_eq!(answer.header("content-type").unwrap(), "application/problem+json");
    }
    app.assert_unreached("forged").await;
}
