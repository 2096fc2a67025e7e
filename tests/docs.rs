//! Keeps README.md honest: whatever can be compared with the code is compared, and whatever can be run is run.
//!
//! Each test names what to change in the README when the code has changed. Must never write to the README.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use hookward::check::client::ClientFault;
use hookward::check::target::TargetFault;
use hookward::config::{self, Environment, Severity};
use hookward::providers::{Catalog, EventTypes};
use hookward::reject::Reject;
use hookward::telemetry::metrics::table::{Kind, Metric};
use serde_json::Value;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Keys for which config.example.toml shows an example in the place of the default, and says so.
const SHOWN_BY_EXAMPLE: &[&str] = &["client_ip.trusted_proxies", "routes.NAME.events"];

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A fenced block, without the indentation of its fence.
struct Block {
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let readme = file("README.md");
    let mut lines = readme.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let text: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| line.get(indent..).unwrap_or_default())
            .collect();
        blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
    }
    assert!(blocks.len() > 10, "found {} blocks", blocks.len());
    blocks
}

fn blocks_of(language: &str) -> Vec<String> {
    let found: Vec<String> =
        blocks().into_iter().filter(|block| block.language == language).map(|block| block.text).collect();
    assert!(!found.is_empty(), "no block is marked {language}");
    found
}

/// The rows below each table header that starts with `header`, cell by cell.
fn tables(header: &str) -> Vec<Vec<Vec<String>>> {
    let readme = file("README.md");
    let lines: Vec<&str> = readme.lines().collect();
    let starts = (0..lines.len()).filter(|at| lines[*at].starts_with(header));
    let table =
        |start: usize| lines[start + 2..].iter().take_while(|line| line.starts_with('|')).map(|line| cells(line));
    let found: Vec<Vec<Vec<String>>> = starts.map(|start| table(start).collect()).collect();
    assert!(found.iter().all(|rows| !rows.is_empty()), "an empty table {header}");
    found
}

fn table(header: &str) -> Vec<Vec<String>> {
    let mut found = tables(header);
    assert_eq!(found.len(), 1, "tables that start with {header}");
    found.remove(0)
}

fn cells(line: &str) -> Vec<String> {
    let inner =
        line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_else(|| panic!("not a row: {line}"));
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// `` `code` `` → `code`; `None` for anything else.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|inner| !inner.contains('`'))
}

fn commands() -> Vec<String> {
    blocks_of("sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn hookward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command
        .env_remove("HOOKWARD_CONFIG")
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env_remove("CLERK_WEBHOOK_SECRET");
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every variable and file that the README's configurations name.
struct Named;

impl Environment for Named {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "CLERK_WEBHOOK_SIGNING_SECRET" => Some(SECRET.into()),
            "VERIFIED_EVENT_KEY" => Some(b"a key of at least thirty-two bytes".to_vec()),
            "BILLING_SECRET" => Some(b"a secret of thirty-two characters".to_vec()),
            _ => None,
        }
    }

    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let tls = |name: &str| Ok(file(&format!("tests/data/tls/{name}")).into_bytes());
        match path.to_str() {
            Some("/run/secrets/clerk-next") => Ok(NEXT_SECRET.into()),
            Some("/etc/hookward/extra.txt") => Ok(b"203.0.113.0/24\n".to_vec()),
            Some("/tls/tls.crt") => tls("server.pem"),
            Some("/tls/tls.key") => tls("server.key"),
            Some("/tls/ca.crt") => tls("ca.pem"),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

#[test]
fn the_first_two_commands_are_the_demo_and_the_tests() {
    assert_eq!(commands()[..2], ["cargo run --release -- demo", "tests/run"]);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run").exists());
}

#[test]
fn every_hookward_command_exists_with_its_options() {
    let mut seen = 0;
    for line in commands().iter().filter_map(|line| line.strip_prefix("hookward ")) {
        let mut words = line.split(' ');
        let command = words.next().unwrap();
        let help = output(hookward().args([command, "--help"]));
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{command} has no {option}");
        }
        seen += 1;
    }
    assert!(seen >= 3);
}

/// Nobody listens there, so that it fails: with 1, not with 2 as what cannot be right does.
#[test]
fn the_line_in_the_compose_file_sends() {
    let compose = file("deploy/compose.yaml");
    let line = compose.lines().find_map(|line| line.strip_prefix("#   hookward ")).unwrap();
    let line = line.replace("localhost:8080", "127.0.0.1:1");
    let sent = hookward().args(line.split(' ')).output().unwrap();
    let text = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert_eq!(sent.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&sent.stderr));
    assert!(text.contains("POST http://127.0.0.1:1/api/webhooks/clerk"), "{text}");
}

#[test]
fn explain_says_what_is_shown() {
    let arguments = ["explain", "--provider", "clerk", "--now", "1795248012", "tests/data/explain/reserialised.http"];
    let printed = hookward().args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert_eq!(printed.status.code(), Some(1));
    let shown = blocks_of("text").into_iter().find(|block| block.contains("refused: signature_mismatch")).unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains(shown.trim_end()), "{printed}");
}

#[test]
fn the_statuses_table_is_the_reject_table() {
    let rows = table("| code | status |");
    let documented: Vec<String> = rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    let expected: Vec<String> = Reject::ALL
        .iter()
        .map(|reject| {
            format!("| `{}` | {} | {} | {} |", reject.code(), reject.status().as_u16(), reject.title(), reject.fix())
        })
        .collect();
    for row in &expected {
        assert!(documented.contains(row), "missing or different in the README; it should be\n{row}");
    }
    assert_eq!(documented, expected, "an unknown row, or another order");
}

#[test]
fn the_table_of_details_is_that_of_the_code() {
    let target = TargetFault::ALL.iter().map(|fault| ("bad_target", fault.code(), fault.why()));
    let client = ClientFault::ALL.iter().map(|fault| ("client_unknown", fault.code(), fault.why()));
    let expected: Vec<String> =
        target.chain(client).map(|(reject, code, why)| format!("| `{reject}` | `{code}` | {why} |")).collect();
    let documented: Vec<String> =
        table("| code | detail | which rule |").iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    assert_eq!(documented, expected, "it should be\n{}", expected.join("\n"));
    // None is missing in the lists.
    for (name, known) in
        [("src/check/target.rs", TargetFault::ALL.len()), ("src/check/client.rs", ClientFault::ALL.len())]
    {
        let source = file(name);
        let body = source.split("pub const fn code(self)").nth(1).unwrap().split("\n    }\n").next().unwrap();
        assert_eq!(body.matches("=> \"").count(), known, "{name}");
    }
}

#[test]
fn the_outcomes_that_are_no_refusals_are_those_of_the_access_line() {
    let source = file("src/telemetry/access.rs");
    let arms = source.split("fn code(self)").nth(1).unwrap().split("Self::Rejected").next().unwrap();
    let known: Vec<&str> = arms.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect();
    let rows = table("| outcome | status |");
    let documented: Vec<&str> = rows.iter().map(|row| code(&row[0]).unwrap()).collect();
    assert_eq!(documented, known);
    assert!(known.len() >= 4);
}

#[test]
fn the_fields_of_the_access_line_are_those_that_are_written() {
    let source = file("src/telemetry/access.rs");
    let body = source.split("fn write(&self, fields").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let type_of = |method: &str| match method {
        "time" => "string, RFC 3339",
        "text" | "hex" => "string",
        "number" | "signed" => "integer",
        "raw" => "boolean",
        other => panic!("{other} writes which type?"),
    };
    let calls = body.split("fields.").skip(1).filter_map(|call| call.split_once("(key!(\""));
    let written: Vec<(&str, &str)> =
        calls.map(|(method, rest)| (rest.split('"').next().unwrap(), type_of(method))).collect();
    let rows = table("| field | type | meaning |");
    let documented: Vec<(&str, &str)> = rows.iter().map(|row| (code(&row[0]).unwrap(), &*row[1])).collect();
    assert_eq!(documented, written);

    let examples = blocks_of("json");
    let example: Value =
        serde_json::from_str(examples.iter().find(|block| block.contains("\"outcome\"")).unwrap()).unwrap();
    for field in example.as_object().unwrap().keys() {
        assert!(written.iter().any(|(name, _)| name == field), "{field} is not a field of the access line");
    }
}

#[test]
fn the_providers_whose_event_types_are_known_are_named() {
    let catalog = Catalog::load().unwrap();
    let known = catalog.iter().filter(|(name, _)| EventTypes::of(name).is_some());
    let known: Vec<&str> = known.map(|(_, provider)| provider.title.split(' ').next().unwrap()).collect();
    let readme = file("README.md");
    let readme = readme.split("Where all types of a provider are known (").nth(1).unwrap();
    let named: Vec<&str> = readme.split(')').next().unwrap().split(", ").collect();
    assert_eq!(named, known);
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let documented: Vec<String> =
        table("| metric | type | labels | meaning |").iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    let rows = Metric::ALL.iter().map(|metric| metric.row());
    let expected: Vec<String> = rows
        .map(|row| {
            let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", row.full_name(), row.kind.name(), labels.join(", "), row.help)
        })
        .collect();
    assert_eq!(documented, expected, "it should be\n{}", expected.join("\n"));
}

/// Names in rules and dashboard are names of metrics, and what an alert says leads to a heading of the README.
#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let mut known = BTreeSet::new();
    for row in Metric::ALL.iter().map(|metric| metric.row()) {
        let name = row.full_name();
        if row.kind == Kind::Histogram {
            known.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            known.insert(name);
        }
    }
    let readme = file("README.md");
    let anchors: BTreeSet<String> = readme
        .lines()
        .filter_map(|line| Some(line.trim_start_matches('#')).filter(|rest| *rest != line))
        .map(|heading| heading.trim().to_lowercase().replace(' ', "-"))
        .collect();
    for name in ["deploy/prometheus/hookward.rules.yml", "deploy/grafana/hookward.json"] {
        let text = file(name);
        let mut asked = 0;
        for part in text.split("hookward_").skip(1) {
            let rest: String = part.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            assert!(known.contains(&format!("hookward_{rest}")), "{name}: there is no hookward_{rest}");
            asked += 1;
        }
        assert!(asked >= 10, "{name}: {asked}");
        for anchor in text.split("README.md#").skip(1) {
            let anchor: String =
                anchor.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '-').collect();
            assert!(anchors.contains(&anchor), "{name}: #{anchor}");
        }
    }
    let rules = file("deploy/prometheus/hookward.rules.yml");
    let (alerts, links) = (rules.matches("- alert: ").count(), rules.matches("README.md#").count());
    assert!(alerts >= 8 && alerts == links, "{alerts} alerts, {links} links");
}

#[test]
fn the_example_of_an_answer_is_what_hookward_answers() {
    let examples = blocks_of("json");
    let example: Value =
        serde_json::from_str(examples.iter().find(|block| block.contains("\"detail\"")).unwrap()).unwrap();
    let reject = Reject::ALL.iter().find(|reject| example["code"] == reject.code()).unwrap();
    assert_eq!(example["title"], reject.title());
    assert_eq!(example["detail"], reject.fix());
    assert_eq!(example["status"], reject.status().as_u16());
    let source = file("src/answer.rs");
    let (_, fields) = source.split_once("struct Problem<'r> {").unwrap();
    let mut written: Vec<_> = fields
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().trim_start_matches("r#"))
        .collect();
    written.sort_unstable();
    assert_eq!(example.as_object().unwrap().keys().collect::<Vec<_>>(), written);
}

#[test]
fn every_configuration_compiles_without_a_warning() {
    let is_built = |text: &&String| cfg!(feature = "otlp") || !text.contains("[telemetry.otlp]");
    for text in blocks_of("toml").iter().filter(is_built) {
        let loaded =
            config::compile(text, Path::new("README.md"), &Named).unwrap_or_else(|report| panic!("{report}\n{text}"));
        let warnings: Vec<String> = loaded
            .notices
            .iter()
            .filter(|notice| notice.severity == Severity::Warning)
            .map(ToString::to_string)
            .collect();
        assert!(warnings.is_empty(), "{}\n{text}", warnings.join("\n"));
    }
}

/// A key of the schema: its default, and whether it must be there.
type Keys = BTreeMap<String, (Option<Value>, bool)>;

/// Every key that has an effect, under the name that the README uses.
fn schema_keys() -> Keys {
    fn walk(prefix: &str, table: &Value, keys: &mut Keys) {
        let required = table["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in table["properties"].as_object().unwrap() {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let nested = |table: &Value| table["properties"].is_object();
            let no_effect = property["description"].as_str().unwrap().ends_with("No effect in this version.");
            if no_effect {
                continue;
            }
            if nested(property) {
                walk(&path, property, keys);
            } else if nested(&property["additionalProperties"]) {
                walk(&format!("{path}.NAME"), &property["additionalProperties"], keys);
            } else {
                if nested(&property["items"]) {
                    walk(&format!("{path}[]"), &property["items"], keys);
                }
                keys.insert(path, (property.get("default").cloned(), required.contains(&Value::from(name.as_str()))));
            }
        }
    }
    let mut keys = Keys::new();
    walk("", &config::schema(), &mut keys);
    // Lists of tables that are described by their own keys alone.
    keys.remove("schemes.NAME.alternative_keys").unwrap();
    keys.remove("schemes.NAME.required_values").unwrap();
    keys
}

/// The rows of both tables of keys: full name and default cell.
fn documented_keys() -> Vec<(String, String)> {
    let of = |header: &str, prefix: &str| -> Vec<(String, String)> {
        table(header).into_iter().map(|row| (format!("{prefix}{}", code(&row[0]).unwrap()), row[1].clone())).collect()
    };
    [of("| key | default |", ""), of("| key of `[schemes.NAME]` | default |", "schemes.NAME.")].concat()
}

fn toml_value(text: &str) -> Value {
    let table: toml::Table = toml::from_str(&format!("x = {text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
    serde_json::to_value(&table["x"]).unwrap()
}

#[test]
fn the_tables_of_keys_have_every_key_with_its_default() {
    let known = schema_keys();
    let documented = documented_keys();
    let names: BTreeSet<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), documented.len(), "a key stands there twice");
    assert_eq!(names, known.keys().map(String::as_str).collect::<BTreeSet<_>>());
    for (name, cell) in &documented {
        let (default, required) = &known[name];
        assert_eq!(cell == "required", *required, "{name}: {cell}");
        match (code(cell), default) {
            (Some(written), default) => assert_eq!(Some(toml_value(written)), *default, "{name}"),
            (None, Some(default)) => panic!("{name}: the README says {cell:?}, the default is {default}"),
            (None, None) => {}
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_example_configuration() {
    let example: toml::Table = toml::from_str(&file("config.example.toml")).unwrap();
    let example = serde_json::to_value(example).unwrap();
    let mut compared = 0;
    for (name, cell) in documented_keys() {
        let Some(default) = code(&cell).map(toml_value) else { continue };
        // What stands there in comments: it cannot be beside the rest, or has no default as a whole.
        let commented = ["schemes.", "server.listener", "ip_lists.", "verified_event.", "telemetry.otlp."]
            .iter()
            .any(|part| name.starts_with(part));
        if commented || SHOWN_BY_EXAMPLE.contains(&name.as_str()) {
            continue;
        }
        let pointer = name.replace("NAME", "clerk").replace("[]", ".0").replace('.', "/");
        let value =
            example.pointer(&format!("/{pointer}")).unwrap_or_else(|| panic!("{name} is not in config.example.toml"));
        assert_eq!(*value, default, "{name}");
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} compared");
}

#[test]
fn the_table_of_senders_names_entries_of_the_catalogue_or_a_reason() {
    let catalog = Catalog::load().unwrap();
    assert!(catalog.iter().count() > 130);
    let rows = table("| name | ngrok | Hookdeck | hookward |");
    let of = |column: usize| rows.iter().filter(|row| !row[column].is_empty()).count();
    assert!(of(1) >= 60 && of(2) >= 60, "{} and {}", of(1), of(2));
    for row in &rows {
        let [name, _, _, ours] = row.as_slice() else { panic!("{row:?}") };
        if let Some((_, reason)) = ours.split_once("not yet: ").filter(|(before, _)| before.is_empty()) {
            assert!(reason.len() > 10, "{name}: {reason}");
            continue;
        }
        let named: Vec<&str> = ours.split(';').next().unwrap().split('`').skip(1).step_by(2).collect();
        let generic = name.starts_with("any sender");
        assert!(!named.is_empty() || generic, "{name}: {ours}");
        for provider in named.iter().filter(|_| !generic) {
            assert!(catalog.get(provider).is_some(), "{name}: {provider} is not in the catalogue");
        }
    }
}

#[test]
fn the_verified_event_example_is_a_structured_dictionary() {
    let example = blocks_of("http")
        .into_iter()
        .find_map(|block| block.strip_prefix("verified-event: ").map(str::to_owned))
        .unwrap();
    let dictionary: Dictionary = Parser::new(&example).parse().unwrap();
    let members: Vec<&str> = dictionary.keys().map(|key| key.as_str()).collect();
    let rows = table("| member | meaning |");
    let documented: Vec<&str> = rows.iter().map(|row| code(&row[0]).unwrap()).filter(|name| *name != "proof").collect();
    assert_eq!(members, documented);
    // The names that the code writes, in its order.
    let source = file("src/verified_event.rs");
    let mut rest = source.split("\nfn value(").nth(1).unwrap();
    for name in members {
        rest = rest
            .split_once(&format!("\"{name}\""))
            .unwrap_or_else(|| panic!("{name} is not written, or not in this order"))
            .1;
    }
    let Some(ListEntry::Item(timestamp)) = dictionary.get("timestamp") else { panic!("no timestamp") };
    assert!(matches!(timestamp.bare_item, BareItem::Integer(_)));
}

#[test]
fn the_demo_prints_the_table_that_is_shown() {
    let without_ports = |text: &str| -> String {
        let mut parts = text.split("127.0.0.1:");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| text + "127.0.0.1:" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    let shown = blocks_of("text").into_iter().find(|block| block.contains("what was sent")).unwrap();
    let printed = output(hookward().args(["demo", "--once"]));
    assert_eq!(without_ports(&shown).trim(), without_ports(&printed).trim());
}

#[test]
fn check_prints_the_table_that_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hookward.toml"), &blocks_of("toml")[0]).unwrap();
    let printed = output(hookward().arg("check").current_dir(folder.path()));
    let shown = blocks_of("text").into_iter().find(|block| block.starts_with("hookward.toml")).unwrap();
    assert_eq!(shown.trim(), printed.trim());
}

#[test]
fn every_link_leads_somewhere() {
    let readme = file("README.md");
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    let anchors: Vec<String> = readme
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| slug(line.trim_start_matches('#').trim()))
        .collect();
    let mut seen = 0;
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        seen += 1;
        match target.strip_prefix('#') {
            Some(anchor) => assert!(anchors.iter().any(|known| known == anchor), "#{anchor}"),
            None => assert!(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{target}"),
        }
    }
    assert!(seen >= 8);
}

/// The files that people copy are the ones that the README shows.
#[test]
fn the_handlers_in_deploy_are_those_of_the_readme() {
    for file in ["deploy/nextjs/app/api/webhooks/clerk/route.ts", "deploy/nextjs/pages/api/webhooks/clerk.ts"] {
        let handler = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(handler.len() > 200, "{file}");
        assert!(include_str!("../README.md").contains(&format!("```ts\n{handler}```")), "{file} is not in README.md");
    }
}
