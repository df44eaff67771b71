//! Where a request came in, whose ids it has, and who its client is behind mod_remoteip.

use std::net::SocketAddr;

use wsgi_harness::{Answer, Connection, Mode, Mpm, Request, Server, Site, matrix, wait_until};

/// What the two ids of an answer and of the access log's line for it are.
fn ids(answer: &Answer) -> (String, String) {
    let id = |key: &str| {
        answer
            .line(key)
            .map_or("-".to_owned(), |id| id.trim_matches('\'').to_owned())
    };
    (id("mod_wsgi.connection_id"), id("mod_wsgi.request_id"))
}

/// The lines of the access log that [`server`] keeps, as soon as there are `count`.
fn lines(server: &Server, count: usize) -> Vec<String> {
    let path = server.path("data/ids");
    wait_until("the access log", || {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
        (text.ends_with('\n') && lines.len() >= count).then_some(lines)
    })
}

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .modules(&["alias", "remoteip"])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIChunkedRequest On
            UseCanonicalName On
            UseCanonicalPhysicalPort On
            LogFormat \"%{c}L %L %a %{c}a\" ids
            CustomLog {data}/ids ids
            Listen 127.1:{port2}
            Listen 127.0.0.2:{port3}
            <VirtualHost *:{port2}>
                ServerName \"a&b<c\"
                LogLevel authz_core:debug
                ErrorLogFormat \"[%{u}t] [%-m:%l] [pid %P:tid %T] [client\\ %a] %M connection %{c}L\"
            </VirtualHost>
            <VirtualHost *:{port3}>
                ServerName third
                RemoteIPHeader X-Forwarded-For
                RemoteIPInternalProxy 127.0.0.1
            </VirtualHost>",
        )
        .start()
}

/// ENV-02, ENV-08, ENV-09, ENV-10, ENV-56, ENV-58: the address that was listened on, as it was configured, the name of the server in HTML, and
/// Apache's ids, that of the connection as soon as a record of the error log showed it.
fn listeners(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    // Ours logs that it loads the script.
    server.get("/app").expect(200);
    let mut all = Vec::new();
    for (index, host, address, name) in [
        (0, "127.0.0.1", [127, 0, 0, 1], "localhost"),
        (1, "127.1", [127, 0, 0, 1], "a&amp;b&lt;c"),
        (2, "127.0.0.2", [127, 0, 0, 2], "third"),
    ] {
        let port = server.address_of(index).port();
        let mut connection =
            Connection::open(SocketAddr::from((address, port))).expect("it listens there");
        for request in [
            Request::get("/app"),
            Request::new("POST", "/app").chunked(["abc"]),
        ] {
            let answer = connection.send(&request).expect(200);
            assert_eq!(answer.unquoted("mod_wsgi.listener_host"), host);
            assert_eq!(
                answer.unquoted("mod_wsgi.listener_port"),
                port.to_string(),
                "{host}"
            );
            assert_eq!(answer.unquoted("SERVER_NAME"), name);
            let address = std::net::Ipv4Addr::from(address).to_string();
            assert_eq!(answer.unquoted("SERVER_ADDR"), address);
            assert_eq!(answer.unquoted("SERVER_PORT"), port.to_string());
            assert_eq!(answer.line("CONTENT_LENGTH"), None, "{host}");
            let (connection_id, request_id) = ids(&answer);
            assert_ne!(request_id, "-", "{host}");
            assert_eq!(connection_id != "-", index == 1, "{host}: {connection_id}");
            all.push(format!("{connection_id} {request_id} 127.0.0.1 127.0.0.1"));
        }
    }
    let logged = lines(&server, all.len() + 1);
    for line in &all {
        assert!(logged.contains(line), "{line}: {logged:?}");
    }
    assert_eq!(all[2].split(' ').next(), all[3].split(' ').next());
    assert_ne!(all[2], all[3], "a request has an id of its own");
}
matrix!(listeners: event);

/// ENV-11: behind mod_remoteip the client's address is the one that it found; the port stays the connection's.
fn behind_remoteip(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let mut connection = server_connection(&server);
    let port = connection.local_port().to_string();
    for (forwarded, client) in [
        (Some("9.8.7.6"), "9.8.7.6"),
        (Some("1.1.1.1, 9.8.7.6"), "9.8.7.6"),
        (Some("2001:db8::1"), "2001:db8::1"),
        (None, "127.0.0.1"),
    ] {
        let mut request = Request::get("/app");
        if let Some(forwarded) = forwarded {
            request = request.header("X-Forwarded-For", forwarded);
        }
        let answer = connection.send(&request).expect(200);
        assert_eq!(answer.unquoted("REMOTE_ADDR"), client, "{forwarded:?}");
        assert_eq!(answer.unquoted("REMOTE_PORT"), port, "{forwarded:?}");
    }
    for (line, client) in
        lines(&server, 4)
            .iter()
            .zip(["9.8.7.6", "9.8.7.6", "2001:db8::1", "127.0.0.1"])
    {
        assert!(line.ends_with(&format!(" {client} 127.0.0.1")), "{line}");
    }
}
matrix!(behind_remoteip: event);

/// A connection to the virtual host with mod_remoteip.
fn server_connection(server: &Server) -> Connection {
    let port = server.address_of(2).port();
    Connection::open(SocketAddr::from(([127, 0, 0, 2], port))).expect("it listens there")
}
