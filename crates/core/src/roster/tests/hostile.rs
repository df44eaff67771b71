//! What daemons report that they must not, in any order.

use proptest::prelude::*;

use super::*;

/// What a daemon must not say changes nothing.
#[test]
fn hostile_reports_are_ignored() {
    let mut group = Group::serving(plan(1));
    assert_eq!(group.act(Event::Ready { slot: 0 }), []);
    assert_eq!(group.act(Event::Ready { slot: 99 }), []);
    assert_eq!(
        group.act(Event::Failed {
            slot: 0,
            code: 1,
            level: 0,
            text: "x".into()
        }),
        []
    );
    assert_eq!(group.act(exited(3)), []);
    let reason = Reason::MaximumRequests;
    group.act(Event::Replace {
        slot: 0,
        reason,
        draining: false,
    });
    assert_eq!(
        group.act(Event::Replace {
            slot: 0,
            reason,
            draining: false
        }),
        []
    );
    assert!(!group.logged(0, "x"));
}

/// What the supervisor sees of its daemons, in any order, with slots that are none.
fn any_event() -> impl Strategy<Value = Event> {
    let slot = 0_u32..10;
    prop_oneof![
        slot.clone().prop_map(|slot| Event::Ready { slot }),
        (slot.clone(), any::<bool>()).prop_map(|(slot, draining)| Event::Replace {
            slot,
            reason: Reason::ScriptReload,
            draining,
        }),
        (
            slot.clone(),
            prop_oneof![Just(NOT_LOADED), Just(9)],
            any::<u8>()
        )
            .prop_map(|(slot, code, level)| Event::Failed {
                slot,
                code,
                level,
                text: "no".into(),
            }),
        (slot, any::<bool>()).prop_map(|(slot, killed)| Event::Exited {
            slot,
            end: if killed {
                Exit::Signal(9)
            } else {
                Exit::Status(0)
            },
        }),
        Just(Event::Clock),
        Just(Event::Close),
        Just(Event::ChildrenGone),
    ]
}

proptest! {
    /// Issue (control channel): whatever daemons report, no slot is used twice, instances only grow, and at the end no process is
    /// left or started.
    #[test]
    fn reports_cannot_confuse_a_roster(
        processes in 0_u32..5, service: bool, deploy_check: bool,
        story in proptest::collection::vec((any_event(), 0..3000_u64), 0..60),
    ) {
        let mut group = Group::new(GroupPlan { service, deploy_check, ..plan(processes) });
        let mut taken = std::collections::BTreeSet::new();
        let mut last = 0;
        let story = std::iter::once((Event::Begin, 0)).chain(story);
        for (event, pause) in story.chain([(Event::Stop, 0), (Event::Clock, 2 * STOP_TIME)]) {
            group.now += pause;
            for action in group.act(event) {
                match action {
                    Action::Spawn { slot, instance, .. } => {
                        prop_assert!(taken.insert(slot) && instance > last);
                        last = instance;
                    }
                    Action::Clear { slot } => prop_assert!(taken.remove(&slot)),
                    Action::Drain { slot, .. } | Action::Stop { slot, .. } | Action::Kill { slot } => {
                        prop_assert!(taken.contains(&slot));
                    }
                    Action::Failing(_) | Action::Record { .. } => {}
                }
            }
            prop_assert_eq!(taken.is_empty(), group.roster.is_empty());
            prop_assert!(group.records.iter().all(|(level, _)| (1..=7).contains(level)));
        }
        for slot in taken {
            let spawned = group.act(Event::Exited { slot, end: Exit::Signal(9) });
            prop_assert_eq!(spawned, [Action::Clear { slot }]);
        }
        prop_assert!(group.roster.is_done());
    }
}
