//! The supervisor's decisions about a group whose daemons report what they like, in any order: no slot is used twice, no process
//! is asked for that the group does not want, instance numbers only grow, and the group comes to its end when it is told to.
#![no_main]

use std::collections::VecDeque;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use wsgi_core::board::slots_for;
use wsgi_core::life::Reason;
use wsgi_core::roster::{Action, Event, Exit, GroupPlan, Millis, Roster, STOP_TIME};

fuzz_target!(|input: &[u8]| {
    // Running out of input ends the story, not the checks.
    let mut input = Unstructured::new(input);
    let plan = GroupPlan {
        name: "site".to_owned(),
        processes: u32::from(input.arbitrary().unwrap_or(1_u8)) % 8,
        service: input.arbitrary().unwrap_or(false),
        graceful_timeout: time(&mut input),
        shutdown_timeout: time(&mut input),
        deploy_check: input.arbitrary().unwrap_or(false),
        details: String::new(),
        instance_base: 0,
    };
    let mut group = Group::new(plan);
    group.act(Event::Begin);
    while let Some(step) = Step::next(&mut input) {
        group.now = group.now.saturating_add(Millis::from(step.pause) * 100);
        if let Ok(event) = group.event(&step, &mut input) {
            group.act(event);
        }
    }
    group.end();
});

struct Step {
    pause: u8,
    what: u8,
    slot: u8,
}

impl Step {
    fn next(input: &mut Unstructured<'_>) -> Option<Step> {
        let (pause, what, slot) = input.arbitrary().ok().filter(|_| !input.is_empty())?;
        Some(Step { pause, what, slot })
    }
}

fn time(input: &mut Unstructured<'_>) -> u64 {
    match input.arbitrary().unwrap_or(15_u8) {
        u8::MAX => u64::MAX,
        seconds => u64::from(seconds),
    }
}

/// A roster, and the processes that run as it sees to.
struct Group {
    roster: Roster,
    now: Millis,
    slots: Vec<bool>,
    last_instance: u32,
    failing: bool,
    /// The group was told to stop.
    stopped: bool,
}

impl Group {
    fn new(plan: GroupPlan) -> Group {
        Group {
            now: 0,
            slots: vec![false; slots_for(plan.processes) as usize],
            last_instance: 0,
            failing: false,
            stopped: false,
            roster: Roster::new(plan),
        }
    }

    fn event(&self, step: &Step, input: &mut Unstructured<'_>) -> Result<Event> {
        // Slots that are none, too.
        let slot = u32::from(step.slot) % (slots_for(7) + 2);
        let runs = self.slots.get(slot as usize) == Some(&true);
        Ok(match step.what % 16 {
            0..=3 => Event::Ready { slot },
            4..=6 => Event::Replace {
                slot,
                reason: reason(input)?,
                draining: input.arbitrary()?,
            },
            7 => Event::Failed {
                slot,
                code: input.arbitrary()?,
                level: input.arbitrary()?,
                text: "text".to_owned(),
            },
            // Only the supervisor itself says these, and only of processes that there are.
            8..=11 if runs => Event::Exited {
                slot,
                end: match input.arbitrary::<u8>()? {
                    0 => Exit::Lost,
                    status @ 1..=99 => Exit::Status(i32::from(status - 1)),
                    signal => Exit::Signal(i32::from(signal)),
                },
            },
            12 => Event::Close,
            13 => Event::ChildrenGone,
            14 if input.arbitrary::<u8>()? == 0 => Event::Stop,
            _ => Event::Clock,
        })
    }

    /// As the supervisor does: an action may be answered by an event, whose actions come after those that are decided already.
    fn act(&mut self, event: Event) {
        self.stopped |= event == Event::Stop;
        let mut actions = VecDeque::from(self.roster.act(event, self.now));
        while let Some(action) = actions.pop_front() {
            if let Some(answer) = self.carry_out(action) {
                actions.extend(self.roster.act(answer, self.now));
            }
        }
        assert_eq!(self.roster.is_empty(), !self.slots.contains(&true));
    }

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { slot, instance, .. } => {
                assert!(!self.stopped, "a process is started after the end");
                assert!(instance > self.last_instance);
                self.last_instance = instance;
                let taken = &mut self.slots[slot as usize];
                assert!(!*taken, "slot {slot} is taken");
                *taken = true;
                let pid = 100 + instance;
                return Some(if instance % 13 == 0 {
                    let error = "no memory".to_owned();
                    Event::SpawnFailed { slot, error }
                } else {
                    Event::Spawned { slot, pid }
                });
            }
            Action::Drain { slot, .. } | Action::Stop { slot, .. } | Action::Kill { slot } => {
                assert!(self.slots[slot as usize], "nobody is in slot {slot}");
            }
            Action::Clear { slot } => self.slots[slot as usize] = false,
            Action::Failing(failing) => {
                assert_ne!(failing, self.failing);
                self.failing = failing;
            }
            Action::Record { level, text } => assert!((1..=7).contains(&level) && !text.is_empty()),
        }
        None
    }

    /// Stops the group; its processes do not heed that and are killed.
    fn end(mut self) {
        self.act(Event::Stop);
        self.now = self.now.saturating_add(2 * STOP_TIME);
        self.act(Event::Clock);
        for slot in 0..self.slots.len() {
            if self.slots[slot] {
                let end = Exit::Signal(9);
                let slot = u32::try_from(slot).expect("slots are few");
                self.act(Event::Exited { slot, end });
            }
        }
        assert!(self.roster.is_done());
        assert_eq!(self.roster.next_wake(), None);
    }
}

fn reason(input: &mut Unstructured<'_>) -> Result<Reason> {
    Ok(*input.choose(&[
        Reason::ShutdownSignal,
        Reason::MaximumRequests,
        Reason::RestartInterval,
        Reason::ScriptReload,
    ])?)
}
