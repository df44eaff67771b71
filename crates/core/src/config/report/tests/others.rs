//! Warnings that take the directives of other modules into account.

use proptest::prelude::*;

use super::*;

/// A tree of lines; `<` opens a section, `>` alone closes it. The line numbers are those of the text.
fn tree(text: &str) -> Vec<Directive> {
    fn read<'t>(lines: &mut impl Iterator<Item = (usize, &'t str)>) -> Vec<Directive> {
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line == ">" {
                break;
            }
            let mut words = line.split_whitespace().map(str::to_owned);
            let name = words.next().unwrap();
            let words = words.collect();
            let inner = line.starts_with('<').then(|| read(lines));
            found.push(Directive {
                name: name.trim_start_matches('<').to_owned(),
                words,
                origin: at(u32::try_from(number + 100).unwrap()),
                inner,
            });
        }
        found
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    read(&mut lines.enumerate())
}

/// The warnings with this code, where the main server and a virtual host at line 100 have these aliases.
fn told(code: &str, main: Vec<Alias>, host: Vec<Alias>, root: &str, text: &str) -> Vec<String> {
    let mut global = Global::default();
    let lines = (0..main.len()).map(|line| (0, at(u32::try_from(line + 10).unwrap())));
    let of_host = (0..host.len()).map(|line| (1, at(u32::try_from(line + 20).unwrap())));
    global.origins.aliases = lines.chain(of_host).collect();
    let merged = host.into_iter().chain(main.clone()).collect();
    let config = |aliases| ServerConfig {
        aliases,
        ..ServerConfig::default()
    };
    let (main, host) = (config(main), config(merged));
    let view = |ordinal: u32, config, root: &str| ServerView {
        ordinal,
        name: None,
        shown: format!("server {ordinal}"),
        config,
        document_root: Some(root.to_owned()),
        defined_at: (ordinal == 1).then(|| at(100)),
    };
    let description = Description {
        global: &global,
        servers: vec![view(0, &main, "/var/www"), view(1, &host, root)],
        children: ProcessView::default(),
        groups: Vec::new(),
        tree: tree(text),
        matches: &|expression, text| text.contains(expression.trim_matches(['^', '$', '\\'])),
    };
    let plan = Plan::of(&description);
    let mut texts = texts(&description, &plan);
    texts.retain(|text| text.starts_with(code));
    texts
}

const EMPTY_HOST: &str = "<VirtualHost *:80\n>\n";

#[test]
fn mod_alias_takes_aliases_of_its_server() {
    let app = || vec![alias("/app", "/srv/app")];
    let main = |text: &str| {
        let text = format!("{EMPTY_HOST}{text}");
        told("WSGI5031", app(), vec![], "/x", &text)
    };
    assert_eq!(
        main("Alias /app /srv/static"),
        [
            "WSGI5031: no request can reach WSGIScriptAlias /app (/etc/w.conf:10): Alias /app (/etc/w.conf:102) takes its URLs, and \
             mod_alias comes first wherever it is written; give one of them another URL."
        ]
    );
    for taken in [
        "Alias / /srv/static",
        "aliasmatch ^/(.*) /srv/$1",
        "ScriptAlias /app /srv/cgi",
        "Redirect /app http://other/",
        "Redirect permanent / http://other/",
        "Redirect 410 /app",
        "RedirectPermanent /app http://other/",
        "RedirectMatch ^ http://other/",
    ] {
        assert_eq!(main(taken).len(), 1, "{taken}");
    }
    for reached in [
        "Alias /app/static /srv/static",
        "Alias /app/ /srv/static",
        "Alias /ap /srv/static",
        "AliasMatch ^/app$ /srv/static",
        "RedirectMatch ^/$ /app",
        "<Location /app\nAlias /srv/static\n>",
        "<Directory /srv\nRedirect /app /other\n>",
        "Alias",
        "ProxyPass /app http://other/",
    ] {
        assert_eq!(main(reached), [""; 0], "{reached}");
    }
}

#[test]
fn mod_alias_is_inherited_and_has_to_be_everywhere() {
    let app = || vec![alias("/app", "/srv/app")];
    let in_main = "<VirtualHost *:80\n>\nAlias / /srv/x";
    let in_host = "<VirtualHost *:80\nAlias / /srv/x\n>";
    assert_eq!(told("WSGI5031", vec![], app(), "/x", in_main).len(), 1);
    assert_eq!(told("WSGI5031", vec![], app(), "/x", in_host).len(), 1);
    assert_eq!(told("WSGI5031", app(), vec![], "/x", in_main).len(), 1);
    // The main server's alias is reached there.
    assert_eq!(told("WSGI5031", app(), vec![], "/x", in_host), [""; 0]);
    let expression = vec![expression("^/app/(.*)", "/srv/app")];
    assert_eq!(told("WSGI5031", vec![], expression, "/x", in_host).len(), 1);
}

#[test]
fn a_script_below_the_document_root_of_any_server() {
    let script = || vec![alias("/app", "/srv/site/app.wsgi")];
    let found = told("WSGI5033", script(), vec![], "/srv", EMPTY_HOST);
    assert_eq!(
        found,
        [
            "WSGI5033: the script of WSGIScriptAlias /app (/etc/w.conf:10), '/srv/site/app.wsgi', is below the DocumentRoot '/srv' of \
             the server 1: its source may be had as /site/app.wsgi; move it elsewhere."
        ]
    );
    let told = |inside: &str, outside: &str| {
        let text = format!("<VirtualHost *:80\n{inside}\n>\n{outside}");
        told("WSGI5033", script(), vec![], "/srv", &text).len()
    };
    for open in [
        "<Location /app\nSetHandler x\n>",
        "<Directory /var/www\nSetHandler x\n>",
        "<FilesMatch \\.php$\nSetHandler php\n>",
        "<Files *.php\nSetHandler php\n>",
        "<Directory /\nRequire all denied\n>",
        "<Files .ht*\nRequire all denied\n>",
        "<Location /\nRequire all granted\n>",
        "AddHandler cgi-script .cgi .py",
        "SetHandler None",
        "ProxyPass /site !",
        "ProxyPass /other http://other/",
        "RewriteRule ^/other /x",
        "RewriteRule ^/site -",
        "Alias /static /srv/static",
    ] {
        assert_eq!(told(open, ""), 1, "{open}");
        assert_eq!(told("", open), 1, "{open}");
    }
    for kept in [
        "SetHandler wsgi-script",
        "AddHandler wsgi-script .py .WSGI",
        "<Directory /srv\nAddHandler wsgi-script wsgi\n>",
        "<Directory /srv/site\n<Files app.wsgi\nSetHandler wsgi-script\n>\n>",
        "<DirectoryMatch ^/srv/site\nSetHandler x\n>",
        "<Files ~ app\nRequire all denied\n>",
        "<Location /site\nRequire all denied\n>",
        "<Directory /srv/site\nDeny from all\n>",
        "<If %{X}\nSetHandler x\n>",
        "ProxyPass / http://other/",
        "Alias /site /srv/other",
        "Redirect / http://other/",
        "RedirectMatch ^/site http://other/",
    ] {
        assert_eq!(told(kept, ""), 0, "{kept}");
        assert_eq!(told("", kept), 0, "{kept}");
    }
    // mod_rewrite's rules are not inherited.
    assert_eq!(told("RewriteRule ^/site /x", ""), 0);
    assert_eq!(told("RewriteRule ^/site - [F]", ""), 0);
    assert_eq!(told("RewriteRule !^/other /x", ""), 0);
    assert_eq!(told("", "RewriteRule ^/site /x"), 1);
}

fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof!["[~^/.*?$!\\[\\]a-c0-9%{} -]{0,8}", any::<String>()];
    prop::collection::vec(word, 0..4)
}

fn directive() -> impl Strategy<Value = Directive> {
    let name = prop::sample::select(vec![
        "Alias",
        "AliasMatch",
        "Redirect",
        "SetHandler",
        "AddHandler",
        "Require",
        "Deny",
        "RewriteRule",
        "ProxyPass",
        "VirtualHost",
        "Directory",
        "DirectoryMatch",
        "Files",
        "Location",
        "If",
        "",
    ]);
    let leaf = (name.clone(), words(), 0..102_u32).prop_map(|(name, words, line)| Directive {
        name: name.to_owned(),
        words,
        origin: at(line),
        inner: None,
    });
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let inner = prop::collection::vec(inner, 0..4);
        (name.clone(), words(), 99..102_u32, inner).prop_map(|(name, words, line, inner)| {
            Directive {
                name: name.to_owned(),
                words,
                origin: at(line),
                inner: Some(inner),
            }
        })
    })
}

proptest! {
    /// Whatever other modules' directives say, the report is written; and it says the same without them, but for the two rules.
    #[test]
    fn any_tree_is_reported(tree in prop::collection::vec(directive(), 0..5), url in "[/a-c]{0,4}", folder in "[/a-c.]{0,6}") {
        let config = ServerConfig {
            aliases: vec![alias(&url, &format!("/var/www/{folder}")), expression("^/x", &format!("/srv/{folder}/$1"))],
            ..ServerConfig::default()
        };
        let global = Global::default();
        let view = |ordinal: u32, root: &str| ServerView {
            ordinal,
            name: None,
            shown: String::new(),
            config: &config,
            document_root: Some(root.to_owned()),
            defined_at: (ordinal == 1).then(|| at(100)),
        };
        let mut description = Description {
            global: &global,
            servers: vec![view(0, "/var/www/"), view(1, "/"), view(2, "srv")],
            children: ProcessView::default(),
            groups: Vec::new(),
            tree,
            matches: &|expression, text| text.contains(expression),
        };
        let plan = Plan::of(&description);
        let others = |description: &Description<'_>| {
            let mut texts = texts(description, &plan);
            texts.retain(|text| !text.contains("WSGI5031") && !text.contains("WSGI5033"));
            texts
        };
        let with = others(&description);
        description.tree.clear();
        prop_assert_eq!(with, others(&description));
    }
}
