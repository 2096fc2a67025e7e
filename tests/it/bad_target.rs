//! Other ways to a protected route: a genuine signature does not help, because the gate and the app would mean different paths.

use crate::harness::*;
use crate::sender::*;

fn config(app: &App, server: &str, sections: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n{server}{sections}[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n",
        app.addr
    )
}

#[tokio::test]
async fn no_spelling_of_a_protected_path_but_its_own_is_taken() {
    let app = App::start().await;
    let gate = Gate::with(&config(
        &app,
        "",
        "[app]\nlocales = [\"en\", \"fr\"]\naliases = [\"/legacy-hook\", \"/hooks/clerk\"]\n",
    ))
    .await;
    let mut cases = Vec::new();
    for target in [
        // NEXTJS.md, "Reaches the handler though the path is not the configured one".
        "/_next/data/BUILDID/api/webhooks/clerk.json",
        "/_next/data/BUILDID/en/api/webhooks/clerk.json",
        "/_next/data/x/api/webhooks/clerk",
        "/_next/data/BUILDID/index/api/webhooks/clerk.json",
        "/_next/data/BUILDID/index/en/legacy-hook.json",
        "/_next/data/BUILDID/api/webhooks/clerk/.json",
        "/x/../api/webhooks/clerk",
        "/api/./webhooks/clerk",
        "/api/webhooks/./clerk",
        "/%2e%2e/api/webhooks/clerk",
        "/%2E/api/webhooks/clerk",
        "/_next/static/../../api/webhooks/clerk",
        "/api/webhooks/x/..%2fclerk",
        "/api/webhooks/clerk/.",
        "/api/webhooks/clerk/..",
        "/api/webhooks/clerk/%2e",
        "/./api/webhooks/clerk",
        "/../api/webhooks/clerk",
        "/api/webhooks/clerk/../clerk",
        "/.%2e/api/webhooks/clerk",
        "/api/webhooks/clerk#",
        "/api/webhooks/clerk#x",
        "/api/webhooks/clerk?#",
        "/api/webhooks/clerk/#",
        "/page#/api/webhooks/clerk",
        "/api/webhooks/%63lerk",
        "/%61pi/webhooks/clerk",
        "/api/webhooks/cler%6b",
        "/api/webhooks/cler%6B",
        "/api/webhooks/%2563lerk",
        "/api%2fwebhooks%2fclerk",
        "/api/webhooks%2Fclerk",
        "/api/webhooks%252fclerk",
        "/api/webhooks/clerk%2f",
        "/api/webhooks/clerk%00",
        "/api/webhooks/clerk%20",
        "/api/webhooks/clerk%23",
        "/api/webhooks/clerk%3Fx",
        "/api/webhooks/clerk%3b",
        "/api/webhooks/clerk%5c",
        "/api%5cwebhooks%5cclerk",
        "/en/api/webhooks/clerk",
        "/EN/api/webhooks/clerk",
        "/fr/api/webhooks/clerk",
        "/en/fr/api/webhooks/clerk",
        "/En/api/webhooks/clerk/",
        "/api\\webhooks\\clerk",
        "/\\api/webhooks/clerk",
        "/api/webhooks\\clerk",
        "/api/webhooks/clerk\\",
        "\\api\\webhooks\\clerk",
        "/api/webhooks/clerk.rsc",
        "/api/webhooks/clerk.json",
        "/api/webhooks/clerk.prefetch.rsc",
        "/api/webhooks/clerk.segment.rsc",
        "/api/webhooks/clerk.action",
        "/api/webhooks/clerk.html",
        "/api/webhooks/clerk.txt",
        "/api/webhooks/clerk.body",
        "/api/webhooks/clerk.meta",
        "/api/webhooks/clerk.segments/_tree.segment.rsc",
        "/api/webhooks/clerk/index",
        "/api/webhooks/clerk/route",
        "/api/webhooks/clerk/page",
        "//api/webhooks/clerk",
        "///api/webhooks/clerk",
        "/api//webhooks/clerk",
        "/api/webhooks//clerk",
        "/api/webhooks/clerk//",
        "/api/webhooks/clerk///",
        "/API/WEBHOOKS/CLERK",
        "/api/webhooks/Clerk",
        "/Api/webhooks/clerk",
        "/api/webhooks/clerk;x=1",
        "/api;x/webhooks/clerk",
        "/api/webhooks/clerk;",
        "/legacy-hook",
        "/legacy-hook/",
        "/LEGACY-HOOK",
        "/hooks/clerk",
        "/Hooks/Clerk?x=1",
        "/en/hooks/clerk",
        "/legacy%2dhook",
        "/%25%32%65%25%32%65/x",
        "/%252525252e%2f",
        "/a/%252e%252e/b",
        // Of no route at all, but never canonical.
        "/a/../b",
        "/a/./b",
        "/..",
        "/.",
        "/a/%2e%2e/b",
        "/a\\b",
        "//evil.example/x",
        "/a#b",
    ] {
        let sent = Sent::clerk(target, BODY);
        cases.push((sent.bytes(), 400, "bad_target", format!("POST {target}")));
        cases.push((sent.clone().method("PUT").bytes(), 400, "bad_target", format!("PUT {target}")));
        cases.push((sent.method("GET").framed("", ""), 400, "bad_target", format!("GET {target}")));
    }
    for target in [
        "/_next/image?url=%2Fapi%2Fwebhooks%2Fclerk&w=640&q=75",
        "/_next/image?url=/api/webhooks/clerk&w=640&q=75",
        "/_next/image?w=1&url=%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=%252Fapi%252Fwebhooks%252Fclerk",
        "/_next/image?%75rl=%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=%2Fx%2F..%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=%2Flogo.png&url=%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=http%3A%2F%2Flocalhost%3A3000%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=%2Fen%2Fapi%2Fwebhooks%2Fclerk",
        "/_next/image?url=%2Flegacy-hook",
        "/_next/image?url=%2F_next%2Fimage%3Furl%3D%2Fapi%2Fwebhooks%2Fclerk",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            if method == "HEAD" {
                continue;
            }
            cases.push((
                Sent::post(target, "").method(method).framed("", ""),
                400,
                "bad_target",
                format!("{method} {target}"),
            ));
        }
    }
    for target in ["/_next/image?url=%2Flogo.png&w=640&q=75", "/_next/data/BUILDID/about.json"] {
        cases.push((Sent::post(target, "").bytes(), 400, "bad_target", format!("POST {target}")));
        // Should one of them lead to a handler in a way that is not known here, there is nothing for it to read.
        let with_body = Sent::post(target, BODY).method("GET").bytes();
        cases.push((with_body, 400, "bad_target", format!("GET {target} with a body")));
    }
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn ordinary_targets_pass_byte_for_byte() {
    let app = App::start().await;
    let gate = Gate::with(&config(&app, "", "[app]\nlocales = [\"en\", \"fr\"]\n")).await;
    let targets = [
        "/",
        "/?utm_source=x&utm_medium=y",
        "/about/",
        "/docs/a%20b",
        "/docs/caf%C3%A9",
        "/search?q=a%2Fb%23c",
        "/search?path=../../etc",
        "/search?u=https://example.com/a//b",
        "/user/@name",
        "/user/a:b;c=d",
        "/files/..hidden",
        "/files/a..b",
        "/files/...",
        "/tags/c%2B%2B",
        "/api",
        "/api/webhooks",
        "/api/webhooks/",
        "/api/webhooks/other",
        "/api/webhooks/clerk-status",
        "/api/webhooks/clerkx",
        "/_next/static/chunks/main.js",
        "/_next/image?url=%2Flogo.png&w=640&q=75",
        "/_next/data/BUILDID/about.json",
        "/a//b",
        "/a%2Fb",
        "/[slug]",
        "/a|b",
        "/%e9",
        "/x?url=/api/webhooks/clerk",
        "/x?/../y",
        "/?",
        "/a?b?c",
        "/en/about",
    ];
    for target in targets {
        let answer = gate.exchange(get(target, "")).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_eq!(app.seen().last().unwrap().target, target);
    }
    assert_eq!(app.seen().len(), targets.len());
}

#[tokio::test]
async fn a_route_is_its_path_with_or_without_one_slash_and_any_query() {
    let app = App::start().await;
    let gate = Gate::with(&config(&app, "", "")).await;
    for target in [
        PATH.to_owned(),
        format!("{PATH}/"),
        format!("{PATH}?a=b"),
        format!("{PATH}/?a=%2e%2e/%23"),
        format!("{PATH}?"),
        format!("{PATH}?x=/../y//z"),
    ] {
        assert_delivered(&gate, &app, &Sent::clerk(&target, BODY), &target).await;
        let cases = [
            (
                Sent::clerk(&target, BODY).set("svix-id", "x").bytes(),
                401,
                "signature_mismatch",
                format!("forged: {target}"),
            ),
            (Sent::post(&target, BODY).bytes(), 400, "header_missing", format!("unsigned: {target}")),
        ];
        assert_all_refused(&gate, &app, cases).await;
    }
}

#[tokio::test]
async fn other_methods_are_told_which_are_taken() {
    let app = App::start().await;
    let gate = Gate::with(&format!(
        "{}[routes.two]\npath = \"/two\"\nprovider = \"clerk\"\nmethods = [\"POST\", \"PUT\"]\n",
        config(&app, "", "")
    ))
    .await;
    for (target, allow, taken) in [(PATH, "POST", &["POST"][..]), ("/two", "POST, PUT", &["POST", "PUT"])] {
        for method in [
            "GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "TRACE", "post", "Post",
            "GETPOST", "POSTS", "FOO",
        ] {
            let before = app.seen().len();
            let answer = gate.exchange(Sent::clerk(target, BODY).method(method).bytes()).await;
            if taken.contains(&method) {
                assert_eq!((answer.status, app.seen().len()), (200, before + 1), "{method} {target}");
            } else {
                assert_refusal(&answer, 405, "method_not_allowed", &format!("{method} {target}"));
                assert_eq!(answer.header("allow").as_deref(), Some(allow), "{method} {target}");
                assert_eq!(app.seen().len(), before, "{method} {target}");
            }
        }
        let mut stream = gate.connect().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, &Sent::clerk(target, BODY).method("HEAD").bytes())
            .await
            .unwrap();
        let answer = crate::bad_framing::Pipeline::new(stream).next(true).await;
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some(allow)));
        // A header that names another method names nothing.
        for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
            let answer = gate.exchange(Sent::clerk(target, BODY).method("GET").with(name, "POST").bytes()).await;
            assert_refusal(&answer, 405, "method_not_allowed", name);
        }
    }
    assert_eq!(app.seen().len(), 3);
}

#[tokio::test]
async fn a_prefix_protects_all_below_and_the_most_specific_route_wins() {
    let app = App::start().await;
    let gate = Gate::with(&format!(
        r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://{}"
[routes.all]
path = "/api/webhooks/*"
provider = "clerk"
[routes.below]
path = "/api/webhooks/github/*"
provider = "github"
secrets = [{{ insecure_value = "{GITHUB_SECRET}" }}]
[routes.exact]
path = "/api/webhooks/github/slack"
provider = "slack"
secrets = [{{ insecure_value = "{SLACK_SECRET}" }}]
"#,
        app.addr
    ))
    .await;
    let (github, slack) = (sender("github"), sender("slack"));
    for (target, route) in [
        ("/api/webhooks", "all"),
        ("/api/webhooks/", "all"),
        ("/api/webhooks/clerk", "all"),
        ("/api/webhooks/a/b/c", "all"),
        ("/api/webhooks/a/", "all"),
        ("/api/webhooks/githubx", "all"),
        ("/api/webhooks/github", "below"),
        ("/api/webhooks/github/", "below"),
        ("/api/webhooks/github/x", "below"),
        ("/api/webhooks/github/slack/x", "below"),
        ("/api/webhooks/github/slack", "exact"),
        ("/api/webhooks/github/slack/", "exact"),
        ("/api/webhooks/github/slack?x=1", "exact"),
    ] {
        let by = |name: &str| match name {
            "all" => Sent::clerk(target, BODY),
            "below" => Sent { target: target.into(), ..github.genuine(BODY) },
            _ => Sent { target: target.into(), ..slack.genuine(BODY) },
        };
        let seen = assert_delivered(&gate, &app, &by(route), target).await;
        assert!(event(&seen).contains(&format!("route=\"{route}\"")), "{target}: {}", event(&seen));
        // Genuine for another route that would also match the path.
        let others = ["all", "below", "exact"].into_iter().filter(|other| *other != route);
        let cases: Vec<_> = others
            .map(|other| (by(other).bytes(), 400, "header_missing", format!("{target}, signed for {other}")))
            .collect();
        assert_all_refused(&gate, &app, cases).await;
    }
    let cases: Vec<_> = [
        "/api/webhooks/%63lerk",
        "/api/webhooks//clerk",
        "/api//webhooks/x",
        "/api/webhooks/a%2fb",
        "/api/webhooks%2fa",
        "/API/webhooks/x",
        "/api/webhooks/a/../b",
        "/api/webhooks/%",
        "/api/webhooks/a//",
        "/_next/data/x/api/webhooks/y.json",
        "/api/webhooks/github%2fslack",
        "/api/webhooks/GitHub/slack",
        "/api/webhooks/github/slack.json",
        "/api/webhooks/github/Slack",
    ]
    .into_iter()
    .map(|target| (Sent::clerk(target, BODY).bytes(), 400, "bad_target", target.to_owned()))
    .collect();
    assert_all_refused(&gate, &app, cases).await;
    let answer = gate.exchange(Sent::post("/api/webhooksx", "x").bytes()).await;
    assert_eq!(answer.status, 200, "a longer name is another path");
}

#[tokio::test]
async fn what_no_route_matches_is_denied_where_that_is_configured() {
    let app = App::start().await;
    let gate = Gate::with(&config(&app, "unmatched = \"deny\"\n", "")).await;
    let mut cases = Vec::new();
    for target in ["/", "/page", "/api/webhooks", "/api/webhooks/clerkx", "/_next/static/x.js", "/?x"] {
        for method in ["GET", "POST", "OPTIONS"] {
            cases.push((
                Sent::clerk(target, BODY).method(method).bytes(),
                404,
                "no_route",
                format!("{method} {target}"),
            ));
        }
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\nsec-websocket-version: 13\r\n";
        cases.push((get(target, upgrade).into_bytes(), 404, "no_route", format!("upgrade {target}")));
    }
    cases.push((
        Sent::clerk("/api/webhooks/%63lerk", BODY).bytes(),
        400,
        "bad_target",
        "a shadow is no stranger".into(),
    ));
    assert_all_refused(&gate, &app, cases).await;
    assert_delivered(&gate, &app, &Sent::clerk(PATH, BODY), "the route itself").await;
}

#[tokio::test]
async fn the_base_path_belongs_to_the_route() {
    let app = App::start().await;
    let gate = Gate::with(&config(&app, "", "[app]\nbase_path = \"/docs\"\nlocales = [\"en\"]\n")).await;
    let target = format!("/docs{PATH}");
    assert_delivered(&gate, &app, &Sent::clerk(&target, BODY), "with its base path").await;
    let cases: Vec<_> = [
        PATH.to_owned(),
        format!("/DOCS{PATH}"),
        format!("/docs/en{PATH}"),
        format!("/en/docs{PATH}"),
        format!("/docs/docs{PATH}"),
        format!("/docs/{PATH}"),
        format!("/docs/_next/data/x{PATH}.json"),
        format!("/_next/data/x{PATH}.json"),
        format!("/d%6fcs{PATH}"),
        format!("/docs/x/..{PATH}"),
    ]
    .into_iter()
    .map(|target| (Sent::clerk(&target, BODY).bytes(), 400, "bad_target", target))
    .collect();
    assert_all_refused(&gate, &app, cases).await;
}
