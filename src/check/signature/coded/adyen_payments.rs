//! Adyen's standard webhook for payments: each item of the JSON body brings its own HMAC-SHA256 over eight of its fields.
//!
//! Signed is `pspReference:originalReference:merchantAccountCode:merchantReference:value:currency:eventCode:success`, without
//! escapes, absent fields empty. A merchant's reference may have a `:` in it and no other field may, so that the text has
//! one reading. The amount is an integer and success the text `true` or `false`, so that each has one spelling. Every item
//! must be signed with the same key: an app that believes the body believes all of them. Nothing else in the body is signed,
//! `eventDate`, `reason` and the rest of `additionalData` included; must never call it so.
//!
//! Duplicates have the same event code and PSP reference; a later delivery may correct `success`, so that is part of the id.
//! Sources: Adyen "Verify HMAC signatures" and "Handle webhook events", adyen-node-api-library 32.1.0 `hmacValidator.ts`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use subtle::Choice;

use super::media::Media;
use super::strict_json::{self, Json};
use super::{Coded, Held, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{MacState, Tag};
use crate::check::signature::scheme::{Algorithm, SchemeSpec};
use crate::check::signature::sign::{Delivery, SignProblem, Signed};
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable};
use crate::reject::Reject;

/// Most items of one delivery. Adyen sends one in JSON, and up to six in SOAP.
const MAX_ITEMS: usize = 100;
const ITEMS: &str = "notificationItems";
const ITEM: &str = "NotificationRequestItem";
const DATA: &str = "additionalData";
const SIGNATURE: &str = "hmacSignature";

#[derive(Debug)]
struct AdyenPayments;

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha256, &mut problems);
    if problems.is_empty() { Ok(Box::new(AdyenPayments)) } else { Err(problems) }
}

impl Coded for AdyenPayments {
    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Partial
    }

    fn signs_id(&self) -> bool {
        true
    }

    fn signs_url(&self) -> bool {
        false
    }

    fn present(&self, head: Head<'_>, _window: Window) -> Result<Option<u64>, Failure> {
        // What is signed are fields, not bytes: as a form, or in UTF-7, what no signature covers could name other ones.
        Media::one_of(head.headers, &[Media::Json]).map(|()| None)
    }

    fn verify(&self, _held: &Held, body: &[u8], keys: &[LabeledKey], _window: Window) -> Result<Proof, Failure> {
        let mismatch = || Failure::of(Reject::SignatureMismatch);
        let document = strict_json::read(body).ok_or_else(mismatch)?;
        let items = items(&document).ok_or_else(mismatch)?;
        let key = tags::first_that(keys, |state| {
            items.iter().fold(Choice::from(1), |all, item| all & item.signed.tag(state).is(&item.signature))
        })
        .ok_or_else(mismatch)?;
        let only = match items.as_slice() {
            [only] => Some(&only.signed),
            [] | [_, ..] => None,
        };
        let field = |text: String| {
            let text = is_presentable(&text).then(|| text.into_boxed_str());
            Field::new(None, text, true)
        };
        Ok(Proof {
            key,
            id: only.and_then(Signable::id).and_then(field),
            event_type: only.and_then(|signed| field(signed.event_code.to_owned())),
            timestamp: None,
            coverage: Coverage::Partial,
        })
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let body = strict_json::read(delivery.body)
            .and_then(|mut document| {
                let items = document.get_mut(ITEMS)?.elements_mut()?;
                if items.is_empty() || items.len() > MAX_ITEMS {
                    return None;
                }
                for item in items {
                    let item = item.get_mut(ITEM)?;
                    let signature = STANDARD.encode(Signable::of(item)?.tag(state).as_bytes());
                    item.object_mut(DATA)?.set_text(SIGNATURE, &signature)?;
                }
                document.write()
            })
            .ok_or(SignProblem::Body)?;
        Ok(Signed { headers: Vec::new(), body: Some(body), url: None })
    }
}

/// An item and the signature that it brings.
struct Item<'d> {
    signed: Signable<'d>,
    signature: [u8; 32],
}

/// All items. `None`: none, too many, or one that is not as Adyen writes it.
fn items(document: &Json) -> Option<Vec<Item<'_>>> {
    let items = document.get(ITEMS).filter(|_| document.is_plain_about(&[ITEMS]))?.elements()?;
    if items.is_empty() || items.len() > MAX_ITEMS {
        return None;
    }
    items.iter().map(Item::of).collect()
}

impl<'d> Item<'d> {
    fn of(element: &'d Json) -> Option<Self> {
        let item = element.get(ITEM).filter(|_| element.is_plain_about(&[ITEM]))?;
        let signature = item.get(DATA)?.get(SIGNATURE)?.text()?;
        Some(Self { signed: Signable::of(item)?, signature: tags::base64(signature.as_bytes())? })
    }
}

/// The members of an item that are signed, or lead to what is.
const FIELDS: [&str; 8] = [
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "amount",
    "eventCode",
    "success",
    DATA,
];

/// The fields of an item that are signed.
struct Signable<'d> {
    psp_reference: &'d str,
    original_reference: &'d str,
    merchant_account: &'d str,
    merchant_reference: &'d str,
    value: String,
    currency: &'d str,
    event_code: &'d str,
    success: &'d str,
}

impl<'d> Signable<'d> {
    /// `None`: a field of another type, or one that would be read as two.
    fn of(item: &'d Json) -> Option<Self> {
        if !item.is_plain_about(&FIELDS) {
            return None;
        }
        let (value, currency) = match item.get("amount") {
            None | Some(Json::Null) => (String::new(), ""),
            Some(amount) if !amount.is_plain_about(&["value", "currency"]) => return None,
            Some(amount) => {
                let Json::Integer(value) = amount.get("value")? else { return None };
                (value.to_string(), field(amount, "currency")?)
            }
        };
        let signed = Self {
            psp_reference: field(item, "pspReference")?,
            original_reference: field(item, "originalReference")?,
            merchant_account: field(item, "merchantAccountCode")?,
            merchant_reference: field(item, "merchantReference")?,
            value,
            currency,
            event_code: field(item, "eventCode")?,
            success: field(item, "success")?,
        };
        let others = [
            signed.psp_reference,
            signed.original_reference,
            signed.merchant_account,
            signed.currency,
            signed.event_code,
        ];
        let is_unambiguous = !others.iter().any(|text| text.contains(':'));
        let is_complete = !signed.event_code.is_empty() && matches!(signed.success, "true" | "false");
        (is_unambiguous && is_complete).then_some(signed)
    }

    fn tag(&self, state: &MacState) -> Tag {
        let fields = [
            self.original_reference,
            self.merchant_account,
            self.merchant_reference,
            &self.value,
            self.currency,
            self.event_code,
            self.success,
        ];
        state.tag(|update| {
            update(self.psp_reference.as_bytes());
            for field in fields {
                update(b":");
                update(field.as_bytes());
            }
        })
    }

    fn id(&self) -> Option<String> {
        let has_reference = !self.psp_reference.is_empty();
        has_reference.then(|| format!("{}:{}:{}", self.psp_reference, self.event_code, self.success))
    }
}

/// A text, empty where it is absent. `None`: something else.
fn field<'d>(object: &'d Json, name: &str) -> Option<&'d str> {
    match object.get(name) {
        None | Some(Json::Null) => Some(""),
        Some(value) => value.text(),
    }
}

#[cfg(test)]
#[path = "tests/adyen_payments.rs"]
mod tests;
