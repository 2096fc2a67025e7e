//! Which protection a new routing table would take away from the app.
//!
//! Compared by what the tables are made of, not by trying spellings, of which there is no end: the readings of a path grow
//! with every prefix that is stripped and every path that is protected, so nothing is lost where each of the old ones is
//! still there. Errs on the side of naming a loss. Must never miss one: a path that was refused yesterday would be served
//! unverified today.

use super::reading::{Owner, Protected};
use super::{Framework, Targets};

impl Targets {
    /// The spellings that this table protects (takes as a route or refuses) and `new` would pass on, one for each thing that
    /// is gone: a route's path, an alias, a locale or base path before each of them. Empty: none.
    pub fn lost(&self, new: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for plain in self.prefixes.iter().chain(&self.exact) {
            if !new.protects(&plain.owner) {
                lost.push(shown(&String::from_utf8_lossy(&plain.path), plain.owner.is_prefix(), ""));
            }
        }
        let kept = || self.readings.protected.iter().filter(|entry| new.protects(entry));
        let aliases = self.readings.protected.iter().filter(|entry| entry.owner == Owner::Alias);
        lost.extend(aliases.filter(|alias| !new.protects(alias)).map(|alias| spelling("", alias, "")));
        for wrapper in &self.readings.wrappers {
            if !new.readings.wrappers.contains(wrapper) {
                lost.extend(kept().map(|entry| spelling(&String::from_utf8_lossy(wrapper), entry, "")));
            }
        }
        // Each framework has spellings that the other does not know.
        match (self.framework, new.framework) {
            (Framework::NextJs, Framework::None) => {
                lost.extend(kept().map(|entry| spelling("/_next/data/*", entry, ".json")));
            }
            (Framework::None, Framework::NextJs) => {
                lost.extend(kept().map(|entry| spelling("/index.php", entry, "")));
            }
            (Framework::NextJs, Framework::NextJs) | (Framework::None, Framework::None) => {}
        }
        lost
    }

    /// Whether a path that was protected is inside one that is.
    fn protects(&self, entry: &Protected) -> bool {
        self.readings.protected.iter().any(|mine| mine.contains(entry))
    }
}

fn spelling(before: &str, entry: &Protected, after: &str) -> String {
    shown(&format!("{before}{}", String::from_utf8_lossy(&entry.path)), entry.is_prefix(), after)
}

fn shown(stem: &str, prefix: bool, after: &str) -> String {
    match (prefix, stem) {
        (true, _) => format!("{stem}/*"),
        (false, "") => "/".to_owned(),
        (false, _) => format!("{stem}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RoutePath, TargetSpec, Verdict};
    use super::*;

    #[derive(Debug, Clone)]
    struct Spec {
        framework: Framework,
        base: &'static str,
        assets: &'static str,
        locales: &'static [&'static str],
        aliases: &'static [&'static str],
        routes: &'static [&'static str],
    }

    const NEXT: Spec = Spec {
        framework: Framework::NextJs,
        base: "",
        assets: "",
        locales: &[],
        aliases: &[],
        routes: &["/api/webhooks/clerk"],
    };

    fn table(spec: &Spec) -> Option<Targets> {
        let paths = |texts: &[&str]| texts.iter().map(|text| RoutePath::parse(text).unwrap()).collect::<Vec<_>>();
        let locales: Vec<String> = spec.locales.iter().map(|locale| (*locale).to_owned()).collect();
        Targets::compile(TargetSpec {
            framework: spec.framework,
            base_path: spec.base,
            asset_prefix: spec.assets,
            locales: &locales,
            aliases: &paths(spec.aliases),
            routes: &paths(spec.routes),
        })
        .ok()
    }

    fn lost(old: &Spec, new: &Spec) -> Vec<String> {
        table(old).unwrap().lost(&table(new).unwrap())
    }

    #[test]
    fn names_what_each_change_takes_away() {
        let none = Spec { framework: Framework::None, ..NEXT };
        let cases: &[(Spec, Spec, &[&str])] = &[
            (NEXT, Spec { routes: &["/api/webhooks/other"], ..NEXT }, &["/api/webhooks/clerk"]),
            (Spec { routes: &["/a", "/b"], ..NEXT }, Spec { routes: &["/b"], ..NEXT }, &["/a"]),
            (Spec { routes: &["/a/*"], ..NEXT }, Spec { routes: &["/a"], ..NEXT }, &["/a/*"]),
            (Spec { routes: &["/a/*"], ..NEXT }, Spec { routes: &["/a/b/*"], ..NEXT }, &["/a/*"]),
            (Spec { aliases: &["/Old"], ..NEXT }, NEXT, &["/old"]),
            (Spec { aliases: &["/old/*"], ..NEXT }, Spec { aliases: &["/old"], ..NEXT }, &["/old/*"]),
            (Spec { locales: &["en", "de"], ..NEXT }, Spec { locales: &["en"], ..NEXT }, &["/de/api/webhooks/clerk"]),
            (Spec { assets: "/cdn/x", ..NEXT }, NEXT, &["/cdn/x/api/webhooks/clerk"]),
            (Spec { base: "/docs", ..NEXT }, Spec { base: "/x", ..NEXT }, &["/docs/api/webhooks/clerk"]),
            (Spec { base: "/docs", ..NEXT }, NEXT, &["/docs/api/webhooks/clerk"]),
            (
                Spec { base: "/docs", ..NEXT },
                Spec { base: "/docs", routes: &["/b"], ..NEXT },
                &["/docs/api/webhooks/clerk"],
            ),
            (NEXT, none.clone(), &["/_next/data/*/api/webhooks/clerk.json"]),
            (none, NEXT, &["/index.php/api/webhooks/clerk"]),
            (Spec { routes: &["/"], ..NEXT }, NEXT, &["/"]),
        ];
        for (old, new, expected) in cases {
            let lost = lost(old, new);
            assert_eq!(&lost, expected, "{old:?} -> {new:?}");
            for target in lost {
                let target = target.replace('*', "x");
                assert_ne!(table(old).unwrap().classify(b"POST", target.as_bytes()), Verdict::Unmatched, "{target}");
                let verdict = table(new).unwrap().classify(b"GET", target.as_bytes());
                assert_eq!(verdict, Verdict::Unmatched, "{target} {new:?}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_by_what_protects_as_much_or_more() {
        for (old, new) in [
            (NEXT, NEXT),
            (NEXT, Spec { routes: &["/api/webhooks/clerk", "/b"], ..NEXT }),
            (NEXT, Spec { routes: &["/api/webhooks/*"], ..NEXT }),
            (NEXT, Spec { routes: &["/api/webhooks/Clerk"], ..NEXT }),
            (NEXT, Spec { routes: &["/b"], aliases: &["/api/webhooks/clerk"], ..NEXT }),
            (NEXT, Spec { locales: &["en"], ..NEXT }),
            (NEXT, Spec { base: "/docs", ..NEXT }),
            (Spec { aliases: &["/old"], ..NEXT }, Spec { routes: &["/old", "/api/webhooks/clerk"], ..NEXT }),
            (Spec { locales: &["en", "de"], ..NEXT }, Spec { locales: &["de", "EN"], ..NEXT }),
        ] {
            assert_eq!(lost(&old, &new), [""; 0], "{old:?} -> {new:?}");
        }
    }

    /// Every pair of many tables, every one of many spellings: a verdict falls to `Unmatched` only where a loss was named.
    #[test]
    fn no_spelling_is_let_through_without_a_loss_being_named() {
        const LOCALES: [&[&str]; 4] = [&[], &["en"], &["en", "de"], &["docs"]];
        const ALIASES: [&[&str]; 4] = [&[], &["/old"], &["/old/*"], &["/b"]];
        const ROUTES: [&[&str]; 7] =
            [&["/a"], &["/a/*"], &["/a", "/b"], &["/a/b", "/a/*"], &["/A"], &["/x.php"], &["/"]];
        let mut tables = Vec::new();
        for framework in [Framework::NextJs, Framework::None] {
            for base in ["", "/docs", "/a"] {
                for (locales, aliases) in LOCALES.iter().flat_map(|one| ALIASES.iter().map(move |other| (one, other))) {
                    for routes in ROUTES {
                        for assets in ["", "/en/b"] {
                            tables.extend(table(&Spec { framework, base, assets, locales, aliases, routes }));
                        }
                    }
                }
            }
        }
        let mut targets: Vec<String> = Vec::new();
        for before in [
            "",
            "/en",
            "/de",
            "/docs",
            "/docs/en",
            "/en/b",
            "/a",
            "/_next/data/b",
            "/_next/data/b/en",
            "/index.php",
            "/%65n",
        ] {
            for stem in ["/a", "/A", "/a/b", "/b", "/old", "/old/c", "/x.php", "/%61", "/", "/x.php/b"] {
                for after in ["", "/", ".json", ".xml", "/index", ";p", ".segments/x.segment.rsc", "%00", "//"] {
                    targets.push(format!("{before}{stem}{after}"));
                }
            }
        }
        targets.push("/_next/image?url=/a&w=1".into());
        targets.push("/_next/image?url=%2Fdocs%2Fa&w=1".into());
        let passed: Vec<Vec<bool>> = tables
            .iter()
            .map(|table| {
                targets.iter().map(|target| table.classify(b"GET", target.as_bytes()) == Verdict::Unmatched).collect()
            })
            .collect();
        assert!(tables.len() > 300, "{}", tables.len());
        let mut quiet = 0_usize;
        for (old, passed_before) in tables.iter().zip(&passed) {
            for (new, passed_after) in tables.iter().zip(&passed) {
                if !old.lost(new).is_empty() {
                    continue;
                }
                quiet += 1;
                let fallen = (0..targets.len()).find(|at| !passed_before[*at] && passed_after[*at]);
                assert_eq!(fallen.map(|at| &targets[at]), None, "{old:?} -> {new:?}");
            }
        }
        assert!(quiet > 3 * tables.len(), "{quiet}");
    }
}
