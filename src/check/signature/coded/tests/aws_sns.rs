//! Forged, replayed and odd messages of Amazon SNS, signed with a certificate of our own where Amazon's would be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use spki::der::Document;

use super::super::Wanted;
use super::super::trial::{NOW, Request, Trial};
use super::is_amazons;
use crate::check::signature::{Coverage, Head, Options, Scheme, SchemeFlaw, Window, present, wanted};
use crate::reject::Reject;

const SPEC: &str = r#"
engine = "aws-sns"
algorithm = "rsa-sha256"
key = { encoding = "spki" }
[options.topics]
doc = "topics"
[options.cert_file]
doc = "certificate"
file = true
"#;
const CERTIFICATE: &str = include_str!("../../../../../tests/data/sns/test.crt");
const KEY: &str = include_str!("../../../../../tests/data/sns/test.key");
const ADDRESS: &str =
    "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:MyTopic";
const MISMATCH: Option<Reject> = Some(Reject::SignatureMismatch);

fn trial(options: &[(&str, &str)]) -> Trial {
    Trial::with_options(SPEC, &[], options)
}

fn with_file() -> Trial {
    trial(&[("cert_file", CERTIFICATE)])
}

fn notification() -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "Hello",
        "Message": "Hello wörld!\nline 2",
        "Timestamp": "2025-08-04T09:33:20.123Z",
        "SignatureVersion": "2",
        "SigningCertURL": ADDRESS,
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    })
}

fn confirmation() -> Value {
    let mut message = notification();
    message["Type"] = json!("SubscriptionConfirmation");
    message["Token"] = json!("2336412f37f");
    message["SubscribeURL"] = json!("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription");
    message.as_object_mut().unwrap().remove("Subject");
    message.as_object_mut().unwrap().remove("UnsubscribeURL");
    message
}

fn sign_text(text: &str) -> String {
    let (_, der) = Document::from_pem(KEY).unwrap();
    let key = RsaKeyPair::from_pkcs8(der.as_bytes()).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    STANDARD.encode(signature)
}

/// What Amazon signs of it: all of the listed members that are there.
fn text_of(message: &Value) -> String {
    let names = match message["Type"].as_str().unwrap() {
        "Notification" => ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"].as_slice(),
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let member = |name: &&str| message.get(name).map(|value| format!("{name}\n{}\n", value.as_str().unwrap_or("null")));
    names.iter().filter_map(member).collect()
}

fn signed(mut message: Value) -> Value {
    message["Signature"] = json!(sign_text(&text_of(&message)));
    message
}

fn request(message: &Value) -> Request {
    post(message["Type"].as_str().unwrap(), &message.to_string())
}

fn post(kind: &str, body: &str) -> Request {
    Request::post("https://example.com/sns", "text/plain; charset=UTF-8", body).with("x-amz-sns-message-type", kind)
}

fn changed(name: &str, value: Value) -> Request {
    let mut message = signed(notification());
    message[name] = value;
    request(&message)
}

#[test]
fn believes_a_message_and_says_what_of_it_is_signed() {
    for message in [notification(), confirmation()] {
        let verified = with_file().verify(&request(&signed(message.clone()))).unwrap();
        let (id, kind) = (verified.id().unwrap(), verified.event_type().unwrap());
        assert_eq!((id.text, id.signed), ("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", true));
        assert_eq!((kind.text, kind.signed), (message["Type"].as_str().unwrap(), true));
        assert_eq!((verified.timestamp(), verified.coverage()), (Some(1_754_300_000), Coverage::Partial));
        assert_eq!((verified.label(), verified.family()), ("provider", 0));
    }
    assert!(with_file().scheme().needs_no_secret() && !with_file().scheme().signs_url());
}

#[test]
fn asks_for_amazons_document_and_for_no_other() {
    let scheme = Scheme::compile("sns", &toml::from_str(SPEC).unwrap(), &Options::new()).unwrap();
    let ask = |request: &Request| {
        let head = Head { method: &request.method, url: None, headers: &request.headers };
        let presented = present(&scheme, head, Window { now: NOW, tolerance: 0 }).unwrap();
        let body = [Bytes::copy_from_slice(&request.body)];
        wanted(&scheme, &presented, &body).map_err(|failure| failure.reject)
    };
    assert_eq!(ask(&request(&signed(notification()))), Ok(Some(Wanted::Document(ADDRESS.into()))));
    assert_eq!(ask(&changed("SigningCertURL", json!("https://evil.example/x.pem"))), Err(Reject::SignatureMismatch));
    assert_eq!(ask(&changed("SignatureVersion", json!("3"))), Err(Reject::SignatureMismatch));

    let mut trial = trial(&[]);
    let genuine = request(&signed(notification()));
    assert_eq!(trial.refusal(&genuine), MISMATCH, "nothing was fetched");
    trial.document = Some(Bytes::from_static(CERTIFICATE.as_bytes()));
    assert_eq!(trial.refusal(&genuine), None);
    trial.document = Some(Bytes::from_static(include_bytes!("../../../../../tests/data/sns/ec.crt")));
    assert_eq!(trial.refusal(&genuine), MISMATCH);
    trial.document = Some(Bytes::from_static(b"<html>"));
    assert_eq!(trial.refusal(&genuine), MISMATCH);
}

#[test]
fn takes_no_address_but_amazons_own() {
    for address in [
        ADDRESS,
        "https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem",
        "https://sns.ap-southeast-2.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.us-iso-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.eusc-de-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
    ] {
        assert!(is_amazons(address), "{address}");
    }
    let file = "SimpleNotificationService-0a.pem";
    for host in [
        "http://sns.us-east-1.amazonaws.com",
        "HTTPS://sns.us-east-1.amazonaws.com",
        "https://SNS.us-east-1.amazonaws.com",
        "https://sns.US-EAST-1.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com.",
        "https://sns.us-east-1.amazonaws.com:443",
        "https://sns.us-east-1.amazonaws.com:8443",
        "https://sns.us-east-1.amazonaws.com.evil.example",
        "https://sns.us-east-1.amazonaws.com.cn.evil.example",
        "https://sns.us-east-1.amazonaws.com@evil.example",
        "https://user@sns.us-east-1.amazonaws.com",
        "https://evil.example#sns.us-east-1.amazonaws.com",
        "https://evil.example?sns.us-east-1.amazonaws.com",
        "https://evil.example\\sns.us-east-1.amazonaws.com",
        "https://sns.us-east-1%2eamazonaws.com",
        "https://sns.us-east-1%2Famazonaws.com",
        "https://sns.evil.example.amazonaws.com",
        "https://sns.us-east-1.amazonaws.comx",
        "https://sns.us-east-1.amazonaws.co",
        "https://sns.us-east-1.xamazonaws.com",
        "https://sns.us-éast-1.amazonaws.com",
        "https://sns.us-east-1.amazonaws。com",
        "https://sns.us-east-1.аmazonaws.com",
        // Buckets that are named `sns`, and machines.
        "https://sns.s3.amazonaws.com",
        "https://sns.s3-us-west-2.amazonaws.com",
        "https://sns.s3-accelerate.amazonaws.com",
        "https://sns.s3-external-1.amazonaws.com",
        "https://sns.s3-website-us-east-1.amazonaws.com",
        "https://sns.compute-1.amazonaws.com",
        "https://sns.us-east-111.amazonaws.com",
        "https://sns.us--1.amazonaws.com",
        "https://sns.u-east-1.amazonaws.com",
        "https://sns.us-1.amazonaws.com",
        "https://sns.us-east-.amazonaws.com",
        "https://sns.us-east-abcdefghijklmnopqrstu-1.amazonaws.com",
        "https://sns.-us-east-1.amazonaws.com",
        "https://sns.us-east-1-.amazonaws.com",
        "https://sns.a.amazonaws.com",
        "https://sns.us-east-1-us-east-1-us-east-1-x.amazonaws.com",
        "https://sns..amazonaws.com",
        "https://sns.amazonaws.com",
        "https://sqs.us-east-1.amazonaws.com",
        "https://s3.us-east-1.amazonaws.com",
        "https:// sns.us-east-1.amazonaws.com",
        "//sns.us-east-1.amazonaws.com",
        "file://sns.us-east-1.amazonaws.com",
    ] {
        assert!(!is_amazons(&format!("{host}/{file}")), "{host}");
    }
    for path in [
        "",
        "SimpleNotificationService-.pem",
        "SimpleNotificationService-0g.pem",
        "SimpleNotificationService-0A.pem",
        "SimpleNotificationService-0a.pem?",
        "SimpleNotificationService-0a.pem#x",
        "SimpleNotificationService-0a.pem/",
        "SimpleNotificationService-0a.pem\n",
        "SimpleNotificationService-0a/../x.pem",
        "SimpleNotificationService-0a%2f.pem",
        "/SimpleNotificationService-0a.pem",
        "../SimpleNotificationService-0a.pem",
        "bucket/SimpleNotificationService-0a.pem",
        "x.pem",
        "SimpleNotificationService-0a",
    ] {
        assert!(!is_amazons(&format!("https://sns.us-east-1.amazonaws.com/{path}")), "{path}");
    }
}

#[test]
fn refuses_another_address_even_with_a_certificate_of_our_own() {
    for address in
        ["http://sns.us-west-2.amazonaws.com/SimpleNotificationService-0.pem", "https://evil.example/x.pem", ""]
    {
        assert_eq!(with_file().refusal(&changed("SigningCertURL", json!(address))), MISMATCH, "{address}");
    }
}

#[test]
fn refuses_every_change_of_what_is_signed() {
    for message in [notification(), confirmation()] {
        let message = signed(message);
        assert_eq!(with_file().refusal(&request(&message)), None);
        let names = ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "Token", "SubscribeURL"];
        for name in names.into_iter().filter(|name| message.get(name).is_some()) {
            for value in [json!("x"), json!(""), Value::Null, json!(1), json!(["x"]), json!({ "x": "y" })] {
                let mut tampered = message.clone();
                tampered[name] = value.clone();
                let kind = message["Type"].as_str().unwrap();
                assert_eq!(with_file().refusal(&post(kind, &tampered.to_string())), MISMATCH, "{name} {value}");
            }
            let mut without = message.clone();
            without.as_object_mut().unwrap().remove(name);
            let kind = message["Type"].as_str().unwrap();
            assert_eq!(with_file().refusal(&post(kind, &without.to_string())), MISMATCH, "without {name}");
        }
    }
}

#[test]
fn a_changed_byte_never_changes_what_the_app_may_believe() {
    let genuine = request(&signed(notification()));
    let meaning = |body: &[u8]| {
        let message: Value = serde_json::from_slice(body).ok()?;
        let names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
        Some(names.map(|name| message[name].clone()))
    };
    let mut accepted = 0;
    for tampered in genuine.body_tamperings() {
        if with_file().refusal(&tampered).is_none() {
            accepted += 1;
            assert_eq!(meaning(&tampered.body), meaning(&genuine.body), "{}", String::from_utf8_lossy(&tampered.body));
        }
    }
    // The name of the certificate and the way out are not signed.
    assert!(accepted > 0);
}

#[test]
fn refuses_what_other_readers_would_see_in_another_way() {
    let genuine = signed(notification()).to_string();
    let with = |member: &str| post("Notification", &genuine.replacen('{', &format!("{{{member},"), 1));
    assert_eq!(with_file().refusal(&with(r#""NewMember":"x""#)), None, "what Amazon may add one day");
    for member in [
        r#""Message":"evil""#,
        r#""\u004dessage":"evil""#,
        r#""message":"evil""#,
        r#""MESSAGE":"evil""#,
        r#""me\u017f\u017fage":"evil""#,
        r#""to\u212aen":"evil""#,
        r#""topicarn":"evil""#,
        r#""SubscribeURL":"https://evil.example""#,
        r#""subscribeUrl":"https://evil.example""#,
        r#""Token":"x""#,
        r#""type":"SubscriptionConfirmation""#,
        r#""x":{"y":1,"y":2}"#,
    ] {
        assert_eq!(with_file().refusal(&with(member)), MISMATCH, "{member}");
    }
    let confirmation = signed(confirmation()).to_string().replacen('{', r#"{"Subject":"evil","#, 1);
    assert_eq!(with_file().refusal(&post("SubscriptionConfirmation", &confirmation)), MISMATCH);
    for body in [format!("{genuine}{{}}"), format!("[{genuine}]"), format!("\u{feff}{genuine}"), String::new()] {
        assert_eq!(with_file().refusal(&post("Notification", &body)), MISMATCH);
    }
}

/// Whoever can publish to a topic of their own gets any message signed, but can only choose what is in it.
#[test]
fn no_message_can_be_split_into_other_members() {
    let time = "2025-08-04T09:33:20.123Z";
    let mut attack = notification();
    attack.as_object_mut().unwrap().remove("Subject");
    attack["TopicArn"] = json!("arn:aws:sns:us-west-2:666666666666:Evil");
    attack["Message"] = json!(format!("paid\nMessageId\n1\nTimestamp\n{time}\nTopicArn\n{TOPIC}"));
    let attack = signed(attack);
    assert_eq!(with_file().refusal(&request(&attack)), None, "genuine as it is");
    assert_eq!(trial(&[("cert_file", CERTIFICATE), ("topics", TOPIC)]).refusal(&request(&attack)), MISMATCH);

    let rest = |name: &str| attack[name].as_str().unwrap();
    let (id, topic) = (rest("MessageId"), rest("TopicArn"));
    // The same text, split in each other way that there is: a line of the old members is in some value.
    for members in [
        json!({ "MessageId": "1", "TopicArn": format!("{TOPIC}\nMessageId\n{id}\nTimestamp\n{time}\nTopicArn\n{topic}") }),
        json!({ "MessageId": "1", "Timestamp": format!("{time}\nTopicArn\n{TOPIC}\nMessageId\n{id}\nTimestamp\n{time}") }),
        json!({ "MessageId": format!("1\nTimestamp\n{time}\nTopicArn\n{TOPIC}\nMessageId\n{id}") }),
    ] {
        let mut forged = attack.clone();
        forged["Message"] = json!("paid");
        for (name, value) in members.as_object().unwrap() {
            forged[name] = value.clone();
        }
        assert_eq!(text_of(&forged), text_of(&attack));
        assert_eq!(with_file().refusal(&request(&forged)), MISMATCH, "{members}");
    }
    // No id at all: its lines are the message's.
    let mut forged = signed(notification());
    forged["Message"] = json!(format!("{}\nMessageId\n{id}", forged["Message"].as_str().unwrap()));
    forged.as_object_mut().unwrap().remove("MessageId");
    assert_eq!(text_of(&forged), text_of(&notification()));
    assert_eq!(with_file().refusal(&request(&forged)), MISMATCH);
    // A subject where there is none, and none where there is one.
    let mut message = notification();
    message["Message"] = json!("a\nMessageId\n1\nSubject\nb");
    message.as_object_mut().unwrap().remove("Subject");
    let message = signed(message);
    let mut forged = message.clone();
    forged["Message"] = json!("a");
    forged["MessageId"] = json!("1");
    forged["Subject"] = json!(format!("b\nMessageId\n{id}"));
    assert_eq!(text_of(&forged), text_of(&message));
    assert_eq!((with_file().refusal(&request(&message)), with_file().refusal(&request(&forged))), (None, MISMATCH));
    let message = signed(notification());
    let mut forged = message.clone();
    forged["MessageId"] = json!(format!("{id}\nSubject\nHello"));
    forged.as_object_mut().unwrap().remove("Subject");
    assert_eq!(text_of(&forged), text_of(&message));
    assert_eq!((with_file().refusal(&request(&message)), with_file().refusal(&request(&forged))), (None, MISMATCH));
}

#[test]
fn a_subject_of_null_is_no_text_and_none_is_none() {
    let mut without = notification();
    without.as_object_mut().unwrap().remove("Subject");
    let without = signed(without);
    assert_eq!(with_file().refusal(&request(&without)), None);
    for value in [Value::Null, json!(""), json!("null")] {
        let mut with = without.clone();
        with["Subject"] = value.clone();
        assert_eq!(with_file().refusal(&request(&with)), MISMATCH, "{value}");
    }
    let mut null = notification();
    null["Subject"] = Value::Null;
    assert_eq!(with_file().refusal(&request(&signed(null))), MISMATCH);
}

#[test]
fn the_order_of_what_is_signed_is_fixed() {
    let mut message = notification();
    let value = |name: &str| message[name].as_str().unwrap().to_owned();
    let text: String = ["MessageId", "Message", "Subject", "Timestamp", "TopicArn", "Type"]
        .map(|name| format!("{name}\n{}\n", value(name)))
        .concat();
    message["Signature"] = json!(sign_text(&text));
    assert_eq!(with_file().refusal(&request(&message)), MISMATCH);
}

#[test]
fn the_headers_agree_with_the_message() {
    let genuine = request(&signed(notification()));
    let types = "x-amz-sns-message-type";
    assert_eq!(with_file().refusal(&genuine.clone().with(types, "SubscriptionConfirmation")), MISMATCH);
    assert_eq!(with_file().refusal(&genuine.clone().with(types, "notification")), Some(Reject::HeaderMalformed));
    assert_eq!(with_file().refusal(&genuine.clone().without(types)), Some(Reject::HeaderMissing));
    assert_eq!(with_file().refusal(&genuine.clone().and(types, "Notification")), Some(Reject::HeaderRepeated));
    let (topic, id) = ("x-amz-sns-topic-arn", "x-amz-sns-message-id");
    let all = genuine.clone().with(topic, TOPIC).with(id, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324");
    assert_eq!(with_file().refusal(&all), None);
    assert_eq!(with_file().refusal(&all.clone().with(topic, "arn:aws:sns:x")), MISMATCH);
    assert_eq!(with_file().refusal(&all.clone().with(id, "other")), MISMATCH);
    assert_eq!(with_file().refusal(&all.and(id, "other")), Some(Reject::HeaderRepeated));
}

#[test]
fn only_the_named_topics_are_heard() {
    let other = "arn:aws:sns:eu-west-1:123456789012:Other";
    let genuine = request(&signed(notification()));
    for (topics, refusal) in [
        (TOPIC, None),
        (&*format!("{other}, {TOPIC}"), None),
        (other, MISMATCH),
        (&TOPIC[..TOPIC.len() - 1], MISMATCH),
        (&*format!("{TOPIC}2"), MISMATCH),
        (&*TOPIC.to_lowercase(), MISMATCH),
    ] {
        assert_eq!(trial(&[("cert_file", CERTIFICATE), ("topics", topics)]).refusal(&genuine), refusal, "{topics}");
    }
}

#[test]
fn a_certificate_counts_while_it_is_valid() {
    let mut trial = with_file();
    let genuine = request(&signed(notification()));
    for (now, refusal) in
        [(1_577_836_799, MISMATCH), (1_577_836_800, None), (2_208_988_800, None), (2_208_988_801, MISMATCH)]
    {
        trial.now = now;
        assert_eq!(trial.refusal(&genuine), refusal, "{now}");
    }
}

#[test]
fn another_hash_than_the_version_says_is_none() {
    assert_eq!(with_file().refusal(&changed("SignatureVersion", json!("1"))), MISMATCH);
    for version in [json!("3"), json!(2), json!("02"), json!(""), Value::Null] {
        assert_eq!(with_file().refusal(&changed("SignatureVersion", version)), MISMATCH);
    }
}

#[test]
fn refuses_options_that_cannot_be_right() {
    let flaws = |options: &[(&str, &str)]| {
        let options: Options = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let problems = Scheme::compile("sns", &toml::from_str(SPEC).unwrap(), &options).unwrap_err();
        problems.into_iter().map(|problem| problem.flaw).collect::<Vec<_>>()
    };
    let twice = [CERTIFICATE, CERTIFICATE].concat();
    let (short, curve) =
        (include_str!("../../../../../tests/data/sns/short.crt"), include_str!("../../../../../tests/data/sns/ec.crt"));
    for certificate in ["x", KEY, short, curve, &twice, &CERTIFICATE[..300]] {
        let flaws = flaws(&[("cert_file", certificate)]);
        assert!(matches!(flaws.as_slice(), [SchemeFlaw::OptionUnusable("cert_file", _)]), "{certificate} {flaws:?}");
    }
    let other = SPEC.replace("options.topics", "options.topic_arn");
    let problems = Scheme::compile("sns", &toml::from_str(&other).unwrap(), &Options::new()).unwrap_err();
    assert_eq!(problems[0].flaw, SchemeFlaw::UnknownOption("topic_arn".into()));
    for topics in ["MyTopic", "arn:aws:sns:x:y:z,", ",", "arn:aws:sns:x:y:z arn:aws:sns:x:y:z"] {
        assert!(
            matches!(flaws(&[("topics", topics)]).as_slice(), [SchemeFlaw::OptionUnusable("topics", _)]),
            "{topics}"
        );
    }
}

#[test]
fn a_message_lacks_nothing_that_has_to_be_signed() {
    for name in ["Message", "MessageId", "Timestamp", "TopicArn"] {
        let mut message = notification();
        message.as_object_mut().unwrap().remove(name);
        assert_eq!(with_file().refusal(&request(&signed(message))), Some(Reject::SignatureMismatch), "{name}");
    }
    for name in ["SubscribeURL", "Token"] {
        let mut message = confirmation();
        message.as_object_mut().unwrap().remove(name);
        assert_eq!(with_file().refusal(&request(&signed(message))), Some(Reject::SignatureMismatch), "{name}");
    }
    let mut unsubscription = confirmation();
    unsubscription["Type"] = json!("UnsubscribeConfirmation");
    let verified = with_file().verify(&request(&signed(unsubscription))).unwrap();
    assert_eq!(verified.event_type().unwrap().text, "UnsubscribeConfirmation");
}

#[test]
fn a_message_has_as_many_members_as_one_may_have() {
    let with_members = |count: usize| {
        let mut message = signed(notification());
        let members = message.as_object_mut().unwrap();
        for index in members.len()..count {
            members.insert(format!("Other{index}"), json!(1));
        }
        with_file().refusal(&request(&message))
    };
    assert_eq!(with_members(64), None);
    assert_eq!(with_members(65), Some(Reject::SignatureMismatch));
}

/// Nothing but the members is signed, so another parser, or another charset, must not find other members in the rest.
#[test]
fn is_read_as_json_in_utf_8_by_everyone() {
    let mut message = signed(notification());
    message["x"] = json!("+ACIALAAi-Message+ACI-:+ACI-forged&Message=forged&");
    let genuine = request(&message);
    let typed = |value: &str| with_file().refusal(&genuine.clone().with("content-type", value));
    for value in ["text/plain; charset=UTF-8", "text/plain", "application/json"] {
        assert_eq!(typed(value), None, "{value}");
    }
    for value in ["text/plain; charset=utf-7", "application/json;charset=utf-16", "application/x-www-form-urlencoded"] {
        assert_eq!(typed(value), Some(Reject::HeaderMalformed), "{value}");
    }
    assert_eq!(with_file().refusal(&genuine.with("content-encoding", "br")), Some(Reject::HeaderMalformed));
}
