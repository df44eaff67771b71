//! How a process is replaced by another one, and what waits for that.

use super::*;

/// The replacement starts first; the old process drains when it is ready.
#[test]
fn replacement_comes_before_drain() {
    let mut group = Group::serving(plan(1));
    let reason = Reason::MaximumRequests;
    let actions = group.act(Event::Replace {
        slot: 0,
        reason,
        draining: false,
    });
    assert_eq!(
        actions,
        [Action::Spawn {
            slot: 1,
            instance: 2,
            checked: false
        }]
    );
    assert_eq!(
        group.act(Event::Ready { slot: 1 }),
        [Action::Drain { slot: 0, reason }]
    );
    group.now += 10;
    assert_eq!(
        group.act(Event::Exited {
            slot: 0,
            end: Exit::Status(0)
        }),
        [Action::Clear { slot: 0 }]
    );
}

/// The old process goes on serving while its replacement cannot start.
#[test]
fn no_drain_without_a_replacement() {
    let mut group = Group::serving(plan(1));
    let reason = Reason::RestartInterval;
    group.act(Event::Replace {
        slot: 0,
        reason,
        draining: false,
    });
    let actions = group.act(exited(1));
    assert_eq!(actions, [Action::Clear { slot: 1 }]);
    assert_eq!(spawns(&group.after(1000)), [1]);
}

/// A crash beside a planned replacement does not let the old process go too early.
#[test]
fn drains_only_above_the_full_number() {
    let mut group = Group::serving(plan(2));
    group.now += 5000;
    let reason = Reason::MaximumRequests;
    group.act(Event::Replace {
        slot: 1,
        reason,
        draining: false,
    });
    assert_eq!(spawns(&group.act(exited(0))), [0]);
    assert_eq!(group.act(Event::Ready { slot: 0 }), []);
    assert_eq!(
        group.act(Event::Ready { slot: 2 }),
        [Action::Drain { slot: 1, reason }]
    );
}

/// DMN-267: a process that found a changed script refuses already, so its replacement is all that is to do.
#[test]
fn a_reload_is_replaced_at_once() {
    let mut group = Group::serving(plan(1));
    let reason = Reason::ScriptReload;
    let actions = group.act(Event::Replace {
        slot: 0,
        reason,
        draining: true,
    });
    assert_eq!(spawns(&actions), [1]);
    assert!(!actions.contains(&Action::Failing(true)));
    assert_eq!(group.act(Event::Ready { slot: 1 }), []);
}

/// Many reloads with long requests: when all slots are taken the next process waits for one that drains. The oldest has to
/// make room, but not before its graceful-timeout.
#[test]
fn draining_processes_do_not_block_the_group() {
    let mut group = Group::serving(plan(1));
    let reason = Reason::ScriptReload;
    let slots = board::slots_for(1);
    for slot in 0..slots - 1 {
        let actions = group.act(Event::Replace {
            slot,
            reason,
            draining: true,
        });
        assert_eq!(spawns(&actions), [slot + 1]);
        group.act(Event::Ready { slot: slot + 1 });
        group.now += 100;
    }
    let first = group.now - 100 * Millis::from(slots - 1);
    let last = Event::Replace {
        slot: slots - 1,
        reason,
        draining: true,
    };
    assert_eq!(group.act(last), []);
    assert_eq!(group.roster.next_wake(), Some(first + 15_000));
    // One that ends in time is all that is needed.
    assert_eq!(spawns(&group.act(exited(3))), [3]);
    group.act(Event::Ready { slot: 3 });
    group.act(Event::Replace {
        slot: 3,
        reason,
        draining: true,
    });
    assert_eq!(group.after(first + 14_999 - group.now), []);
    assert_eq!(
        group.after(1),
        [Action::Stop {
            slot: 0,
            reason: Reason::ShutdownSignal
        }]
    );
    assert_eq!(group.roster.next_wake(), None);
    assert_eq!(spawns(&group.act(exited(0))), [0]);
}

/// deploy-check: while a new process cannot load the changed script the old ones serve on; it is tried again after a growing
/// pause, and at once when the script changes again. A process that nobody else stands in for is started in any case.
#[test]
fn a_broken_deploy_leaves_the_old_processes() {
    let mut group = Group::new(GroupPlan {
        deploy_check: true,
        ..plan(2)
    });
    let checked = |actions: &[Action]| -> Vec<bool> {
        let spawns = actions.iter().filter_map(|action| match action {
            Action::Spawn { checked, .. } => Some(*checked),
            _ => None,
        });
        spawns.collect()
    };
    let changed = |slot| Event::Replace {
        slot,
        reason: Reason::ScriptReload,
        draining: false,
    };
    let fails = |group: &mut Group, slot| {
        group.act(Event::Failed {
            slot,
            code: NOT_LOADED,
            level: ERROR,
            text: "cannot load".into(),
        });
        group.act(Event::Exited {
            slot,
            end: Exit::Status(255),
        })
    };
    assert_eq!(checked(&group.act(Event::Begin)), [false, false]);
    group.act(Event::Ready { slot: 0 });
    group.act(Event::Ready { slot: 1 });
    assert_eq!(checked(&group.act(changed(0))), [true]);
    let actions = fails(&mut group, 2);
    assert_eq!(actions, [Action::Clear { slot: 2 }]);
    assert_eq!(checked(&group.after(1000)), [true]);
    fails(&mut group, 2);
    assert_eq!(checked(&group.after(1000)), []);
    // Mended: what is left of the pause of two seconds does not matter.
    assert_eq!(checked(&group.act(changed(0))), [true]);
    // The other one is replaced as well, before a request shows it that its script has changed.
    let reason = Reason::ScriptReload;
    let actions = group.act(Event::Ready { slot: 2 });
    assert_eq!(actions[0], Action::Drain { slot: 0, reason });
    assert_eq!(checked(&actions), [true]);
    group.act(exited(0));
    fails(&mut group, 3);
    // Those with the old code go: then a process that lacks the script is better than none.
    group.now += 10_000;
    group.act(exited(2));
    assert!(!checked(&group.act(exited(1)))[0]);
}
