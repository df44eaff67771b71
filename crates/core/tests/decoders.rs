//! Properties of everything that is decoded between processes: frames, the control channel, settings. What was encoded comes
//! back; what is understood of any bytes is encoded to the same bytes; a message that is cut or has more behind it is none.
//! `fuzz/` asserts the same for inputs that look for the gaps.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wsgi_core::control::{
    DaemonSettings, FromDaemon, Identity, Limits, MAX_MESSAGE, Preload, ToDaemon, decode, encode,
};
use wsgi_core::life::Reason;
use wsgi_core::python::{HashSeed, InterpreterRule, PythonSettings};
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FileSpan, HEADER_LEN, Header, Hello, Kind, Log, Refusal, RequestHead,
    Welcome, WireError, encode_plain, whole_frame,
};

const KINDS: [Kind; 13] = [
    Kind::Hello,
    Kind::Request,
    Kind::Body,
    Kind::BodyEnd,
    Kind::BodyFile,
    Kind::Welcome,
    Kind::Continue,
    Kind::Refused,
    Kind::Head,
    Kind::Data,
    Kind::File,
    Kind::End,
    Kind::Log,
];

/// What a payload of any kind means, encoded again, with flags 0.
fn again(kind: Kind, payload: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    match kind {
        Kind::Hello => Hello::decode(payload)?.encode(&mut out),
        Kind::Request => {
            let head = RequestHead::decode(payload)?;
            head.encode(&mut out, 0, head.environ.iter())?;
        }
        Kind::Welcome => Welcome::decode(payload)?.encode(&mut out),
        Kind::Refused => Refusal::decode(payload)?.encode(&mut out),
        Kind::Head => {
            let head = AnswerHead::decode(payload)?;
            AnswerHead::encode(
                &mut out,
                head.status,
                head.content_length,
                head.headers.iter(),
            )?;
        }
        Kind::File => FileSpan::decode(payload)?.encode(&mut out),
        Kind::BodyFile => FileSpan::decode(payload)?.encode_body(&mut out),
        Kind::End => AnswerEnd::decode(payload)?.encode(&mut out),
        Kind::Log => Log::decode(payload)?.encode(&mut out),
        Kind::Body | Kind::BodyEnd | Kind::Continue | Kind::Data => {
            encode_plain(&mut out, kind, 0, payload)?;
        }
    }
    Ok(out)
}

/// Bytes that are often a payload: small numbers and lengths among any others.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let number = select(vec![
        0_u32,
        1,
        2,
        3,
        8,
        1 << 16,
        i32::MAX as u32,
        u32::MAX - 1,
        u32::MAX,
    ]);
    let piece = prop_oneof![
        number.prop_map(|number| number.to_le_bytes().to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Issue (wire format): what is understood of any payload is encoded to the same bytes.
    #[test]
    fn a_frame_means_its_bytes(kind in select(KINDS.to_vec()), payload in payload()) {
        if let Ok(frame) = again(kind, &payload) {
            prop_assert_eq!(&frame[HEADER_LEN..], &payload[..]);
            prop_assert_eq!(whole_frame(&frame), Ok(Some((Header { kind, flags: 0, len: payload.len() }, &payload[..]))));
        }
    }

    /// The small frames of both directions come back, and neither shorter nor longer ones pass for them.
    #[test]
    fn small_frames_come_back(
        numbers: (u32, u32), secret: [u8; 16], offset in 0..=i64::MAX as u64, len: u64,
    ) {
        let mut out = Vec::new();
        let hello = Hello { generation: numbers.0, secret };
        hello.encode(&mut out);
        prop_assert_eq!(Hello::decode(&out[HEADER_LEN..]), Ok(hello));
        let welcome = Welcome { slot: numbers.0, instance: numbers.1 };
        let at = out.len();
        welcome.encode(&mut out);
        prop_assert_eq!(Welcome::decode(&out[at + HEADER_LEN..]), Ok(welcome));
        let span = FileSpan { offset, len: len % (i64::MAX as u64 - offset + 1) };
        let at = out.len();
        span.encode(&mut out);
        prop_assert_eq!(FileSpan::decode(&out[at + HEADER_LEN..]), Ok(span));

        let mut rest = &out[..];
        while let Some((header, payload)) = whole_frame(rest).unwrap() {
            for cut in 0..payload.len() {
                prop_assert_eq!(again(header.kind, &payload[..cut]), Err(WireError::Malformed(header.kind)));
            }
            let longer = [payload, &[0]].concat();
            prop_assert_eq!(again(header.kind, &longer), Err(WireError::Malformed(header.kind)));
            rest = &rest[HEADER_LEN + payload.len()..];
        }
        prop_assert!(rest.is_empty());
    }

    /// Issue (control channel): whatever a daemon reports comes to the supervisor as it was sent, or not at all.
    #[test]
    fn reports_come_back(report in report()) {
        let packet = encode(&report).unwrap();
        prop_assert_eq!(decode::<FromDaemon>(&packet), Ok(report));
        for cut in 0..packet.len() {
            prop_assert!(decode::<FromDaemon>(&packet[..cut]).is_err());
        }
        prop_assert!(decode::<FromDaemon>(&[&packet[..], &[0]].concat()).is_err());
    }

    /// Issue (control channel): any bytes are a message or none; a message means the same when it is encoded again.
    #[test]
    fn any_packet_is_borne(packet in vec(prop_oneof![any::<u8>(), 0_u8..8], 0..60)) {
        if let Ok(report) = decode::<FromDaemon>(&packet) {
            let once = encode(&report).unwrap();
            prop_assert!(once.len() <= packet.len());
            prop_assert_eq!(decode::<FromDaemon>(&once), Ok(report));
        }
        if let Ok(message) = decode::<ToDaemon>(&packet) {
            prop_assert!(encode(&message).unwrap().len() <= packet.len());
        }
        if let Ok(settings) = PythonSettings::decode(&packet) {
            prop_assert!(settings.encode().len() <= packet.len());
        }
    }

    /// DP-10 to DP-72: a daemon gets the settings that it was given, and orders with their reason.
    #[test]
    fn settings_come_back(settings in settings(), reason in select(REASONS.to_vec())) {
        let python = PythonSettings::decode(&settings.python.encode()).unwrap();
        prop_assert_eq!(&python, &settings.python);
        let mut longer = settings.python.encode();
        longer.push(0);
        prop_assert!(PythonSettings::decode(&longer).is_err(), "a byte too many");
        let start = ToDaemon::Start(Box::new(settings));
        for message in [start, ToDaemon::Drain(reason), ToDaemon::Stop(reason)] {
            let packet = encode(&message).unwrap();
            prop_assert_eq!(decode::<ToDaemon>(&packet), Ok(message));
            prop_assert!(decode::<ToDaemon>(&packet[..packet.len() - 1]).is_err());
        }
    }
}

/// A packet over the limit is refused by either side, whatever is in it.
#[test]
fn a_message_over_the_limit_is_refused() {
    let long = FromDaemon::Log {
        level: 6,
        text: vec![b'x'; MAX_MESSAGE],
    };
    assert!(encode(&long).is_err());
    assert!(decode::<FromDaemon>(&vec![0; MAX_MESSAGE + 1]).is_err());
}

const REASONS: [Reason; 12] = [
    Reason::ShutdownSignal,
    Reason::GracefulSignal,
    Reason::EvictionSignal,
    Reason::MaximumRequests,
    Reason::RestartInterval,
    Reason::InactivityTimeout,
    Reason::RequestTimeout,
    Reason::StartupTimeout,
    Reason::DeadlockTimeout,
    Reason::CpuTimeLimit,
    Reason::ScriptReload,
    Reason::SignalPipeError,
];

fn report() -> impl Strategy<Value = FromDaemon> {
    prop_oneof![
        Just(FromDaemon::Ready),
        (any::<u8>(), vec(any::<u8>(), 0..40))
            .prop_map(|(level, text)| FromDaemon::Log { level, text }),
        (select(REASONS.to_vec()), any::<bool>())
            .prop_map(|(reason, draining)| FromDaemon::Replace { reason, draining }),
        vec(any::<u32>(), 0..9).prop_map(FromDaemon::NotLoaded),
        any::<(u32, u64)>()
            .prop_map(|(question, from)| FromDaemon::ServerMetrics { question, from }),
        (any::<u16>(), any::<u8>(), ".{0,20}").prop_map(|(code, level, text)| FromDaemon::Failed {
            code,
            level,
            text
        }),
    ]
}

fn settings() -> impl Strategy<Value = DaemonSettings> {
    let identity = (
        any::<(bool, u32, u32, i32)>(),
        ".{0,8}",
        proptest::option::of(vec(any::<u32>(), 0..4)),
    );
    let identity = identity.prop_map(
        |((change, uid, gid, cpu_priority), user, groups)| Identity {
            change,
            uid,
            gid,
            cpu_priority,
            home: Some(user.clone()),
            user,
            supplementary_groups: groups,
            ..Identity::default()
        },
    );
    let python = (
        vec(".{0,8}", 0..4),
        proptest::option::of(0.0..10.0),
        any::<(i32, u32, bool)>(),
    );
    let python =
        python.prop_map(
            |(path, switch_interval, (optimize, seed, flag))| PythonSettings {
                interpreters: vec![InterpreterRule {
                    path: path.clone(),
                    restrict_stdin: Some(flag),
                    ..InterpreterRule::default()
                }],
                environment: path
                    .iter()
                    .map(|name| (name.clone(), String::new(), flag))
                    .collect(),
                path,
                switch_interval,
                optimize,
                hash_seed: HashSeed::Fixed(seed),
                ..PythonSettings::default()
            },
        );
    (
        any::<(u32, u32, u32, u64, [u8; 16])>(),
        ".{0,8}",
        identity,
        python,
    )
        .prop_map(
            |((slot, instance, threads, seconds, secret), group, identity, python)| {
                DaemonSettings {
                    preload: vec![Preload {
                        script: group.clone(),
                        application_group: String::new(),
                    }],
                    group,
                    slot,
                    instance,
                    threads,
                    secret,
                    allowed_peers: vec![slot, instance],
                    limits: Limits {
                        graceful_timeout: seconds,
                        ..Limits::default()
                    },
                    identity,
                    python,
                    ..DaemonSettings::default()
                }
            },
        )
}
