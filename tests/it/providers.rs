//! `hookward providers`, as a process.

use std::process::{Command, Output};

fn providers(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookward")).arg("providers").args(args).output().unwrap()
}

#[test]
fn the_list_has_a_row_for_every_provider_in_both_formats() {
    let text = String::from_utf8(providers(&[]).stdout).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&providers(&["--format", "json"]).stdout).unwrap();
    let entries = json.as_array().unwrap();
    assert!(entries.len() > 60);
    assert_eq!(text.lines().count(), entries.len() + 1, "{text}");
    for (entry, row) in entries.iter().zip(text.lines().skip(1)) {
        let name = entry["name"].as_str().unwrap();
        assert!(row.starts_with(&format!("{name} ")), "{row}");
        assert!(entry["docs"].as_str().unwrap().starts_with("https://"), "{name}");
        assert!(entry["signs"].is_array() && entry["sender_deadline"].is_u64(), "{name}");
    }
    let clerk = entries.iter().find(|entry| entry["name"] == "clerk").unwrap();
    assert_eq!(clerk["signs"], serde_json::json!(["body", "time", "id"]));
}

#[test]
fn one_entry_is_a_scheme_to_copy() {
    let output = providers(&["stripe"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let table: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(table["schemes"]["my-stripe"]["content"].as_str(), Some("{timestamp}.{body}"));
    assert!(text.contains("# scheme = \"my-stripe\""), "{text}");
}

#[test]
fn an_unknown_name_gets_the_nearest_one_and_exit_2() {
    let output = providers(&["strpie"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean `stripe`?"));
}
