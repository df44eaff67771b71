//! The rules of a group's processes, event by event: starts and ends.

use super::*;

mod hostile;
mod replace;

fn plan(processes: u32) -> GroupPlan {
    GroupPlan {
        name: "site".into(),
        processes,
        service: false,
        graceful_timeout: 15,
        shutdown_timeout: 5,
        deploy_check: false,
        details: "15 threads".into(),
        instance_base: 0,
    }
}

/// A roster with its processes, whose pids are 100 + instance.
struct Group {
    roster: Roster,
    now: Millis,
    records: Vec<(u8, String)>,
}

impl Group {
    fn new(plan: GroupPlan) -> Group {
        Group {
            roster: Roster::new(plan),
            now: 10_000,
            records: Vec::new(),
        }
    }

    /// Takes an event; starts every process that is asked for. Records are kept apart.
    fn act(&mut self, event: Event) -> Vec<Action> {
        let mut done = Vec::new();
        let mut todo = self.roster.act(event, self.now);
        while !todo.is_empty() {
            let mut more = Vec::new();
            for action in todo {
                match action {
                    Action::Record { level, text } => self.records.push((level, text)),
                    Action::Spawn {
                        slot,
                        instance,
                        checked,
                    } => {
                        done.push(Action::Spawn {
                            slot,
                            instance,
                            checked,
                        });
                        let pid = 100 + instance;
                        more.extend(self.roster.act(Event::Spawned { slot, pid }, self.now));
                    }
                    other => done.push(other),
                }
            }
            todo = more;
        }
        done
    }

    fn after(&mut self, millis: Millis) -> Vec<Action> {
        self.now += millis;
        self.act(Event::Clock)
    }

    /// A group all of whose processes are ready.
    fn serving(plan: GroupPlan) -> Group {
        let processes = plan.processes;
        let mut group = Group::new(plan);
        group.act(Event::Begin);
        for slot in 0..processes {
            group.act(Event::Ready { slot });
        }
        group
    }

    fn logged(&self, level: u8, what: &str) -> bool {
        self.records
            .iter()
            .any(|(l, text)| *l == level && text.contains(what))
    }
}

fn exited(slot: u32) -> Event {
    Event::Exited {
        slot,
        end: Exit::Signal(9),
    }
}

fn spawns(actions: &[Action]) -> Vec<u32> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Spawn { slot, .. } => Some(*slot),
            _ => None,
        })
        .collect()
}

/// DMN-109: all processes of the group are started.
#[test]
fn begins_with_all_processes() {
    let mut group = Group::new(plan(3));
    assert_eq!(spawns(&group.act(Event::Begin)), [0, 1, 2]);
    assert!(group.logged(INFO, "15 threads"));
}

/// DMN-540, DMN-541: a process that served is replaced at once, and its end is logged.
#[test]
fn a_death_is_answered_at_once() {
    let mut group = Group::serving(plan(2));
    group.now += 60_000;
    let actions = group.act(exited(0));
    assert_eq!(spawns(&actions), [0]);
    assert!(actions.contains(&Action::Clear { slot: 0 }));
    assert!(!actions.contains(&Action::Failing(true)));
    assert!(group.logged(INFO, "signal 9"));
}

/// DMN-540: a process killed right after its start is back at once; only a series is slowed down.
#[test]
fn deaths_in_a_row_are_slowed_down() {
    let mut group = Group::serving(plan(1));
    for _ in 0..FREE_DEATHS {
        group.now += 10;
        assert_eq!(spawns(&group.act(exited(0))), [0]);
        group.act(Event::Ready { slot: 0 });
    }
    group.now += 10;
    let actions = group.act(exited(0));
    assert_eq!(actions, [Action::Clear { slot: 0 }, Action::Failing(true)]);
    assert!(group.logged(ERROR, "WSGI5041"));
    assert_eq!(group.roster.next_wake(), Some(group.now + 1000));
    let actions = group.after(1000);
    assert_eq!(spawns(&actions), [0]);
    assert!(actions.contains(&Action::Failing(false)));
    group.act(Event::Ready { slot: 0 });
    group.now += 5000;
    assert_eq!(spawns(&group.act(exited(0))), [0]);
}

/// DMN-118, DMN-540: attempts to start come after 1, 2, 4 … 20 s, and requests fail promptly meanwhile.
#[test]
fn failures_to_start_are_throttled() {
    let mut group = Group::new(plan(1));
    group.act(Event::Begin);
    for pause in [1, 2, 4, 8, 16, 20, 20] {
        let text = "chdir to '/home/x' failed".to_owned();
        group.act(Event::Failed {
            slot: 0,
            code: 9,
            level: 1,
            text,
        });
        let actions = group.act(Event::Exited {
            slot: 0,
            end: Exit::Status(255),
        });
        assert_eq!(spawns(&actions), [] as [u32; 0]);
        assert_eq!(group.after(pause * 1000 - 1), []);
        assert_eq!(spawns(&group.after(1)), [0]);
    }
    assert!(group.logged(ALERT, "WSGI0009: chdir"));
    assert_eq!(
        group.act(Event::Ready { slot: 0 }),
        [Action::Failing(false)]
    );
}

/// A group of many does not jump to the longest pause because all of them failed at once, and tries with one.
#[test]
fn failures_of_one_round_count_once() {
    let mut group = Group::new(plan(3));
    group.act(Event::Begin);
    for slot in 0..3 {
        group.now += 1;
        group.act(exited(slot));
    }
    assert!(group.logged(ERROR, "WSGI5040"));
    assert_eq!(spawns(&group.after(1000)), [0]);
    assert_eq!(spawns(&group.act(Event::Ready { slot: 0 })), [1, 2]);
}

/// A group with a process that serves is not failing while another one cannot start.
#[test]
fn one_process_that_serves_is_enough() {
    let mut group = Group::new(plan(2));
    group.act(Event::Begin);
    group.act(Event::Ready { slot: 0 });
    assert!(!group.act(exited(1)).contains(&Action::Failing(true)));
    assert_eq!(spawns(&group.after(1000)), [1]);
}

/// WSGI0024: a fork that fails is reported and tried again.
#[test]
fn a_failed_fork_is_tried_again() {
    let mut roster = Roster::new(plan(1));
    roster.act(Event::Begin, 0);
    let error = "fork: no memory".to_owned();
    let actions = roster.act(Event::SpawnFailed { slot: 0, error }, 5);
    assert!(actions.iter().any(
        |a| matches!(a, Action::Record { level: ALERT, text } if text.starts_with("WSGI0024: "))
    ));
    assert!(actions.contains(&Action::Failing(true)));
    assert_eq!(roster.next_wake(), Some(1005));
}

/// DMN-550: on a graceful restart the old daemons serve on, drain at the end of the old children, and nothing is
/// started any more.
#[test]
fn a_generation_drains_after_its_children() {
    let mut group = Group::serving(plan(2));
    group.now += 5000;
    assert_eq!(group.act(Event::Close), []);
    assert_eq!(
        spawns(&group.act(exited(0))),
        [0],
        "old children still have full service"
    );
    group.act(Event::Ready { slot: 0 });
    let reason = Reason::ShutdownSignal;
    let actions = group.act(Event::ChildrenGone);
    assert_eq!(
        actions,
        [
            Action::Drain { slot: 0, reason },
            Action::Drain { slot: 1, reason }
        ]
    );
    group.act(exited(0));
    assert!(!group.roster.is_done());
    group.act(exited(1));
    assert!(group.roster.is_done());
}

/// DMN-550: a process that is still starting when the old children are gone has nobody to serve. It does not hear that before its
/// scripts are loaded, so it is killed where they hang; one that serves has its time.
#[test]
fn a_generation_that_ends_stops_its_newcomers() {
    let mut group = Group::serving(plan(2));
    group.act(Event::Close);
    assert_eq!(spawns(&group.act(exited(0))), [0]);
    let reason = Reason::ShutdownSignal;
    let actions = group.act(Event::ChildrenGone);
    assert_eq!(
        actions,
        [
            Action::Stop { slot: 0, reason },
            Action::Drain { slot: 1, reason }
        ]
    );
    assert_eq!(group.act(Event::Ready { slot: 0 }), []);
    assert_eq!(group.roster.next_wake(), Some(group.now + STOP_TIME));
    assert_eq!(group.after(STOP_TIME - 1), []);
    assert_eq!(group.after(1), [Action::Kill { slot: 0 }]);
    assert_eq!(group.after(STOP_TIME), []);
    group.act(exited(0));
    assert!(group.roster.next_wake() > Some(group.now + STOP_TIME));
    group.act(exited(1));
    assert!(group.roster.is_done());
}

/// Issue: a deploy whose script is never loaded to its end does not keep the next one from being tried.
#[test]
fn a_deploy_that_hangs_gives_way_to_the_next() {
    let mut group = Group::serving(GroupPlan {
        deploy_check: true,
        ..plan(1)
    });
    let deploy = Event::Replace {
        slot: 0,
        reason: Reason::ScriptReload,
        draining: false,
    };
    assert_eq!(spawns(&group.act(deploy.clone())), [1]);
    let patience = group.roster.plan.graceful_timeout * 1000;
    assert_eq!(group.after(10 * patience), [], "it may take its time");
    group.act(exited(1));
    assert_eq!(spawns(&group.after(60_000)), [1]);
    let started = group.now;
    assert_eq!(group.act(deploy), []);
    assert_eq!(group.roster.next_wake(), Some(started + patience));
    assert_eq!(group.after(patience - 1), []);
    let actions = group.after(1);
    assert_eq!(actions[0], Action::Kill { slot: 1 });
    group.act(exited(1));
    let newcomer = (0..3).find(|slot| {
        let actions = group.act(Event::Ready { slot: *slot });
        actions
            .iter()
            .any(|action| matches!(action, Action::Drain { slot: 0, .. }))
    });
    assert!(newcomer.is_some(), "the next one is tried");
}

/// DMN-550: bounded by graceful-timeout where old children stay.
#[test]
fn a_generation_is_bounded() {
    let mut group = Group::serving(plan(1));
    group.act(Event::Close);
    let reason = Reason::ShutdownSignal;
    assert_eq!(group.after(14_999), []);
    assert_eq!(group.after(1), [Action::Drain { slot: 0, reason }]);
    // A daemon that hangs is stopped, then killed.
    assert_eq!(group.after(23_000), [Action::Stop { slot: 0, reason }]);
    assert_eq!(group.after(STOP_TIME), [Action::Kill { slot: 0 }]);
}

/// DP-04, DP-103, DMN-550: a stop is SIGTERM, and SIGKILL after 3 s; DMN-541: no replacement.
#[test]
fn a_stop_is_bounded() {
    let mut group = Group::serving(plan(2));
    let reason = Reason::ShutdownSignal;
    let actions = group.act(Event::Stop);
    assert_eq!(
        actions,
        [
            Action::Stop { slot: 0, reason },
            Action::Stop { slot: 1, reason }
        ]
    );
    assert_eq!(group.act(exited(0)), [Action::Clear { slot: 0 }]);
    assert_eq!(group.after(2999), []);
    assert_eq!(group.after(1), [Action::Kill { slot: 1 }]);
    assert_eq!(group.roster.next_wake(), None);
    group.act(exited(1));
    assert!(group.roster.is_done());
}

/// A process that was being forked when the stop came is stopped as soon as its pid is known.
#[test]
fn a_stop_catches_a_process_being_forked() {
    let mut roster = Roster::new(plan(1));
    roster.act(Event::Begin, 0);
    assert_eq!(roster.act(Event::Stop, 0), []);
    let actions = roster.act(Event::Spawned { slot: 0, pid: 7 }, 0);
    assert!(actions.contains(&Action::Stop {
        slot: 0,
        reason: Reason::ShutdownSignal
    }));
}

/// DMN-561: a service script that returns at once loops once a second, whatever it was.
#[test]
fn a_service_returns_once_a_second() {
    let mut group = Group::new(GroupPlan {
        service: true,
        ..plan(1)
    });
    group.act(Event::Begin);
    for _ in 0..4 {
        group.now += 50;
        assert_eq!(
            group.act(Event::Exited {
                slot: 0,
                end: Exit::Status(0)
            }),
            [Action::Clear { slot: 0 }]
        );
        assert_eq!(spawns(&group.after(950)), [0]);
    }
    let actions = group.act(Event::Close);
    assert_eq!(
        actions,
        [Action::Stop {
            slot: 0,
            reason: Reason::ShutdownSignal
        }]
    );
}

/// A supervisor that follows a dead one uses other instance numbers, so that no kept connection is taken for its own.
#[test]
fn instances_start_above_the_base() {
    let mut group = Group::new(GroupPlan {
        instance_base: 1 << 20,
        ..plan(1)
    });
    let actions = group.act(Event::Begin);
    assert_eq!(
        actions,
        [Action::Spawn {
            slot: 0,
            instance: (1 << 20) + 1,
            checked: false
        }]
    );
    assert_eq!(group.roster.slot_of(100 + (1 << 20) + 1), Some(0));
    assert_eq!(group.roster.slot_of(0), None);
}
