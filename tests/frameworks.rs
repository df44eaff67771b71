//! Flask and Django, as people use them: over HTTP/1.1 and HTTP/2, embedded and in daemons, with every MPM.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use wsgi_harness::{Curl, CurlAnswer, Mode, Mpm, Server, Site, matrix, repository, test_venv};

const UPLOAD_BYTES: usize = 20 << 20;
const DOWNLOAD_BYTES: u64 = 200 << 20;
/// Where in the download there is something to recognise.
const MARKS: [u64; 4] = [0, 1 << 20, (100 << 20) + 7, DOWNLOAD_BYTES - 6];

/// A server with Django at `/` and Flask at `/flask`, each in an interpreter of its own.
fn server(mpm: Mpm, mode: Mode) -> Server {
    let venv = test_venv().display().to_string();
    let mut site = Site::new(mpm, mode)
        .modules(&["alias", "mime"])
        .file("mime.types", "text/css css\ntext/javascript js\n")
        .daemon_options(&format!("processes=2 threads=4 python-home={venv}"))
        .shared("django_site")
        .shared("flask_app.wsgi")
        .file("apps/django_site/project/local.py", "DATA = '{data}'\n")
        .config(&format!(
            "TypesConfig {{dir}}/mime.types
            Alias /static/ {}/
            WSGIScriptAlias /flask {{apps}}/flask_app.wsgi application-group=flask
            WSGIScriptAlias / {{apps}}/django_site/wsgi.py application-group=%{{GLOBAL}}",
            admin_files().display()
        ));
    if mode == Mode::Embedded {
        site = site.config(&format!("WSGIPythonHome {venv}"));
    }
    if mpm != Mpm::Prefork {
        site = site.modules(&["http2"]).config("Protocols h2c http/1.1");
    }
    let database = site.path("data/db.sqlite3");
    fs::copy(database_template(), &database).expect("a file of the site");
    fs::set_permissions(&database, Permissions::from_mode(0o666)).expect("mine");
    write_large(&site.path("data/large"));
    site.start()
}

/// The static files of Django's admin inside the virtual environment.
fn admin_files() -> PathBuf {
    let lib = test_venv().join("lib");
    let entries = fs::read_dir(&lib)
        .expect("the virtual environment has a lib")
        .flatten();
    entries
        .map(|entry| {
            entry
                .path()
                .join("site-packages/django/contrib/admin/static")
        })
        .find(|path| path.is_dir())
        .expect("the virtual environment has Django")
}

/// A database with tables and an administrator, made once for all tests.
fn database_template() -> &'static Path {
    static MADE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder in /tmp");
        let status = Command::new("cp")
            .arg("-r")
            .arg(repository().join("tests/apps/django_site"))
            .arg(folder.path())
            .status();
        assert!(status.is_ok_and(|status| status.success()));
        let site = folder.path().join("django_site");
        fs::write(
            site.join("project/local.py"),
            format!("DATA = {:?}\n", folder.path()),
        )
        .expect("mine");
        for arguments in [
            &["migrate"][..],
            &[
                "createsuperuser",
                "--noinput",
                "--username",
                "admin",
                "--email",
                "a@b.example",
            ],
        ] {
            let output = Command::new(test_venv().join("bin/python"))
                .arg(site.join("manage.py"))
                .args(arguments)
                .env("DJANGO_SUPERUSER_PASSWORD", "secret")
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .output()
                .expect("Python of the virtual environment runs");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let path = folder.path().join("db.sqlite3");
        (folder, path)
    });
    path
}

fn write_large(path: &Path) {
    let mut file = File::create(path).expect("a file of the site");
    file.set_len(DOWNLOAD_BYTES).expect("a sparse file");
    for at in MARKS {
        file.seek(SeekFrom::Start(at))
            .expect("a file can be sought");
        file.write_all(format!("{at:06}").as_bytes().split_at(6).0)
            .expect("a file of the site");
    }
}

fn check_download(answer: &CurlAnswer) {
    let mut file = File::open(&answer.body).expect("the body that was saved");
    assert_eq!(file.metadata().expect("a file").len(), DOWNLOAD_BYTES);
    for at in MARKS {
        let mut found = [0; 6];
        file.seek(SeekFrom::Start(at))
            .expect("a file can be sought");
        file.read_exact(&mut found)
            .expect("the file is as long as that");
        assert_eq!(
            &found[..],
            format!("{at:06}").as_bytes().split_at(6).0,
            "at {at}"
        );
    }
}

/// A file to upload, with its size and checksum as the applications show them.
fn upload_file() -> &'static (TempDir, PathBuf, String) {
    static MADE: OnceLock<(TempDir, PathBuf, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder in /tmp");
        let path = folder.path().join("upload");
        let content: Vec<u8> = (0..UPLOAD_BYTES).map(|at| (at * 131 % 257) as u8).collect();
        fs::write(&path, &content).expect("mine");
        let (mut low, mut high) = (1u32, 0u32);
        for byte in &content {
            low = (low + u32::from(*byte)) % 65521;
            high = (high + low) % 65521;
        }
        (
            folder,
            path,
            format!("{UPLOAD_BYTES} {}\n", high << 16 | low),
        )
    })
}

fn lines() -> String {
    (0..5000).map(|number| format!("line {number}\n")).collect()
}

fn browsers(server: &Server, mpm: Mpm) -> Vec<(Curl, &'static str)> {
    let mut browsers = vec![(Curl::new(server), "1.1")];
    if mpm != Mpm::Prefork {
        browsers.push((Curl::http2(server), "2"));
    }
    browsers
}

/// Issue: log in to the admin, create and list objects, static files, an upload, a download, a streamed answer, an error.
fn django(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (browser, version) in browsers(&server, mpm) {
        let item = format!("item over {version}");
        assert_eq!(
            browser.get("/admin/").expect(302).header("Location"),
            Some("/admin/login/?next=/admin/")
        );
        let login = browser.get("/admin/login/?next=/admin/").expect(200);
        assert_eq!(login.version, version);
        let token = browser.cookie("csrftoken").expect("a cookie of Django");
        let fields = [
            ("csrfmiddlewaretoken", token.as_str()),
            ("username", "admin"),
            ("password", "wrong"),
        ];
        assert!(
            browser
                .post_form("/admin/login/?next=/admin/", &fields)
                .expect(200)
                .text()
                .contains("Please enter the correct")
        );
        let fields = [
            ("csrfmiddlewaretoken", token.as_str()),
            ("username", "admin"),
            ("password", "secret"),
        ];
        browser
            .post_form("/admin/login/?next=/admin/", &fields)
            .expect(302);
        assert!(
            browser
                .get("/admin/")
                .expect(200)
                .text()
                .contains("Site administration")
        );
        let token = browser.cookie("csrftoken").expect("a cookie of Django");
        let fields = [
            ("csrfmiddlewaretoken", token.as_str()),
            ("name", item.as_str()),
            ("price", "42"),
            ("_save", "Save"),
        ];
        assert_eq!(
            browser
                .post_form("/admin/shop/item/add/", &fields)
                .expect(302)
                .header("Location"),
            Some("/admin/shop/item/")
        );
        let list = browser.get("/admin/shop/item/").expect(200).text();
        assert!(
            list.contains(&item) && list.contains("was added successfully"),
            "{list}"
        );
        assert!(browser.get("/").expect(200).text().contains(&item));
        // Without the token a form is refused.
        assert_eq!(
            Curl::new(&server)
                .post_form("/admin/shop/item/add/", &[("name", "x")])
                .status,
            403
        );
        server.allow_log("Forbidden (CSRF cookie not set.)");
        let css = browser.get("/static/admin/css/base.css").expect(200);
        assert_eq!(css.header("Content-Type"), Some("text/css"));
        let upload = upload_file();
        let form = format!("file=@{}", upload.1.display());
        assert_eq!(
            browser
                .run("/upload/", &["--form", &form])
                .expect(200)
                .text(),
            upload.2
        );
        check_download(&browser.get("/download/").expect(200));
        assert_eq!(browser.get("/stream/").expect(200).text(), lines());
        browser.get("/fails/").expect(500);
        browser.get("/nothing/").expect(404);
    }
    // Django logs errors by itself, to the standard error of the process.
    server.wait_for_log("ValueError: raised by a view");
    for text in [
        "Internal Server Error: /fails/",
        "Not Found: /nothing/",
        "wsgi.py]",
        "Traceback",
        "Forbidden",
        "Bad Request",
    ] {
        server.allow_log(text);
    }
}
matrix!(django);

/// Issue: the same with Flask below a mount point: URLs, forms and sessions, an upload, a download, a streamed answer.
fn flask(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (browser, version) in browsers(&server, mpm) {
        assert_eq!(
            browser.get("/flask/").expect(200).text(),
            "hello from Flask"
        );
        let place = browser.get("/flask/where").expect(200);
        assert_eq!(place.version, version);
        for part in [
            "\"url\":\"/flask/where\"",
            "\"root\":\"/flask\"",
            "\"path\":\"/where\"",
            "\"scheme\":\"http\"",
        ] {
            assert!(
                place.text().replace(": ", ":").contains(part),
                "{}",
                place.text()
            );
        }
        browser
            .post_form("/flask/form", &[("name", "Ünïcode & more")])
            .expect(201);
        assert_eq!(
            browser.get("/flask/form").expect(200).text(),
            "Ünïcode & more"
        );
        let upload = upload_file();
        let form = format!("file=@{}", upload.1.display());
        assert_eq!(
            browser
                .run("/flask/upload", &["--form", &form])
                .expect(200)
                .text(),
            upload.2
        );
        check_download(&browser.get("/flask/download").expect(200));
        assert_eq!(
            browser
                .run("/flask/download", &["--range", "1048576-1048581"])
                .expect(206)
                .text(),
            "104857"
        );
        assert_eq!(browser.get("/flask/stream").expect(200).text(), lines());
        browser.get("/flask/fails").expect(500);
        browser.get("/flask/nothing").expect(404);
        assert_eq!(
            browser
                .run("/flask/", &["--head"])
                .expect(200)
                .header("Content-Length"),
            Some("16")
        );
    }
    server.wait_for_log("ValueError: raised by a view");
    server.allow_log("flask_app.wsgi]");
}
matrix!(flask);
