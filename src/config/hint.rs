//! Did-you-mean.
//!
//! Must be fed with names only (keys, providers, variables), never with values: what it returns is printed.

/// The candidate nearest to `name`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let budget = match name.chars().count() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    closest(name, candidates).filter(|&(distance, _)| distance <= budget).map(|(_, candidate)| candidate)
}

/// The candidate nearest to `name`, however far, and how many letters it is away.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_ascii_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &other), candidate)
        })
        .min_by_key(|&(distance, _)| distance)
}

/// `a`, `b` or `c`.
pub(crate) fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_near_name_and_no_far_one() {
        let keys = ["max_body", "buffered_bytes", "head_timeout"];
        assert_eq!(nearest("max-body", keys), Some("max_body"));
        assert_eq!(nearest("headtimeuot", keys), Some("head_timeout"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("ip", ["env", "id"]), Some("id"));
    }

    #[test]
    fn lists_alternatives() {
        assert_eq!(alternatives(["json", "text"]), "`json` or `text`");
        assert_eq!(alternatives(["json"]), "`json`");
    }
}
