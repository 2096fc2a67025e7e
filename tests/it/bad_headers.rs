//! Signature headers that a forger would try: missing, doubled, garbled, borrowed, of another family or algorithm.

use crate::harness::*;
use crate::sender::*;

#[tokio::test]
async fn every_scheme_takes_its_own_genuine_delivery_and_says_who_proved_it() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    for sender in SENDERS {
        let sent = sender.genuine(BODY);
        let seen = assert_delivered(&gate, &app, &sent, sender.name).await;
        assert!(
            event(&seen).contains(&format!("provider=\"{}\"", sender.provider)),
            "{}: {}",
            sender.name,
            event(&seen)
        );
        for name in sender.needed {
            let arrived = seen.headers.get(*name).unwrap_or_else(|| panic!("{}: {name}", sender.name));
            assert_eq!(arrived.as_bytes(), sent.value(name), "{}: {name} for the app to verify again", sender.name);
        }
        assert_delivered(&gate, &app, &sender.genuine(b"not json \xff\x00\r\n"), sender.name).await;
    }
}

#[tokio::test]
async fn a_header_that_the_proof_needs_is_there_once_and_not_empty() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for sender in SENDERS {
        let sent = sender.genuine(BODY);
        for name in sender.needed {
            let mut case = |sent: Sent, code, what: &str| {
                cases.push((sent.bytes(), 400, code, format!("{}: {name} {what}", sender.name)));
            };
            let value = sent.value(name);
            case(sent.clone().without(name), "header_missing", "missing");
            case(sent.clone().with(name, &value), "header_repeated", "twice the same");
            case(sent.clone().with(&name.to_uppercase(), b"x"), "header_repeated", "genuine, then another");
            case(
                sent.clone().without(name).with(name, b"x").with(name, &value),
                "header_repeated",
                "another, then genuine",
            );
            case(sent.clone().with(name, b""), "header_repeated", "genuine, then an empty one");
            case(sent.clone().set(name, b""), "header_malformed", "empty");
            case(sent.clone().set(name, b" \t "), "header_malformed", "blank");
            // An underscore is another name: it must not stand in for the missing header.
            case(
                sent.clone().without(name).with(&name.replace('-', "_"), &value),
                "header_missing",
                "with underscores",
            );
        }
        let bare = sender.needed.iter().fold(sent.clone(), |sent, name| sent.without(name));
        cases.push((bare.bytes(), 400, "header_missing", format!("{}: no header at all", sender.name)));
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn a_header_that_is_too_long_or_not_ascii_is_malformed() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for sender in SENDERS {
        let sent = sender.genuine(BODY);
        let [signature, ..] = sender.needed else { panic!() };
        for name in [Some(*signature), sender.timestamp, sender.id].into_iter().flatten() {
            let value = sent.value(name);
            for (what, value) in [
                ("with Latin-1 in it", [&value[..], b"\xe9"].concat()),
                ("with UTF-8 in it", [&value[..], "é".as_bytes()].concat()),
                ("with a no-break space", [b"\xc2\xa0", &value[..]].concat()),
                ("with a byte-order mark", [b"\xef\xbb\xbf", &value[..]].concat()),
                ("with a tab in it", [&value[..], b"\tx"].concat()),
                ("9 KiB long", [&value[..], &[b' '; 1], &[b'x'; 9 * 1024]].concat()),
            ] {
                cases.push((
                    sent.clone().set(name, value).bytes(),
                    400,
                    "header_malformed",
                    format!("{}: {name} {what}", sender.name),
                ));
            }
        }
    }
    assert_all_refused(&gate, &app, cases).await;
    // One that is too long to be shown is an id all the same.
    for length in [256, 257, 10_000] {
        let id = "m".repeat(length);
        let signed = svix_family("svix", SECRET, &id, &now().to_string(), BODY.as_bytes());
        let long = Sent::post("/hooks/clerk", BODY).signed(signed);
        assert_delivered(&gate, &app, &long, &format!("an id of {length} bytes")).await;
    }
}

#[tokio::test]
async fn a_timestamp_is_plain_digits_whatever_the_signature_covers() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    let good = now().to_string();
    let odd = [
        format!("+{good}"),
        format!("-{good}"),
        format!("{good}.0"),
        format!("{good}.5"),
        format!("{good}e0"),
        format!("0{good}"),
        format!("{good} 1"),
        format!("{good}abc"),
        format!("{good},{good}"),
        format!("0x{good}"),
        format!("{good}L"),
        format!("{good}_0"),
        "1e9".into(),
        "99999999999999999999".into(),
        "18446744073709551616".into(),
        "18446744073709551615".into(),
        "12345678901234".into(),
        "00".into(),
        "now".into(),
        "2026-01-01T00:00:00Z".into(),
        "NaN".into(),
        "Infinity".into(),
        "1,000".into(),
        "''".into(),
    ];
    for sender in SENDERS.iter().filter(|sender| sender.timestamp.is_some() || sender.name == "stripe") {
        for text in odd.iter().filter(|text| sender.name != "stripe" || !text.contains(',')) {
            // SDKs sign the text as received, or the number that they parsed from it. Neither may help.
            let over_text = sender.at(text, BODY);
            cases.push((
                over_text.bytes(),
                400,
                "timestamp_malformed",
                format!("{}: {text:?}, signed as such", sender.name),
            ));
            let over_number = sender.at(&good, BODY);
            let over_number = match sender.timestamp {
                Some(name) => over_number.set(name, text),
                None => {
                    over_number.set("stripe-signature", format!("t={text},v1={}", stripe_mac(&good, BODY.as_bytes())))
                }
            };
            cases.push((
                over_number.bytes(),
                400,
                "timestamp_malformed",
                format!("{}: {text:?} for {good}", sender.name),
            ));
        }
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn a_timestamp_outside_the_tolerance_is_refused_on_both_sides_of_the_clock() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let now = now();
    let mut cases = Vec::new();
    for sender in SENDERS.iter().filter(|sender| sender.timestamp.is_some() || sender.name == "stripe") {
        for (at, code) in [
            (now - 302, "timestamp_too_old"),
            (now - 86_400, "timestamp_too_old"),
            (0, "timestamp_too_old"),
            (1, "timestamp_too_old"),
            (now + 330, "timestamp_in_future"),
            (now + 86_400, "timestamp_in_future"),
            // Milliseconds are not seconds, and the largest number is not a wrap-around.
            (now * 1000, "timestamp_in_future"),
            (9_999_999_999_999, "timestamp_in_future"),
        ] {
            cases.push((sender.at(&at.to_string(), BODY).bytes(), 401, code, format!("{}: {at}", sender.name)));
        }
    }
    assert_all_refused(&gate, &app, cases).await;
    for at in [now - 290, now + 290] {
        for sender in SENDERS {
            assert_delivered(&gate, &app, &sender.at(&at.to_string(), BODY), sender.name).await;
        }
    }
}

#[tokio::test]
async fn a_fresh_timestamp_does_not_freshen_an_old_signature() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let (old, fresh) = ((now() - 3600).to_string(), now().to_string());
    let mut cases = Vec::new();
    for sender in SENDERS {
        let Some(name) = sender.timestamp else { continue };
        let replayed = sender.at(&old, BODY).set(name, &fresh);
        cases.push((replayed.bytes(), 401, "signature_mismatch", format!("{}: replayed with a new time", sender.name)));
    }
    let replayed = Sent::post("/hooks/stripe", BODY)
        .with("stripe-signature", format!("t={fresh},v1={}", stripe_mac(&old, BODY.as_bytes())));
    cases.push((replayed.bytes(), 401, "signature_mismatch", "stripe: replayed with a new time".into()));
    assert_all_refused(&gate, &app, cases).await;
}

/// Content is `id.timestamp.body`: with a dot in the id, parts of one delivery could be read as those of another.
#[tokio::test]
async fn the_parts_of_the_signed_content_cannot_be_shifted() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let (old, fresh) = ((now() - 86_400).to_string(), now().to_string());
    // A genuine old delivery whose body begins with digits and a dot, which its attacker chose: `1700000000.{…}`.
    let body = format!("{fresh}.{BODY}");
    let signature = svix_signature(SECRET, "msg_1", &old, body.as_bytes());
    let shifted = Sent::post("/hooks/clerk", BODY)
        .with("svix-id", format!("msg_1.{old}"))
        .with("svix-timestamp", &fresh)
        .with("svix-signature", &signature);
    let acme =
        hmac(PLAIN_SECRET.as_bytes(), &[b"acme|msg_1|", old.as_bytes(), b"|", fresh.as_bytes(), b"|", BODY.as_bytes()]);
    let shifted_acme = Sent::post("/hooks/acme", BODY)
        .with("acme-id", format!("msg_1|{old}"))
        .with("acme-time", &fresh)
        .with("acme-signature", format!("hmac:{}", base64(&acme)));
    let cases = [
        (shifted.bytes(), 400, "header_malformed", "a dot in svix-id".to_owned()),
        (shifted_acme.bytes(), 400, "header_malformed", "a bar in acme-id".to_owned()),
    ];
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn a_garbled_signature_is_malformed_or_does_not_match() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    const MALFORMED: (u16, &str) = (400, "header_malformed");
    const MISMATCH: (u16, &str) = (401, "signature_mismatch");
    let timestamp = now().to_string();
    let mut cases = Vec::new();

    let sent = sender("clerk").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("svix-signature")).unwrap();
    let mac = good.strip_prefix("v1,").unwrap();
    for (value, expected) in [
        ("v1".to_owned(), MALFORMED),
        ("v1,".into(), MALFORMED),
        (",".into(), MALFORMED),
        (mac.to_owned(), MALFORMED),
        (format!(",{mac}"), MALFORMED),
        (format!("v1 {mac}"), MALFORMED),
        (format!("v1={mac}"), MALFORMED),
        (format!("v1,{good}"), MALFORMED),
        (format!("{good},"), MALFORMED),
        (format!("{good},extra"), MALFORMED),
        (format!("{good}="), MALFORMED),
        (format!("v1,={mac}"), MALFORMED),
        (format!("v1,{}", mac.trim_end_matches('=')), MALFORMED),
        (format!("v1,{}", &mac[..20]), MALFORMED),
        (format!("v1,{mac}{mac}"), MALFORMED),
        (format!("v1,{}", mac.replace('=', "*")), MALFORMED),
        (format!("v1,!{}", &mac[1..]), MALFORMED),
        (format!("v1,{}", hex(&[0; 32])), MALFORMED),
        ("v1,AAAA".into(), MALFORMED),
        ("null".into(), MALFORMED),
        ("v1,undefined".into(), MALFORMED),
        (format!("V1,{mac}"), MISMATCH),
        (format!("v0,{mac}"), MISMATCH),
        (format!("v2,{mac}"), MISMATCH),
        (format!("v11,{mac}"), MISMATCH),
        (format!("v1,{}", base64(&[0; 32])), MISMATCH),
        (format!("v1a,{mac}"), MALFORMED),
        (format!("v1,{}", base64(&[0; 32])).repeat(1) + &format!(" v2,{mac}"), MISMATCH),
        (vec![format!("v1,{}", base64(&[0; 32])); 64].join(" "), MISMATCH),
        (vec![format!("v1,{}", base64(&[0; 32])); 65].join(" "), MALFORMED),
    ] {
        cases.push((
            sent.clone().set("svix-signature", &value).bytes(),
            expected.0,
            expected.1,
            format!("clerk: {value}"),
        ));
    }

    let sent = sender("github").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("x-hub-signature-256")).unwrap();
    let mac = good.strip_prefix("sha256=").unwrap();
    for (value, expected) in [
        (mac.to_owned(), MALFORMED),
        ("sha256=".into(), MALFORMED),
        (format!("sha1={mac}"), MALFORMED),
        (format!("SHA256={mac}"), MALFORMED),
        (format!("sha256={}", mac.to_uppercase().replace(char::is_numeric, "A")), MALFORMED),
        (format!("sha256={}", &mac[..63]), MALFORMED),
        (format!("sha256={mac}0"), MALFORMED),
        (format!("sha256={mac}00"), MALFORMED),
        (format!("sha256= {mac}"), MALFORMED),
        (format!("sha256=0x{}", &mac[2..]), MALFORMED),
        (format!("sha256={}g", &mac[..63]), MALFORMED),
        (format!("sha256={}", base64(&[0; 32])), MALFORMED),
        (format!("{good}, {good}"), MALFORMED),
        (format!("sha256={}", "0".repeat(64)), MISMATCH),
    ] {
        cases.push((
            sent.clone().set("x-hub-signature-256", &value).bytes(),
            expected.0,
            expected.1,
            format!("github: {value}"),
        ));
    }

    let good = stripe_mac(&timestamp, BODY.as_bytes());
    for (value, expected) in [
        (format!("t={timestamp}"), MALFORMED),
        (format!("v1={good}"), MALFORMED),
        (format!("t={timestamp},v1="), MALFORMED),
        (format!("t={timestamp};v1={good}"), MALFORMED),
        (format!("t={timestamp}, v1={good}"), MALFORMED),
        (format!("t={timestamp} ,v1={good}"), (400, "timestamp_malformed")),
        (format!("t = {timestamp},v1 = {good}"), MALFORMED),
        (format!("t={timestamp},,v1={good}"), MALFORMED),
        (format!("t={timestamp},v1={good},"), MALFORMED),
        (format!(",t={timestamp},v1={good}"), MALFORMED),
        (format!("t={timestamp},t={timestamp},v1={good}"), MALFORMED),
        (format!("t={timestamp},v1={good},t=1"), MALFORMED),
        (format!("t=1,t={timestamp},v1={good}"), MALFORMED),
        (format!("t={timestamp},v1"), MALFORMED),
        (format!("t={timestamp},{good}"), MALFORMED),
        (format!("t={timestamp},v1={}", good.to_uppercase().replace(char::is_numeric, "A")), MALFORMED),
        (format!("T={timestamp},v1={good}"), MALFORMED),
        (format!("t={timestamp},v0={good}"), MISMATCH),
        (format!("t={timestamp},V1={good}"), MISMATCH),
        (format!("t={timestamp},v1={}", "0".repeat(64)), MISMATCH),
        (format!("t={timestamp},v0={good},v1={}", "0".repeat(64)), MISMATCH),
    ] {
        cases.push((
            Sent::post("/hooks/stripe", BODY).with("stripe-signature", &value).bytes(),
            expected.0,
            expected.1,
            format!("stripe: {value}"),
        ));
    }

    let sent = sender("slack").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("x-slack-signature")).unwrap();
    for (value, expected) in [
        (good.replace("v0=", ""), MALFORMED),
        (good.replace("v0=", "v1="), MALFORMED),
        (good.replace("v0=", "v0,"), MALFORMED),
        (format!("{good},{good}"), MALFORMED),
        (format!("v0={}", "0".repeat(64)), MISMATCH),
    ] {
        cases.push((
            sent.clone().set("x-slack-signature", &value).bytes(),
            expected.0,
            expected.1,
            format!("slack: {value}"),
        ));
    }

    let sent = sender("shopify").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("x-shopify-hmac-sha256")).unwrap();
    for (value, expected) in [
        (good.trim_end_matches('=').to_owned(), MALFORMED),
        (format!("{good}\u{20}{good}"), MALFORMED),
        (format!("sha256={good}"), MALFORMED),
        (hex(&hmac(SHOPIFY_SECRET.as_bytes(), &[BODY.as_bytes()])), MALFORMED),
        // The last character before the padding carries four bits that mean nothing: only zero is canonical.
        (format!("{}{}=", &good[..42], if good.as_bytes()[42] == b'_' { '-' } else { '_' }), MALFORMED),
        (base64(&[0; 32]), MISMATCH),
    ] {
        cases.push((
            sent.clone().set("x-shopify-hmac-sha256", &value).bytes(),
            expected.0,
            expected.1,
            format!("shopify: {value}"),
        ));
    }

    let sent = sender("plain-hex").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("clerk-signature")).unwrap();
    for (value, expected) in [
        (good[..62].to_owned(), MALFORMED),
        (format!("sha256={good}"), MALFORMED),
        (format!("{}Z", &good[..63]), MALFORMED),
        (good.replace(|c: char| c.is_ascii_digit(), "A"), MALFORMED),
        ("0".repeat(64), MISMATCH),
    ] {
        cases.push((
            sent.clone().set("clerk-signature", &value).bytes(),
            expected.0,
            expected.1,
            format!("plain-hex: {value}"),
        ));
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn a_list_of_signatures_needs_one_that_is_good() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let timestamp = now().to_string();
    let sent = sender("clerk").at(&timestamp, BODY);
    let good = String::from_utf8(sent.value("svix-signature")).unwrap();
    let zero = base64(&[0; 32]);
    for value in [
        format!("v1,{zero} {good}"),
        format!("{good} v1,{zero}"),
        format!("v2,whatever {good}"),
        format!("v1a,{} {good}", base64(&[0; 64])),
        format!("v1,not-base64! {good}"),
        format!("{good} "),
        format!("{good}  {good}"),
        format!("garbage {good}"),
    ] {
        assert_delivered(&gate, &app, &sent.clone().set("svix-signature", &value), &value).await;
    }
    let good = stripe_mac(&timestamp, BODY.as_bytes());
    for value in [
        format!("t={timestamp},v1={},v1={good}", "0".repeat(64)),
        format!("t={timestamp},v1={good},v0=ff"),
        format!("v1={good},t={timestamp}"),
    ] {
        let sent = Sent::post("/hooks/stripe", BODY).with("stripe-signature", &value);
        assert_delivered(&gate, &app, &sent, &value).await;
    }
}

#[tokio::test]
async fn one_changed_bit_of_the_body_is_a_mismatch() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for sender in SENDERS {
        let sent = sender.genuine(BODY);
        let mut changed = sent.clone();
        changed.body[3] ^= 1;
        cases.push((changed.bytes(), 401, "signature_mismatch", format!("{}: a changed bit", sender.name)));
        for body in [
            &BODY.as_bytes()[..BODY.len() - 1],
            format!("{BODY}\n").as_bytes(),
            format!(" {BODY}").as_bytes(),
            format!("\u{feff}{BODY}").as_bytes(),
            BODY.replace("user_1", "user\\u005f1").as_bytes(),
        ] {
            let changed = Sent { body: body.to_vec(), ..sent.clone() };
            cases.push((
                changed.bytes(),
                401,
                "signature_mismatch",
                format!("{}: {:?}", sender.name, String::from_utf8_lossy(body)),
            ));
        }
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn an_empty_body_proves_nothing_where_its_signature_is_the_same_for_all() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for name in ["github", "stripe", "shopify", "shopify events"] {
        let sent = sender(name).genuine("");
        cases.push((sent.bytes(), 400, "body_incomplete", format!("{name}: content-length: 0")));
        cases.push((sent.framed("", ""), 400, "body_incomplete", format!("{name}: no content-length")));
        cases.push((
            sent.framed("transfer-encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            "body_incomplete",
            format!("{name}: no chunk"),
        ));
    }
    assert_all_refused(&gate, &app, cases).await;
    assert_delivered(&gate, &app, &sender("clerk").genuine(""), "Standard Webhooks signs an empty body with its id")
        .await;
}

#[tokio::test]
async fn every_secret_is_tried_and_the_one_that_fits_is_named() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let timestamp = now().to_string();
    let by = |secret: &str| svix_family("svix", secret, "msg_1", &timestamp, BODY.as_bytes());
    for (secret, label) in [(SECRET, "current"), (NEXT_SECRET, "next")] {
        let sent = Sent::post("/hooks/clerk", BODY).signed(by(secret));
        let seen = assert_delivered(&gate, &app, &sent, label).await;
        assert!(event(&seen).contains(&format!("secret=\"{label}\"")), "{}", event(&seen));
        assert!(event(&seen).contains(&format!("timestamp={timestamp}")), "{}", event(&seen));
    }
    // Rotation: a sender signs with the old and the new secret.
    let both = format!(
        "{} {}",
        svix_signature(NEXT_SECRET, "msg_1", &timestamp, BODY.as_bytes()),
        svix_signature(SECRET, "msg_1", &timestamp, BODY.as_bytes())
    );
    let seen = assert_delivered(
        &gate,
        &app,
        &Sent::clerk("/hooks/clerk", BODY)
            .signed(vec![])
            .set("svix-timestamp", &timestamp)
            .set("svix-signature", &both),
        "both",
    )
    .await;
    assert!(event(&seen).contains("secret=\"current\""), "{}", event(&seen));
    let seen = assert_delivered(&gate, &app, &sender("standard-webhooks v1a").genuine(BODY), "v1a").await;
    assert!(event(&seen).contains("secret=\"public\""), "{}", event(&seen));

    let stranger = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB";
    let near = SECRET.replace("LaSw", "LaSx");
    let cases = [stranger, &near, "whsec_", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"].map(|secret| {
        (
            Sent::post("/hooks/clerk", BODY).signed(by(secret)).bytes(),
            401,
            "signature_mismatch",
            format!("signed with {secret}"),
        )
    });
    assert_all_refused(&gate, &app, cases).await;
    // The prefix is decoration, the base64 behind it is the key; its text as the key is not.
    let text_key = hmac(SECRET.as_bytes(), &[b"msg_1.", timestamp.as_bytes(), b".", BODY.as_bytes()]);
    let sent =
        Sent::post("/hooks/clerk", BODY).signed(by(SECRET)).set("svix-signature", format!("v1,{}", base64(&text_key)));
    assert_all_refused(&gate, &app, [(sent.bytes(), 401, "signature_mismatch", "the secret's text as key".to_owned())])
        .await;
}

#[tokio::test]
async fn a_delivery_for_one_route_proves_nothing_on_another() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let mut cases = Vec::new();
    for sender in SENDERS {
        for other in SENDERS.iter().filter(|other| other.path != sender.path) {
            let sent = sender.genuine(BODY);
            // Same scheme and secret on purpose: Clerk's is Svix's, and white-labelled Svix is Standard Webhooks.
            let same = |a: &str, b: &str| {
                sender.needed == other.needed
                    && [sender.provider, other.provider].iter().all(|provider| [a, b].contains(provider))
            };
            if same("clerk", "svix")
                || same("svix", "standard-webhooks")
                || (other.path == "/hooks/svix" && matches!(sender.name, "clerk" | "standard-webhooks"))
            {
                continue;
            }
            let code = match (sender.name, other.path) {
                ("svix, white-labelled", "/hooks/standard") => continue,
                ("svix", "/hooks/clerk") => continue,
                // Of the right shape, but signed with a key that this route does not know.
                ("standard-webhooks v1a", "/hooks/svix") => (401, "signature_mismatch"),
                _ => (400, "header_missing"),
            };
            let sent = Sent { target: other.path.into(), ..sent };
            cases.push((sent.bytes(), code.0, code.1, format!("{} at {}", sender.name, other.path)));
        }
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn families_of_headers_are_never_mixed() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let (svix, white) = (sender("svix").genuine(BODY), sender("svix, white-labelled").genuine(BODY));
    let mut cases = Vec::new();
    for (own, other) in [("svix", "webhook"), ("webhook", "svix")] {
        for part in ["id", "timestamp", "signature"] {
            let sent = if own == "svix" { &svix } else { &white };
            let value = sent.value(&format!("{own}-{part}"));
            let mixed = sent.clone().without(&format!("{own}-{part}")).with(&format!("{other}-{part}"), value);
            cases.push((mixed.bytes(), 400, "header_missing", format!("{own}-*, but {other}-{part}")));
        }
    }
    for part in ["id", "timestamp", "signature"] {
        let name = format!("svix-{part}");
        let lured = white.clone().with(&name, svix.value(&name));
        cases.push((lured.bytes(), 400, "header_missing", format!("genuine webhook-* beside {name}")));
        cases.push((
            white.clone().with(&name, b"").bytes(),
            400,
            "header_missing",
            format!("genuine webhook-* beside an empty {name}"),
        ));
    }
    let forged = white.clone().signed(svix_family("svix", NEXT_SECRET, "msg_1", &now().to_string(), BODY.as_bytes()));
    cases.push((forged.bytes(), 401, "signature_mismatch", "forged svix-* beside genuine webhook-*".into()));
    // Clerk sends svix-* only.
    let clerk = Sent { target: "/hooks/clerk".into(), ..white };
    cases.push((clerk.bytes(), 400, "header_missing", "webhook-* at a Clerk route".into()));
    let new = sender("shopify").genuine(BODY).with("shopify-hmac-sha256", base64(&[0; 32]));
    cases.push((new.bytes(), 400, "header_missing", "genuine x-shopify-* beside a new signature".into()));
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn signature_headers_that_nobody_checked_do_not_reach_the_app() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let foreign = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "Webhook-Id",
        "webhook_id",
        "WEBHOOK_SIGNATURE",
        "svix_id",
        "svix_signature",
        "Svix_Timestamp",
        "svix-id_",
        "stripe-signature",
        "x-hub-signature-256",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "x-shopify-hmac-sha256",
        "shopify-hmac-sha256",
        "x-github-delivery",
        "clerk-signature",
        "acme-signature",
        "acme-time",
        "acme-id",
        "acme_id",
    ];
    for name in ["clerk", "svix"] {
        let genuine = sender(name).genuine(BODY);
        let sent = foreign.iter().fold(genuine, |sent, name| sent.with(name, b"msg_forged"));
        let seen = assert_delivered(&gate, &app, &sent, name).await;
        for foreign in foreign.iter().filter(|name| **name != "svix-id_") {
            assert!(!seen.headers.contains_key(*foreign), "{name}: {foreign} reached the app: {:?}", seen.headers);
        }
        assert_eq!(seen.headers.get("svix-id").unwrap(), "msg_1");
        assert_eq!(seen.headers.get_all("svix-id").iter().count(), 1);
    }
    let sent = sender("github")
        .genuine(BODY)
        .with("svix-id", b"x")
        .with("x_hub_signature_256", b"x")
        .with("x-hub-signature", b"sha1=0");
    let seen = assert_delivered(&gate, &app, &sent, "github").await;
    assert!(
        !seen.headers.contains_key("svix-id") && !seen.headers.contains_key("x_hub_signature_256"),
        "{:?}",
        seen.headers
    );
    assert_eq!(seen.headers.get("x-github-event").unwrap(), "push");
    assert!(event(&seen).contains("type=\"push\";unsigned"), "{}", event(&seen));
    // White-labelled: the other way round.
    let sent = sender("svix, white-labelled").genuine(BODY).with("svix_id", b"x").with("webhook_id", b"x");
    let seen = assert_delivered(&gate, &app, &sent, "webhook-*").await;
    assert!(!seen.headers.contains_key("svix_id") && !seen.headers.contains_key("webhook_id"), "{:?}", seen.headers);
}

/// Whoever knows the public key must not be able to use it as a shared secret.
#[tokio::test]
async fn a_public_key_cannot_be_used_to_sign() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    let timestamp = now().to_string();
    let public = ed25519().verifying_key();
    let text = format!("whpk_{}", base64(public.as_bytes()));
    let content = [b"msg_1.", timestamp.as_bytes(), b".", BODY.as_bytes()].concat();
    let with = |path: &str, signature: String| {
        Sent::post(path, BODY)
            .with("webhook-id", "msg_1")
            .with("webhook-timestamp", &timestamp)
            .with("webhook-signature", signature)
    };
    let mut cases = Vec::new();
    for path in ["/hooks/standard", "/hooks/public"] {
        for key in [public.as_bytes().as_slice(), text.as_bytes(), base64(public.as_bytes()).as_bytes(), b""] {
            let mac = base64(&hmac(key, &[&content]));
            cases.push((
                with(path, format!("v1,{mac}")).bytes(),
                401,
                "signature_mismatch",
                format!("{path}: HMAC with the public key"),
            ));
        }
        let mut wrong = ed25519().to_bytes();
        wrong[0] ^= 1;
        let stranger = v1a(&ed25519_dalek::SigningKey::from_bytes(&wrong), "msg_1", &timestamp, BODY.as_bytes());
        cases.push((with(path, stranger).bytes(), 401, "signature_mismatch", format!("{path}: another key pair")));
        cases.push((
            with(path, format!("v1a,{}", base64(&[0; 64]))).bytes(),
            401,
            "signature_mismatch",
            format!("{path}: zeros"),
        ));
        let genuine = v1a(&ed25519(), "msg_1", &timestamp, BODY.as_bytes());
        cases.push((
            with(path, genuine.replace("v1a,", "v1,")).bytes(),
            400,
            "header_malformed",
            format!("{path}: Ed25519 as v1"),
        ));
        let other = v1a(&ed25519(), "msg_2", &timestamp, BODY.as_bytes());
        cases.push((with(path, other).bytes(), 401, "signature_mismatch", format!("{path}: of another id")));
        assert_delivered(&gate, &app, &with(path, genuine), path).await;
    }
    // A shared secret is no use where only the public key is configured.
    let shared =
        Sent::post("/hooks/public", BODY).signed(svix_family("webhook", SECRET, "msg_1", &timestamp, BODY.as_bytes()));
    cases.push((shared.bytes(), 401, "signature_mismatch", "HMAC where only a public key is configured".into()));
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn what_is_not_ascii_in_an_event_cannot_break_the_proof_header() {
    let app = App::start().await;
    let gate = all_schemes(&app, "").await;
    for (body, member) in [
        (r#"{"type":"user.créé"}"#, Some("type=%\"user.cr%c3%a9%c3%a9\"")),
        (r#"{"type":"a\", secret=\"forged"}"#, Some(r#"type="a\", secret=\"forged""#)),
        (r#"{"type":"a\r\nverified-event: x"}"#, None),
        (r#"{"type":"user.created","type":"user.deleted"}"#, None),
        (r#"{"type":7}"#, None),
        ("not json", None),
    ] {
        let seen = assert_delivered(&gate, &app, &sender("clerk").genuine(body), body).await;
        let event = event(&seen);
        match member {
            Some(member) => assert!(event.contains(member), "{body}: {event}"),
            None => assert!(!event.contains("type="), "{body}: {event}"),
        }
        assert_eq!(event.matches("secret=\"current\"").count(), 1, "{event}");
    }
}
