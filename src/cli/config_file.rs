//! Which file is the configuration: `--config`, else `HOOKWARD_CONFIG`, else the first that exists of two usual places.
//!
//! A file that was named is never replaced by another one: if it is missing, that is the answer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the file.
const VARIABLE: &str = "HOOKWARD_CONFIG";
/// Where it is looked for if nobody names it, in this order.
const PLACES: &[&str] = &["hookward.toml", "/etc/hookward/hookward.toml"];

/// There is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no configuration: neither --config nor {VARIABLE} names one, and there is none at {}\n  hint: start ./hookward.toml from config.example.toml", PLACES.join(" or "))]
pub(crate) struct NoConfiguration;

/// The configuration's path. Only an unnamed file is looked for; a named one may not exist.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, NoConfiguration> {
    choose(named, std::env::var_os(VARIABLE), Path::exists)
}

fn choose(
    named: Option<&Path>,
    variable: Option<OsString>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, NoConfiguration> {
    if let Some(path) = named {
        return Ok(path.to_path_buf());
    }
    // `HOOKWARD_CONFIG=` in a compose file means that nobody set it.
    if let Some(path) = variable.filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    PLACES.iter().map(PathBuf::from).find(|path| exists(path)).ok_or(NoConfiguration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_wins_and_need_not_exist() {
        let found = choose(Some(Path::new("a.toml")), Some("b.toml".into()), |_| false);
        assert_eq!(found, Ok(PathBuf::from("a.toml")));
    }

    #[test]
    fn then_the_variable_then_the_usual_places_in_order() {
        assert_eq!(choose(None, Some("b.toml".into()), |_| true), Ok(PathBuf::from("b.toml")));
        assert_eq!(choose(None, Some("".into()), |_| true), Ok(PathBuf::from("hookward.toml")));
        let etc = choose(None, None, |path| path.starts_with("/etc"));
        assert_eq!(etc, Ok(PathBuf::from("/etc/hookward/hookward.toml")));
    }

    #[test]
    fn says_where_it_looked() {
        let message = choose(None, None, |_| false).unwrap_err().to_string();
        for place in ["--config", "HOOKWARD_CONFIG", "hookward.toml", "/etc/hookward/hookward.toml"] {
            assert!(message.contains(place), "{message}");
        }
    }
}
