//! Daemons that say anything, in any order: the exchange ends, with what a reader of the protocol makes of it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[derive(Clone, Debug)]
enum Said {
    Welcome,
    Continue,
    Log,
    Head,
    Data(Vec<u8>),
    /// Without a descriptor.
    File,
    Refused,
    End(AnswerEnd),
    /// A frame of a child, a frame that is too long, and other bytes.
    Garbage(Vec<u8>),
}

/// What a client gets, as far as the kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Whole,
    CutShort,
    Page,
}

fn said() -> impl Strategy<Value = Said> {
    let child = {
        let mut frame = Vec::new();
        encode_plain(&mut frame, Kind::Body, 0, b"x").unwrap();
        frame
    };
    let huge = vec![Kind::Log as u8, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f];
    let no_head = vec![Kind::Head as u8, 0, 0, 0, 1, 0, 0, 0, 7];
    let ends = vec![
        AnswerEnd::Complete,
        AnswerEnd::Failed,
        AnswerEnd::CutShort,
        AnswerEnd::NotFound,
        AnswerEnd::Unavailable,
        AnswerEnd::TimedOut,
        AnswerEnd::MainOnly,
        AnswerEnd::TooManyInterpreters,
    ];
    prop_oneof![
        Just(Said::Welcome),
        Just(Said::Continue),
        Just(Said::Log),
        Just(Said::Head),
        Just(Said::Head),
        vec(any::<u8>(), 0..40).prop_map(Said::Data),
        vec(any::<u8>(), 0..40).prop_map(Said::Data),
        Just(Said::File),
        Just(Said::Refused),
        select(ends).prop_map(Said::End),
        select(vec![child, huge, no_head, vec![99; 8]]).prop_map(Said::Garbage),
    ]
}

fn encode(said: &Said, out: &mut Vec<u8>) {
    match said {
        Said::Welcome => out.extend(welcome()),
        Said::Continue => out.extend(go_on()),
        Said::Log => Log {
            level: 3,
            flags: 0,
            text: b"said",
        }
        .encode(out),
        Said::Head => {
            AnswerHead::encode(out, b"200 OK", None, std::iter::empty()).unwrap();
        }
        Said::Data(bytes) => encode_plain(out, Kind::Data, 0, bytes).unwrap(),
        Said::File => FileSpan { offset: 0, len: 1 }.encode(out),
        // The only one after which a request is not sent again.
        Said::Refused => Refusal::Queue.encode(out),
        Said::End(end) => end.encode(out),
        Said::Garbage(bytes) => out.extend(bytes),
    }
}

/// How it has to end, and the bytes that the client may have got.
fn expected(story: &[Said]) -> (Got, Vec<u8>) {
    let (mut begun, mut data) = (false, Vec::new());
    for said in story {
        match (said, begun) {
            (Said::Welcome | Said::Continue | Said::Log, _) => {}
            (Said::Head, false) => begun = true,
            (Said::Data(bytes), true) => data.extend_from_slice(bytes),
            (Said::End(AnswerEnd::Complete), true) => return (Got::Whole, data),
            (_, true) => return (Got::CutShort, data),
            (_, false) => return (Got::Page, data),
        }
    }
    (if begun { Got::CutShort } else { Got::Page }, data)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Issue (wire format), DMN-300, DMN-301, DMN-337: an answer is whole only if its daemon said so in order; all else is cut
    /// short where its head went out, and an error page where it did not. Nothing goes to the client that was not data.
    #[test]
    fn an_answer_is_whole_or_visibly_not(story in vec(said(), 0..8), step in 1_usize..60) {
        let mut bytes = Vec::new();
        story.iter().for_each(|said| encode(said, &mut bytes));
        let rig = Rig::new();
        let daemon = rig.daemon(move |listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            for piece in bytes.chunks(step) {
                // The child hangs up as soon as it knows better.
                if peer.stream.write_all(piece).is_err() {
                    break;
                }
            }
        });
        let mut side = Side::default();
        let outcome = rig.get(&mut side);
        daemon.join().unwrap();
        let (kind, data) = expected(&story);
        let got = match &outcome {
            Ok(Outcome::Done) => Got::Whole,
            Ok(Outcome::CutShort) => Got::CutShort,
            Ok(Outcome::Failed(_) | Outcome::MainOnly) | Err(_) => Got::Page,
            Ok(Outcome::Discarded | Outcome::ClientGone) => panic!("{outcome:?}"),
        };
        prop_assert_eq!(got, kind, "{:?}", outcome);
        prop_assert_eq!(side.ended, kind == Got::Whole);
        prop_assert!(data.starts_with(&side.out));
        prop_assert!(kind != Got::Whole || side.out == data);
        prop_assert!(kind != Got::Page || side.out.is_empty());
    }
}
