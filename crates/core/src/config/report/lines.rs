//! The report itself.

use crate::config::{DaemonGroup, DaemonOptions, Origin};

use super::{Description, Mount, Plan, Runs, Warning};

pub(super) fn lines(
    description: &Description<'_>,
    plan: &Plan,
    warnings: &[Warning],
) -> Vec<String> {
    let mut lines = vec!["WSGI configuration:".to_owned()];
    children(description, &mut lines);
    groups(description, &mut lines);
    mounts(description, plan, &mut lines);
    sections(description, &mut lines);
    interpreters(description, plan, &mut lines);
    imports(description, &mut lines);
    lines.push(match warnings.len() {
        0 => "Warnings: none".to_owned(),
        count => format!("Warnings: {count}"),
    });
    lines.extend(
        warnings
            .iter()
            .map(|warning| format!("    {}", warning.text)),
    );
    lines
}

fn children(description: &Description<'_>, lines: &mut Vec<String>) {
    let process = &description.children;
    lines.push("Embedded mode (Apache's children):".to_owned());
    lines.push(format!("    python {}", process.python));
    lines.push(format!("    {}, {}", process.user, process.group));
}

fn groups(description: &Description<'_>, lines: &mut Vec<String>) {
    let global = description.global;
    if global.daemon_groups.is_empty() {
        lines.push("Daemon process groups: none".to_owned());
        return;
    }
    lines.push("Daemon process groups:".to_owned());
    for (index, group) in global.daemon_groups.iter().enumerate() {
        let origin = global
            .origins
            .groups
            .get(index)
            .cloned()
            .unwrap_or_default();
        let process = description.groups.get(index).cloned().unwrap_or_default();
        lines.push(format!("    {} ({origin})", group.name));
        lines.push(format!("        python {}", process.python));
        lines.push(format!("        {}, {}", process.user, process.group));
        lines.push(format!("        {}", limits(group)));
    }
}

/// Processes and threads, and every other limit that is not the default.
fn limits(group: &DaemonGroup) -> String {
    let usual = DaemonOptions::default();
    let options = &group.options;
    let mut words = vec![
        format!("processes={}", options.processes),
        format!("threads={}", options.threads),
    ];
    macro_rules! unusual {
        ($($field:ident)*) => {
            $(if options.$field != usual.$field {
                words.push(format!("{}={}", stringify!($field).replace('_', "-"), options.$field));
            })*
        };
    }
    unusual!(
        maximum_requests startup_timeout shutdown_timeout deadlock_timeout inactivity_timeout request_timeout
        interrupt_timeout graceful_timeout eviction_timeout restart_interval connect_timeout socket_timeout
        response_socket_timeout queue_timeout cpu_time_limit memory_limit virtual_memory_limit listen_backlog
        cpu_priority header_buffer_size response_buffer_size
    );
    let texts = [
        ("python-home", &options.python_home),
        ("chroot", &options.chroot),
        ("home", &options.home),
        ("script-user", &options.script_user),
        ("script-group", &options.script_group),
    ];
    for (name, value) in texts {
        words.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    if !options.python_path.is_empty() {
        words.push(format!("python-path={}", options.python_path.join(":")));
    }
    words.join(" ")
}

fn mounts(description: &Description<'_>, plan: &Plan, lines: &mut Vec<String>) {
    if plan.mounts.is_empty() {
        lines.push("Mount points: none".to_owned());
        return;
    }
    lines.push("Mount points, in the order in which they are tried:".to_owned());
    for (position, server) in description.servers.iter().enumerate() {
        let own: Vec<&Mount> = plan
            .mounts
            .iter()
            .filter(|mount| mount.server == position)
            .collect();
        if own.is_empty() {
            continue;
        }
        lines.push(format!("    {}", server.shown));
        for mount in own {
            let kind = if mount.is_match { " (expression)" } else { "" };
            lines.push(format!(
                "        {}{kind} -> {} ({})",
                mount.url, mount.target, mount.origin
            ));
            let undefined = if is_defined(description, &mount.runs) {
                ""
            } else {
                " (not defined)"
            };
            let mut what = format!(
                "            {}{undefined}, application group {}",
                shown_runs(&mount.runs),
                shown_application(&mount.application_group)
            );
            if let Some(callable) = &mount.callable {
                what += &format!(", callable {callable}");
            }
            if let Some(section) = &mount.section {
                what += &format!(", by {section}");
            }
            lines.push(what);
            if let Some(script) = &mount.dispatch {
                lines.push(format!(
                    "            unless the dispatch script {script} says otherwise"
                ));
            }
            for section in &mount.doubts {
                lines.push(format!(
                    "            not all of its requests: see {section}"
                ));
            }
        }
    }
}

/// Whether there can be such processes.
fn is_defined(description: &Description<'_>, runs: &Runs) -> bool {
    match runs {
        Runs::Group(name) => {
            let mut groups = description.global.daemon_groups.iter();
            groups.any(|group| group.name == *name)
        }
        Runs::Embedded | Runs::AsRequested(_) => true,
    }
}

fn shown_runs(runs: &Runs) -> String {
    match runs {
        Runs::Embedded => "embedded".to_owned(),
        Runs::Group(name) => format!("daemon process group {name}"),
        Runs::AsRequested(value) => format!("process group {value}, known with the request"),
    }
}

fn shown_application(name: &str) -> &str {
    match name {
        "" | "%{GLOBAL}" => "%{GLOBAL} (the main interpreter)",
        other => other,
    }
}

fn sections(description: &Description<'_>, lines: &mut Vec<String>) {
    let mut found = Vec::new();
    for section in &description.global.origins.sections {
        let layer = &section.layer;
        let mut says = Vec::new();
        says.extend(
            layer
                .process_group
                .as_ref()
                .map(|name| format!("process group {name}")),
        );
        says.extend(
            layer
                .application_group
                .as_ref()
                .map(|name| format!("application group {name}")),
        );
        says.extend(
            layer
                .callable_object
                .as_ref()
                .map(|name| format!("callable {name}")),
        );
        says.extend(
            layer
                .restrict_process
                .as_ref()
                .map(|names| format!("only process groups {}", names.join(" "))),
        );
        for script in &layer.handler_scripts {
            says.push(format!("handler {} -> {}", script.name, script.path));
        }
        let hooks = [
            ("access script", &layer.access_script),
            ("auth user script", &layer.auth_user_script),
            ("auth group script", &layer.auth_group_script),
            ("dispatch script", &layer.dispatch_script),
        ];
        for (name, script) in hooks {
            says.extend(
                script
                    .as_ref()
                    .map(|script| format!("{name} {}", script.path)),
            );
        }
        if !says.is_empty() {
            found.push(format!(
                "    <{} {}> ({}): {}",
                section.kind,
                section.argument,
                section.origin,
                says.join(", ")
            ));
        }
    }
    if !found.is_empty() {
        lines.push("Sections:".to_owned());
        lines.extend(found);
    }
}

/// The interpreters that mounts and scripts to load name, process by process.
fn interpreters(description: &Description<'_>, plan: &Plan, lines: &mut Vec<String>) {
    let mut found: Vec<(Runs, Vec<String>)> = Vec::new();
    let mut add = |runs: Runs, application: &str| {
        if !is_defined(description, &runs) {
            return;
        }
        let name = shown_application(application).to_owned();
        match found.iter_mut().find(|(known, _)| *known == runs) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => found.push((runs, vec![name])),
        }
    };
    for mount in &plan.mounts {
        add(mount.runs.clone(), &mount.application_group);
    }
    for script in &description.global.import_scripts {
        add(
            Runs::of(Some(&script.process_group)),
            &script.application_group,
        );
    }
    if found.is_empty() {
        return;
    }
    lines.push("Interpreters:".to_owned());
    for (runs, names) in found {
        lines.push(format!("    {}: {}", shown_runs(&runs), names.join(", ")));
    }
}

fn imports(description: &Description<'_>, lines: &mut Vec<String>) {
    let global = description.global;
    if global.import_scripts.is_empty() {
        return;
    }
    lines.push("Scripts loaded at start:".to_owned());
    for (index, script) in global.import_scripts.iter().enumerate() {
        let origin: Origin = global
            .origins
            .imports
            .get(index)
            .cloned()
            .unwrap_or_default();
        lines.push(format!(
            "    {} ({origin}): {}, application group {}",
            script.script,
            shown_runs(&Runs::of(Some(&script.process_group))),
            shown_application(&script.application_group)
        ));
    }
}
