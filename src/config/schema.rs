//! The JSON Schema (draft 2020-12) of the configuration, derived from the table of keys.
//!
//! For editors: it knows every key, type, bound and default, not the rules between keys. Must never list a key that this
//! version refuses.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, Shape, Status, TOP};

/// The schema of `hookward.toml`.
pub fn schema() -> Value {
    let mut root = table(&TOP);
    if let Some(object) = root.as_object_mut() {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("hookward.toml"));
    }
    root
}

fn table(shape: &Shape) -> Value {
    let properties: Map<String, Value> =
        shape.keys.iter().filter_map(|key| Some((key.name.to_owned(), property(key)?))).collect();
    let required: Vec<&str> =
        shape.keys.iter().filter(|key| key.status == Status::Required).map(|key| key.name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Some(object) = object.as_object_mut() {
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        if !shape.exactly_one.is_empty() {
            let one: Vec<Value> = shape.exactly_one.iter().map(|name| json!({ "required": [name] })).collect();
            object.insert("oneOf".to_owned(), json!(one));
        }
    }
    object
}

/// `None`: the key is refused.
fn property(key: &Key) -> Option<Value> {
    if matches!(key.status, Status::Never(_)) {
        return None;
    }
    let mut value = kind(&key.kind);
    let object = value.as_object_mut()?;
    object.insert("description".to_owned(), json!(key.doc));
    if let Some(default) = key.default {
        object.insert("default".to_owned(), toml_to_json(default)?);
    }
    Some(value)
}

fn kind(kind: &Kind) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Integers { min, max } => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": min, "maximum": max } })
        }
        Kind::Size { min, max } => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^[0-9]+(B|kB|KiB|MB|MiB|GB|GiB)$" },
        ] }),
        Kind::Duration { .. } => json!({
            "type": "string", "minLength": 2, "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Kind::Texts => texts,
        Kind::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Kind::Groups => json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, texts] } }),
        Kind::TextMap => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Table(shape) => table(shape),
        Kind::Tables(shape) => json!({ "type": "array", "items": table(shape) }),
        Kind::Named(shape) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": table(shape),
        }),
    }
}

fn toml_to_json(text: &str) -> Option<Value> {
    let value: toml::Value =
        toml::de::ValueDeserializer::parse(text).ok().and_then(|value| serde::Deserialize::deserialize(value).ok())?;
    serde_json::to_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
        value.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
    }

    #[test]
    fn knows_types_bounds_defaults_and_choices() {
        let schema = schema();
        assert_eq!(at(&schema, "/properties/limits/properties/max_headers/maximum"), 1_000);
        assert_eq!(at(&schema, "/properties/limits/properties/drain/default"), "25s");
        assert_eq!(at(&schema, "/properties/server/properties/unmatched/enum/1"), "deny");
        assert_eq!(at(&schema, "/properties/routes/additionalProperties/required/0"), "path");
        let token = at(&schema, "/properties/verified_event/properties/token");
        assert_eq!((at(token, "/required/0"), at(token, "/properties/ttl/default")), (&json!("key"), &json!("60s")));
        assert_eq!(at(token, "/properties/key/oneOf/0/required/0"), "env");
        assert_eq!(at(&schema, "/properties/schemes/additionalProperties/properties/signature/required/0"), "header");
    }

    #[test]
    fn leaves_out_what_this_version_refuses() {
        let schema = schema();
        assert_eq!(
            schema.pointer("/properties/routes/additionalProperties/properties/secrets/items/properties/value"),
            None
        );
    }
}
