//! A configuration in words.

mod others;

use super::*;
use crate::config::{Alias, DaemonGroup, DaemonOptions, ImportScript, Layer, Origin, Section};

fn at(line: u32) -> Origin {
    Origin {
        file: "/etc/w.conf".into(),
        line,
    }
}

fn group(name: &str) -> DaemonGroup {
    DaemonGroup {
        name: name.into(),
        id: 1,
        server_ordinal: 0,
        server_name: None,
        options: DaemonOptions::default(),
    }
}

fn alias(url: &str, target: &str) -> Alias {
    Alias {
        url: url.into(),
        target: target.into(),
        ..Alias::default()
    }
}

fn expression(url: &str, target: &str) -> Alias {
    Alias {
        is_match: true,
        ..alias(url, target)
    }
}

fn location(path: &str, line: u32, group: &str) -> Section {
    Section {
        server_ordinal: 0,
        kind: "Location".into(),
        argument: path.into(),
        within: Vec::new(),
        origin: at(line),
        layer: Layer {
            process_group: Some(group.into()),
            ..Layer::default()
        },
    }
}

/// A main server with these aliases, at lines 10, 11 …
fn with(aliases: Vec<Alias>, mut global: Global, test: impl FnOnce(&Description<'_>, &Plan)) {
    let lines = 10_u32..;
    global.origins.aliases = lines
        .map(|line| (0, at(line)))
        .take(aliases.len())
        .collect();
    let count = u32::try_from(global.daemon_groups.len()).unwrap();
    global.origins.groups = (1..=count).map(at).collect();
    let config = ServerConfig {
        aliases,
        ..ServerConfig::default()
    };
    let description = Description {
        global: &global,
        servers: vec![ServerView {
            ordinal: 0,
            name: Some("main".into()),
            shown: "main server".into(),
            config: &config,
            document_root: Some("/var/www".into()),
            defined_at: None,
        }],
        children: ProcessView {
            python: "3.11".into(),
            user: "user 'www-data' (uid 33)".into(),
            group: "gid 33".into(),
        },
        groups: vec![ProcessView::default(); global.daemon_groups.len()],
        tree: Vec::new(),
        matches: &|expression, text| text.contains(expression.trim_matches(['^', '$'])),
    };
    let plan = Plan::of(&description);
    test(&description, &plan);
}

fn texts(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let warnings = warnings(description, plan, &[]);
    warnings.into_iter().map(|warning| warning.text).collect()
}

#[test]
fn a_report_names_everything() {
    let mut blue = group("blue");
    blue.options.request_timeout = 60;
    blue.options.python_home = Some("/srv/venv".into());
    let mut global = Global {
        daemon_groups: vec![blue],
        import_scripts: vec![ImportScript {
            script: "/srv/warm.py".into(),
            process_group: "blue".into(),
            application_group: String::new(),
            server_ordinal: 0,
        }],
        ..Global::default()
    };
    global.origins.imports = vec![at(30)];
    global.origins.sections = vec![location("/app/admin", 20, "blue")];
    with(
        vec![alias("/app", "/srv/app.wsgi")],
        global,
        |description, plan| {
            let finding = Finding {
                check: 0,
                reader: "user 'blue' (uid 7)".into(),
                obstacle: "'/srv' has mode 0700".into(),
                is_missing: false,
            };
            let lines = report(description, plan, &[finding]);
            assert_eq!(
                lines,
                [
                    "WSGI configuration:",
                    "Embedded mode (Apache's children):",
                    "    python 3.11",
                    "    user 'www-data' (uid 33), gid 33",
                    "Daemon process groups:",
                    "    blue (/etc/w.conf:1)",
                    "        python ",
                    "        , ",
                    "        processes=1 threads=15 request-timeout=60 python-home=/srv/venv",
                    "Mount points, in the order in which they are tried:",
                    "    main server",
                    "        /app/admin -> /srv/app.wsgi (/etc/w.conf:10)",
                    "            daemon process group blue, application group %{RESOURCE}, by <Location /app/admin> (/etc/w.conf:20)",
                    "        /app -> /srv/app.wsgi (/etc/w.conf:10)",
                    "            embedded, application group %{RESOURCE}",
                    "Sections:",
                    "    <Location /app/admin> (/etc/w.conf:20): process group blue",
                    "Interpreters:",
                    "    daemon process group blue: %{RESOURCE}, %{GLOBAL} (the main interpreter)",
                    "    embedded: %{RESOURCE}",
                    "Scripts loaded at start:",
                    "    /srv/warm.py (/etc/w.conf:30): daemon process group blue, application group %{GLOBAL} (the main interpreter)",
                    "Warnings: 1",
                    "    WSGI5032: the script of WSGIScriptAlias /app (/etc/w.conf:10), '/srv/app.wsgi', cannot be read by user \
                 'blue' (uid 7): '/srv' has mode 0700.",
                ]
            );
        },
    );
}

/// MRG-03: sections of folders, then files, then URLs; the alias's own option wins (MRG-10).
#[test]
fn sections_decide_as_httpd_merges_them() {
    let section = |kind: &str, argument: &str, name: &str| Section {
        kind: kind.into(),
        argument: argument.into(),
        ..location("", 5, name)
    };
    let chosen = |sections: Vec<Section>, option: Option<&str>| {
        let mut global = Global::default();
        global.origins.sections = sections;
        let mut mounted = alias("/app", "/srv/a/app.wsgi");
        mounted.process_group = option.map(str::to_owned);
        let mut runs = None;
        with(vec![mounted], global, |_, plan| {
            runs = Some(plan.mounts[0].runs.clone());
        });
        runs.unwrap()
    };
    let named = |name: &str| Runs::Group(name.into());
    let deep = section("Directory", "/srv/a", "deep");
    let flat = section("Directory", "\"/srv\"", "flat");
    let files = section("Files", "*.wsgi", "files");
    let url = section("Location", "/app", "url");
    let expression = section("DirectoryMatch", "^/srv", "expression");
    assert_eq!(
        chosen(vec![deep.clone(), flat.clone()], None),
        named("deep")
    );
    assert_eq!(
        chosen(vec![expression.clone(), deep.clone()], None),
        named("expression")
    );
    assert_eq!(
        chosen(vec![files.clone(), expression, deep.clone()], None),
        named("files")
    );
    assert_eq!(chosen(vec![url.clone(), files, flat], None), named("url"));
    assert_eq!(chosen(vec![url], Some("own")), named("own"));
    let within = |folder: &str| Section {
        within: vec![
            ("directory".into(), folder.into()),
            ("VirtualHost".into(), "*:80".into()),
        ],
        ..section("FILES", "app.wsgi", "nested")
    };
    assert_eq!(chosen(vec![within("/srv/a")], None), named("nested"));
    assert_eq!(chosen(vec![within("/srv/b")], None), Runs::Embedded);
    assert_eq!(
        chosen(vec![section("Directory", "/srv/b", "no")], None),
        Runs::Embedded
    );
    assert_eq!(
        chosen(vec![section("Directory", "/", "%{ENV:G}")], None),
        Runs::AsRequested("%{ENV:G}".into())
    );
}

/// DIR-031: a part of an alias's URLs for which only the callable differs is shown; what is said about files is not said about
/// modules.
#[test]
fn callables_of_sections_and_modules() {
    let mut global = Global::default();
    let mut below = location("/app/in", 5, "x");
    below.layer = Layer {
        callable_object: Some("other".into()),
        ..Layer::default()
    };
    let files = Section {
        kind: "FilesMatch".into(),
        ..location(".", 6, "files")
    };
    global.origins.sections = vec![below, files];
    let mut module = alias("/mod", "module:site");
    module.module = crate::config::ModuleTarget::parse("module:site").map(Result::unwrap);
    let aliases = vec![alias("/app", "/srv/a.wsgi"), module];
    with(aliases, global, |_, plan| {
        let shown: Vec<_> = plan
            .mounts
            .iter()
            .map(|mount| (mount.url.as_str(), mount.callable.as_deref(), &mount.runs))
            .collect();
        let files = Runs::Group("files".into());
        let expected = [
            ("/app/in", Some("other"), &files),
            ("/app", None, &files),
            ("/mod", None, &Runs::Embedded),
        ];
        assert_eq!(shown, expected);
    });
}

/// DIR-008: the first alias that matches wins, so one behind it may never be asked.
#[test]
fn aliases_that_no_request_reaches() {
    let is_shadowed = |first: Alias, second: Alias| {
        let mut found = Vec::new();
        with(
            vec![first, second],
            Global::default(),
            |description, plan| {
                found = texts(description, plan);
            },
        );
        found
            .iter()
            .any(|text| text.contains("WSGI5031: no request can reach"))
    };
    let plain = |url: &str| alias(url, "/srv/x");
    let regex = |url: &str| expression(url, "/srv/x");
    assert!(is_shadowed(plain("/"), plain("/app")));
    assert!(is_shadowed(plain("/app"), plain("/app/admin")));
    assert!(is_shadowed(plain("/app"), plain("/app/")));
    assert!(is_shadowed(plain("/app"), plain("/app")));
    assert!(is_shadowed(plain("/app"), regex("^/app/[a-z]+")));
    assert!(is_shadowed(regex("^/.*"), plain("/x")));
    assert!(is_shadowed(plain("/"), regex("x$")));
    assert!(!is_shadowed(plain("/app"), plain("/apple")));
    assert!(!is_shadowed(plain("/app/"), plain("/app")));
    assert!(!is_shadowed(plain("/app/admin"), plain("/app")));
    assert!(!is_shadowed(plain("/app"), regex("^/app/?x")));
    assert!(!is_shadowed(plain("/app"), regex("^/app/x|^/y")));
    assert!(!is_shadowed(regex("^/a"), plain("/ab")));
}

/// DMN-203, REQ-301: what a request would be refused for.
#[test]
fn groups_that_are_not_used_or_not_there() {
    let global = Global {
        daemon_groups: vec![group("blue"), group("idle")],
        ..Global::default()
    };
    let mut right = alias("/a", "/srv/a");
    right.process_group = Some("blue".into());
    let mut wrong = alias("/b", "/srv/b");
    wrong.process_group = Some("bleu".into());
    with(
        vec![right.clone(), wrong],
        global.clone(),
        |description, plan| {
            let found = texts(description, plan);
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(found[0].starts_with(
                "WSGI5030: nothing uses the daemon process group 'idle' (/etc/w.conf:2)"
            ));
            assert!(
                found[1]
                    .contains("WSGI5034: requests for WSGIScriptAlias /b (/etc/w.conf:11) get 500")
            );
            assert!(found[1].contains("'bleu'"));
        },
    );
    // What the request decides may name any group.
    right.process_group = Some("%{ENV:GROUP}".into());
    with(vec![right], global.clone(), |description, plan| {
        assert_eq!(texts(description, plan), [""; 0]);
    });
    let mut global = Global {
        restrict_embedded: Some(true),
        ..global
    };
    global.daemon_groups.clear();
    global.origins.sections = vec![location("/other", 20, "none")];
    with(vec![alias("/a", "/srv/a")], global, |description, plan| {
        let found = texts(description, plan);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("'none' of <Location /other> (/etc/w.conf:20)"));
        assert!(found[1].contains("WSGIRestrictEmbedded"));
    });
}

/// DP-112: requests that a group with threads=0 never takes.
#[test]
fn aliases_of_services_are_told() {
    let mut service = group("service");
    service.options.threads = 0;
    let global = Global {
        daemon_groups: vec![group("blue"), service],
        ..Global::default()
    };
    let in_group = |url: &str, name: &str| {
        let mut alias = alias(url, "/srv/a");
        alias.process_group = Some(name.into());
        alias
    };
    let aliases = vec![in_group("/a", "blue"), in_group("/b", "service")];
    with(aliases, global, |description, plan| {
        let found = texts(description, plan);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("WSGI5221: requests for WSGIScriptAlias /b ("));
        assert!(found[0].contains("'service' has threads=0"));
    });
}

#[test]
fn a_script_in_the_document_root_is_told_unless_an_alias_covers_it() {
    let told = |aliases: Vec<Alias>| {
        let mut found = Vec::new();
        with(aliases, Global::default(), |description, plan| {
            found = texts(description, plan);
        });
        found
            .iter()
            .filter(|text| text.contains("WSGI5033"))
            .count()
    };
    let inside = || alias("/app", "/var/www/site/app.wsgi");
    assert_eq!(told(vec![inside()]), 1);
    assert_eq!(told(vec![alias("/site", "/srv/x"), inside()]), 0);
    assert_eq!(told(vec![alias("/", "/var/www/x.wsgi")]), 0);
    assert_eq!(told(vec![alias("/app", "/var/www2/x.wsgi")]), 0);
    assert_eq!(told(vec![expression("^/x/(.*)", "/var/www/x/$1.wsgi")]), 1);
}

#[test]
fn files_are_asked_for_once_for_each_reader() {
    let mut blue = group("blue");
    blue.options.python_home = Some("/srv/venv".into());
    let global = Global {
        daemon_groups: vec![blue],
        python_home: Some("/usr".into()),
        ..Global::default()
    };
    let mut daemon = alias("/a", "/srv/a.wsgi");
    daemon.process_group = Some("blue".into());
    let module = alias("/m", "module:site.wsgi:application");
    let many = expression("^/x/(.*)", "/srv/x/$1.wsgi");
    with(vec![daemon, module, many], global, |_, plan| {
        let asked: Vec<_> = plan
            .checks
            .iter()
            .map(|c| (c.path.as_str(), c.group, c.is_home))
            .collect();
        assert_eq!(
            asked,
            [
                ("/srv/a.wsgi", Some(0), false),
                ("/srv/x", None, false),
                ("/srv/venv", Some(0), true),
                ("/usr", None, true),
            ]
        );
    });
}
