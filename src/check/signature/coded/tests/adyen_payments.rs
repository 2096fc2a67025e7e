//! Adyen's own test vectors, and what could be made of a genuine delivery.

use super::super::trial::{Request, Trial};
use super::*;

const SPEC: &str = r#"
engine = "adyen-payments"
key = { encoding = "hex" }
"#;
const SECRET: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
/// adyen-node-api-library, `hmacValidator.spec.ts`.
const REPORT: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"pspReference","originalReference":"originalReference","merchantAccountCode":"merchantAccount","merchantReference":"reference","amount":{"currency":"EUR","value":1000},"eventCode":"REPORT_AVAILABLE","eventDate":"2019-09-21T11:45:24.637Z","paymentMethod":"VISA","reason":"reason","success":"true","additionalData":{"hmacSignature":"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE="}}}]}"#;

fn trial() -> Trial {
    Trial::new(SPEC, &[SECRET])
}

fn request(body: &str) -> Request {
    Request::post("https://example.com/webhook", "application/json", body)
}

fn refusal(body: &str) -> Option<Reject> {
    trial().refusal(&request(body))
}

fn signed(body: &str) -> Result<String, SignProblem> {
    trial().sign("", &request(body)).map(|request| request.text().to_owned())
}

/// A body with one item, its fields as given, and signed.
fn item(fields: &str) -> Result<String, SignProblem> {
    signed(&format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{{{fields}}}}}]}}"#))
}

#[test]
fn accepts_the_vendors_vectors() {
    assert_eq!(refusal(REPORT), None);
    let other = REPORT
        .replace("REPORT_AVAILABLE", "EVENT")
        .replace("ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=", "ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc=");
    assert_eq!(refusal(&other), None);
    // The same, made by our own side, in its place.
    assert_eq!(signed(&REPORT.replace("ZNBP", "AAAA")).unwrap(), REPORT);
}

#[test]
fn says_what_is_signed_and_what_is_not() {
    let verified = trial().verify(&request(REPORT)).unwrap();
    let id = verified.id().unwrap();
    assert_eq!((id.text, id.signed), ("pspReference:REPORT_AVAILABLE:true", true));
    let kind = verified.event_type().unwrap();
    assert_eq!((kind.text, kind.signed), ("REPORT_AVAILABLE", true));
    assert_eq!(verified.coverage(), Coverage::Partial);
    // Whoever is in between can change what is not signed: that is why the coverage is partial.
    assert_eq!(refusal(&REPORT.replace("\"reason\":\"reason\"", "\"reason\":\"anything\"")), None);
    assert_eq!(refusal(&REPORT.replace("2019-09-21", "2029-09-21")), None);
}

#[test]
fn every_byte_of_the_signed_fields_counts() {
    let covered = [
        "\"pspReference\":\"pspReference\"",
        "\"originalReference\":\"originalReference\"",
        "\"merchantAccountCode\":\"merchantAccount\"",
        "\"merchantReference\":\"reference\"",
        "{\"currency\":\"EUR\",\"value\":1000}",
        "\"eventCode\":\"REPORT_AVAILABLE\"",
        "\"success\":\"true\"",
        "\"hmacSignature\":\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=\"",
        "\"NotificationRequestItem\"",
        "\"notificationItems\"",
    ];
    for text in covered {
        assert!(REPORT.contains(text), "{text}");
        let original = strict_json::read(REPORT.as_bytes());
        for tampered in super::super::trial::tamperings(text.as_bytes()) {
            let Ok(tampered) = String::from_utf8(tampered) else { continue };
            let body = REPORT.replace(text, &tampered);
            if strict_json::read(body.as_bytes()) != original {
                assert_eq!(refusal(&body), Some(Reject::SignatureMismatch), "{tampered}");
            }
        }
    }
    let other = SECRET.replace("DFB1", "DFB2");
    assert_eq!(Trial::new(SPEC, &[&other]).refusal(&request(REPORT)), Some(Reject::SignatureMismatch));
    assert_eq!(Trial::new(SPEC, &[&other, SECRET]).verify(&request(REPORT)).unwrap().label(), SECRET);
}

#[test]
fn a_signature_must_be_there_and_whole() {
    let signature = "\"hmacSignature\":\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=\"";
    for other in [
        "",
        "\"hmacSignature\":\"\"",
        "\"hmacSignature\":null",
        "\"hmacSignature\":[\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=\"]",
        "\"hmacSignature\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
        "\"hmacSignature\":\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE\"",
        "\"hmacSignature\":\"ZNBPtI-oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=\"",
        "\"hmacSignature\":\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRF=\"",
        "\"hmacSignature\":\"ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=\\n\"",
    ] {
        assert_eq!(refusal(&REPORT.replace(signature, other)), Some(Reject::SignatureMismatch), "{other}");
    }
}

#[test]
fn every_item_counts() {
    let element = |reference: &str| {
        format!(r#"{{"NotificationRequestItem":{{"pspReference":"{reference}","eventCode":"E","success":"true"}}}}"#)
    };
    let body = |elements: &[String]| format!(r#"{{"notificationItems":[{}]}}"#, elements.join(","));
    let two = signed(&body(&[element("A"), element("B")])).unwrap();
    let verified = trial().verify(&request(&two)).unwrap();
    assert!(verified.id().is_none() && verified.event_type().is_none());
    assert_eq!(refusal(&two.replace("\"B\"", "\"C\"")), Some(Reject::SignatureMismatch));
    assert_eq!(refusal(&two.replace("\"A\"", "\"C\"")), Some(Reject::SignatureMismatch));

    // One item by each of two keys is none by the same.
    let other = Trial::new(SPEC, &[&SECRET.replace("DFB1", "DFB2")]);
    let by_other = other.sign("", &request(&body(&[element("B")]))).unwrap();
    let inner = |body: &str| body.replace(r#"{"notificationItems":["#, "").replace("]}", "");
    let by_one = signed(&body(&[element("A")])).unwrap();
    let mixed = body(&[inner(&by_one), inner(by_other.text())]);
    let both = Trial::new(SPEC, &[SECRET, &SECRET.replace("DFB1", "DFB2")]);
    assert_eq!(both.refusal(&request(&mixed)), Some(Reject::SignatureMismatch));
    assert_eq!(both.refusal(&request(&body(&[inner(&by_one)]))), None);
    assert_eq!(both.refusal(&by_other), None);

    // An item that is not signed does not hide behind one that is.
    for element in ["{}", "null", "[]", "1", r#"{"NotificationRequestItem":{}}"#, r#"{"NotificationRequestItem":null}"#]
    {
        let mixed = body(&[inner(&by_one), element.to_owned()]);
        assert_eq!(refusal(&mixed), Some(Reject::SignatureMismatch), "{element}");
    }
}

#[test]
fn takes_a_hundred_items_and_neither_none_nor_more() {
    let body = |count: usize| {
        let element = r#"{"NotificationRequestItem":{"pspReference":"A","eventCode":"E","success":"true"}}"#;
        format!(r#"{{"notificationItems":[{}]}}"#, vec![element; count].join(","))
    };
    assert_eq!(refusal(&signed(&body(1)).unwrap()), None);
    let hundred = signed(&body(MAX_ITEMS)).unwrap();
    assert_eq!(refusal(&hundred), None);
    for count in [0, MAX_ITEMS + 1] {
        assert_eq!(signed(&body(count)).unwrap_err(), SignProblem::Body);
    }
    let (head, tail) = hundred.split_once("{\"NotificationRequestItem\"").unwrap();
    let one = signed(&body(1)).unwrap();
    let one = one.replace(r#"{"notificationItems":["#, "").replace("]}", "");
    let too_many = format!("{head}{one},{{\"NotificationRequestItem\"{tail}");
    assert_eq!(refusal(&too_many), Some(Reject::SignatureMismatch));
    for body in [r#"{"notificationItems":[]}"#, r#"{"notificationItems":{}}"#, "{}", "[]", "null", ""] {
        assert_eq!(refusal(body), Some(Reject::SignatureMismatch), "{body}");
    }
}

#[test]
fn only_the_merchants_reference_may_have_a_colon() {
    let fields = |psp: &str, account: &str, reference: &str, event: &str| {
        format!(
            r#""pspReference":"{psp}","merchantAccountCode":"{account}","merchantReference":"{reference}","amount":{{"value":1,"currency":"EUR"}},"eventCode":"{event}","success":"true""#
        )
    };
    assert_eq!(refusal(&item(&fields("P", "M", "a:b:c", "E")).unwrap()), None);
    for (psp, account, event) in [("P:", "M", "E"), ("P", "M:", "E"), ("P", "M", "E:")] {
        assert_eq!(item(&fields(psp, account, "r", event)).unwrap_err(), SignProblem::Body);
    }
    // The same signed text, P::M:x:1:EUR:…, cut elsewhere.
    let genuine = item(&fields("P", "M", "x:2:EUR:REFUND:true:y", "E")).unwrap();
    let signature = |body: &str| {
        let document = strict_json::read(body.as_bytes()).unwrap();
        let item = document.get(ITEMS).unwrap().elements().unwrap()[0].get(ITEM).unwrap();
        item.get(DATA).unwrap().get(SIGNATURE).unwrap().text().unwrap().to_owned()
    };
    let forged = format!(
        r#"{{"notificationItems":[{{"NotificationRequestItem":{{"pspReference":"P","merchantAccountCode":"M:x","merchantReference":"2:EUR:REFUND:true:y","amount":{{"value":1,"currency":"EUR"}},"eventCode":"E","success":"true","additionalData":{{"hmacSignature":"{}"}}}}}}]}}"#,
        signature(&genuine)
    );
    assert_eq!(refusal(&genuine), None);
    assert_eq!(refusal(&forged), Some(Reject::SignatureMismatch));
}

#[test]
fn a_field_has_one_spelling() {
    let base = r#""pspReference":"P","eventCode":"E","success":"true","amount":{"value":1000,"currency":"EUR"}"#;
    let genuine = item(base).unwrap();
    assert_eq!(refusal(&genuine), None);
    for (from, to) in [
        ("1000", "\"1000\""),
        ("1000", "1000.0"),
        ("1000", "1e3"),
        ("1000", "null"),
        ("\"success\":\"true\"", "\"success\":true"),
        ("\"success\":\"true\"", "\"success\":\"True\""),
        ("\"success\":\"true\"", "\"success\":\"false\""),
        ("\"pspReference\":\"P\"", "\"pspReference\":[\"P\"]"),
        ("\"pspReference\":\"P\"", "\"pspReference\":\"P\",\"pspReference\":\"P\""),
        ("\"pspReference\":\"P\"", "\"pspReference\":\"P\",\"psp\\u0052eference\":\"Q\""),
        ("\"eventCode\":\"E\"", "\"eventCode\":\"E\",\"reason\":{\"a\":1,\"a\":2}"),
        ("\"notificationItems\"", "\"notificationItems\":[],\"notificationItems\""),
    ] {
        let body = genuine.replace(from, to);
        assert_ne!(body, genuine, "{from}");
        assert_eq!(refusal(&body), Some(Reject::SignatureMismatch), "{to}");
    }
    // A reference that is absent, null or empty is the same.
    for other in ["\"P\"", "\"P\",\"originalReference\":null", "\"P\",\"originalReference\":\"\""] {
        assert_eq!(refusal(&genuine.replace("\"P\"", other)), None, "{other}");
    }
    for fields in [
        r#""pspReference":"P","success":"true""#,
        r#""pspReference":"P","eventCode":"E""#,
        r#""pspReference":"P","eventCode":"E","success":"true","amount":{"currency":"EUR"}"#,
        r#""pspReference":"P","eventCode":"E","success":"true","amount":1"#,
        r#""pspReference":1,"eventCode":"E","success":"true""#,
    ] {
        assert_eq!(item(fields).unwrap_err(), SignProblem::Body, "{fields}");
    }
}

#[test]
fn a_correction_is_not_a_duplicate() {
    let id = |fields: &str| {
        let verified = trial().verify(&request(&item(fields).unwrap())).unwrap();
        verified.id().map(|id| id.text.to_owned())
    };
    assert_eq!(id(r#""pspReference":"P","eventCode":"E","success":"false""#).as_deref(), Some("P:E:false"));
    assert_eq!(id(r#""pspReference":"P","eventCode":"E","success":"true""#).as_deref(), Some("P:E:true"));
    assert_eq!(id(r#""eventCode":"E","success":"true""#), None);
    assert_eq!(id(r#""pspReference":"P\n","eventCode":"E","success":"true""#), None);
    let long = "P".repeat(300);
    assert_eq!(id(&format!(r#""pspReference":"{long}","eventCode":"E","success":"true""#)), None);
}

#[test]
fn what_is_not_json_is_refused_however_large_or_deep() {
    let deep = REPORT.replace("\"live\":\"false\"", &format!("\"live\":{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let wide = REPORT.replace("\"live\":\"false\"", &format!("\"live\":[{}1]", "1,".repeat(200_000)));
    for body in [deep, wide, format!("\u{feff}{REPORT}"), format!("{REPORT}{REPORT}"), format!("{REPORT}x")] {
        assert_eq!(refusal(&body), Some(Reject::SignatureMismatch));
    }
    let bytes = [REPORT.as_bytes().strip_suffix(b"}").unwrap(), b",\"x\":\"\xff\"}"].concat();
    assert_eq!(trial().refusal(&request(REPORT).holding(bytes)), Some(Reject::SignatureMismatch));
}

#[test]
fn what_a_reader_who_ignores_case_would_take_for_signed_is_refused() {
    let forged = r#","NotificationItems":[{"NotificationRequestItem":{"pspReference":"FORGED"}}]}"#;
    assert_eq!(refusal(&format!("{}{forged}", REPORT.strip_suffix('}').unwrap())), Some(Reject::SignatureMismatch));
    for (from, to) in [
        (r#""success":"true""#, r#""success":"true","Success":"false""#),
        (r#""value":1000"#, r#""value":1000,"Value":1"#),
        (r#""eventCode""#, r#""EventCode":"X","eventCode""#),
        (r#""originalReference":"originalReference","#, r#""originalReference":"originalReference","AMOUNT":1,"#),
    ] {
        assert_eq!(refusal(&REPORT.replacen(from, to, 1)), Some(Reject::SignatureMismatch), "{to}");
    }
}

/// Nothing but the fields is signed, so another parser, or another charset, must not find other fields in the rest.
#[test]
fn is_read_as_json_in_utf_8_by_everyone() {
    let hidden = REPORT.replace(
        r#""reason":"reason""#,
        r#""reason":"x+ACIALAAi-success+ACI-:+ACI-false&notificationItems[0][NotificationRequestItem][success]=false&""#,
    );
    let trial = trial();
    let typed = |value: &str| trial.refusal(&Request::post("https://example.com/webhook", value, hidden.as_str()));
    assert_eq!((typed("application/json"), typed("application/json; charset=utf-8")), (None, None));
    for value in ["application/json; charset=utf-7", "application/x-www-form-urlencoded", "text/plain", "text/xml"] {
        assert_eq!(typed(value), Some(Reject::HeaderMalformed), "{value}");
    }
    let genuine = request(REPORT);
    assert_eq!(trial.refusal(&genuine.clone().without("content-type")), None);
    assert_eq!(trial.refusal(&genuine.clone().and("content-type", "text/plain")), Some(Reject::HeaderRepeated));
    assert_eq!(trial.refusal(&genuine.with("content-encoding", "deflate")), Some(Reject::HeaderMalformed));
}
