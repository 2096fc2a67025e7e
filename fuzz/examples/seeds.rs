//! Writes the seeds that are made of hookward's own test data and of genuine deliveries, into `seeds/`:
//! `RUSTFLAGS="--cfg fuzzing" cargo run --example seeds`. Those that were written by hand, or found, are left alone.

use std::fs;
use std::path::{Path, PathBuf};

use hookward::fuzzing;
use serde_json::Value;
// Where the runtime of the coverage is, should the seeds be written by an instrumented build.
use libfuzzer_sys as _;

/// Every how many cases of the long tables one is taken.
const BYPASSES: usize = 23;
const MUTATIONS: usize = 89;
const METHODS: [&str; 5] = ["POST", "GET", "HEAD", "PUT", "QUERY"];
/// Providers whose schemes differ in kind.
const EXPLAINED: [&str; 11] = [
    "clerk",
    "stripe",
    "github",
    "slack",
    "shopify",
    "twilio",
    "discord",
    "mailgun",
    "livekit",
    "hubspot-v3",
    "square",
];

fn main() {
    targets();
    deliveries();
    captures();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = root().join("fuzz/seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(root().join("tests/data").join(name)).unwrap()).unwrap()
}

fn targets() {
    let seed = |table: u8, method: &str, target: &str| {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or_default();
        let latin1 = target.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap());
        [table, u8::try_from(method).unwrap()].into_iter().chain(latin1).collect::<Vec<u8>>()
    };
    let bypasses = json("bypass-cases.json");
    for (number, case) in bypasses.as_array().unwrap().iter().enumerate().step_by(BYPASSES) {
        let (method, target) = (case["method"].as_str().unwrap(), case["request_target"].as_str().unwrap());
        write("target", &format!("bypass-{number:03}"), &seed(0, method, target));
    }
    for (table, spec) in (0..).zip(json("target-oracle.json").as_array().unwrap()) {
        for (number, case) in spec["cases"].as_array().unwrap().iter().enumerate().step_by(MUTATIONS) {
            let (method, target) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            write("target", &format!("table-{table}-{number:03}"), &seed(table, method, target));
        }
    }
    for (number, target) in
        ["/api/hook", "/in/x", "/old/a", "/api/hook.json", "/in/%2e", "/b/hook.php/x"].iter().enumerate()
    {
        write(
            "target",
            &format!("no-framework-{number}"),
            &seed(6 + u8::from(target.starts_with("/b")), "POST", target),
        );
    }
}

fn deliveries() {
    for sender in fuzzing::senders() {
        let Some((url, headers, body)) = &sender.genuine else { continue };
        let lines = headers
            .iter()
            .flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
        let head: Vec<u8> = format!("{}\nurl {url}\n", sender.name).into_bytes().into_iter().chain(lines).collect();
        write("signature", &sender.name, &[&head[..], b"\n", body].concat());
        if EXPLAINED.contains(&sender.name.as_str()) {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            let mut raw = format!("{}\nPOST /{path} HTTP/1.1\nhost: app.example.com\n", sender.name).into_bytes();
            for (name, value) in headers {
                raw.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
            }
            write("explain", &sender.name, &[&raw[..], b"\n", body].concat());
        }
    }
}

fn captures() {
    for entry in fs::read_dir(root().join("tests/data/captures")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        write("capture", name, &bytes);
        if ["curl-v", "xxd"].contains(&name) {
            write("explain", name, &[b"clerk\n", &bytes[..]].concat());
        }
    }
}
