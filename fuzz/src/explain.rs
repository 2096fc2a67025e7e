//! `explain` on whatever file: no panic, no secret in its words, and nothing accepted that nobody signed.
//!
//! The first line names the provider; the rest is the file.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use hookward::capture;
use hookward::check::signature::Coverage;
use hookward::config::Environment;
use hookward::fuzzing::{self, Sender};

#[derive(Debug)]
struct Known<'s>(&'s str);

impl Environment for Known<'_> {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        (name == "SECRET").then(|| self.0.as_bytes().to_vec())
    }

    fn variable_names(&self) -> Vec<String> {
        vec!["SECRET".to_owned()]
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn senders() -> &'static [Sender] {
    static SENDERS: OnceLock<Vec<Sender>> = OnceLock::new();
    SENDERS.get_or_init(fuzzing::senders)
}

pub fn run(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (name, file) = (&data[..end], &data[end + 1..]);
    let Some(sender) = senders().iter().find(|sender| sender.name.as_bytes() == name) else { return };
    let Ok(captured) = capture::read(file) else { return };
    let body = captured.body.clone();
    let explained = fuzzing::explained(captured, None, Some(&sender.name), &Known(&sender.secret), fuzzing::NOW);
    let (text, json, accepted) = match explained {
        Ok(explained) => explained,
        Err(problem) => {
            assert!(!problem.is_empty());
            return;
        }
    };
    // A file may hold it: whoever sends the secret is told so, but not which.
    let secret = sender.secret.as_bytes();
    let known = file.windows(secret.len()).any(|window| window == secret);
    assert!(known || !(text.contains(&sender.secret) || json.contains(&sender.secret)), "{text}");
    // Nor a control character but the colours' own, which a terminal would obey.
    let plain = ["\u{1b}[32m", "\u{1b}[31m", "\u{1b}[1m", "\u{1b}[0m"]
        .iter()
        .fold(text.clone(), |text, colour| text.replace(colour, ""));
    assert!(!plain.chars().any(|letter| letter.is_control() && letter != '\n'), "{plain:?}");
    assert!(!text.is_empty() && json.starts_with('{'));
    if let Some((_, _, genuine)) = &sender.genuine
        && sender.scheme.coverage() == Coverage::Body
        && sender.spec.engine == hookward::check::signature::scheme::Engine::default()
    {
        assert!(!accepted || body == genuine[..], "accepted, but nobody signed it: {text}");
    }
}
