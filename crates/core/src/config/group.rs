//! A daemon process group, as its WSGIDaemonProcess says (section 7 of the specification).

/// A user or group: the number, and the name where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// uid or gid.
    pub id: u32,
    /// Its name; `#id` as text where the database has none.
    pub name: String,
}

/// WSGIDaemonProcess.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonGroup {
    /// Name, unique in the whole server.
    pub name: String,
    /// Position in definition order, from 1.
    pub id: u32,
    /// Ordinal of the server that it is written in; 0 is the main server.
    pub server_ordinal: u32,
    /// Name of that server, as httpd has it when the whole configuration was read; None before.
    pub server_name: Option<String>,
    /// Options.
    pub options: DaemonOptions,
}

/// Options of WSGIDaemonProcess; seconds and bytes unless said otherwise, 0 is off unless said otherwise. None is "not given".
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonOptions {
    /// Number of processes.
    pub processes: u32,
    /// Whether `processes=` was written, which makes `wsgi.multiprocess` true.
    pub processes_given: bool,
    /// Request threads; 0 is service mode.
    pub threads: u32,
    /// User; None is Apache's.
    pub user: Option<Account>,
    /// Group; None is Apache's.
    pub group: Option<Account>,
    /// Exact supplementary groups; None for the user's own.
    pub supplementary_groups: Option<Vec<u32>>,
    /// umask.
    pub umask: Option<u32>,
    /// chroot.
    pub chroot: Option<String>,
    /// Working directory.
    pub home: Option<String>,
    /// LANG.
    pub lang: Option<String>,
    /// LC_ALL.
    pub locale: Option<String>,
    /// Name in process listings, `%{GROUP}` expanded.
    pub display_name: Option<String>,
    /// nice value.
    pub cpu_priority: i32,
    /// Stack of threads.
    pub stack_size: Option<u64>,
    /// listen(2) backlog.
    pub listen_backlog: u32,
    /// SO_SNDBUF of the listener; 0 is the system's.
    pub send_buffer_size: u32,
    /// SO_RCVBUF of the listener; 0 is the system's.
    pub receive_buffer_size: u32,
    /// Longest header line of an answer.
    pub header_buffer_size: u32,
    /// Bytes of an answer after which it is flushed.
    pub response_buffer_size: u32,
    /// Milliseconds to wait for more of an answer before it is flushed.
    pub response_flush_delay: u32,
    /// Bytes of a request body that wait in memory for the rest; 0 passes it on as it comes.
    pub request_spool: u32,
    /// Bytes of an answer that wait in memory for a slow client; 0 keeps the daemon waiting.
    pub response_spool: u32,
    /// Bytes of an answer that wait in a file.
    pub response_spool_max: u64,
    /// Owner of the socket; None is Apache's user.
    pub socket_user: Option<Account>,
    /// Time to get a connection.
    pub connect_timeout: u64,
    /// Timeout on the daemon's socket; 0 is Apache's Timeout.
    pub socket_timeout: u64,
    /// Timeout on the client's socket while answering; 0 is `socket_timeout`.
    pub response_socket_timeout: u64,
    /// Oldest request that is still run.
    pub queue_timeout: u64,
    /// Owner that scripts must have.
    pub script_user: Option<String>,
    /// Group that scripts must have.
    pub script_group: Option<String>,
    /// `mod_wsgi.server_metrics()` gives data.
    pub server_metrics: bool,
    /// Virtual environment or installation.
    pub python_home: Option<String>,
    /// Python to run, `3.13`, for groups without `python-home`.
    pub python_version: Option<String>,
    /// Entries of `python-path`.
    pub python_path: Vec<String>,
    /// PYTHON_EGG_CACHE.
    pub python_eggs: Option<String>,
    /// sys.setswitchinterval, seconds.
    pub switch_interval: Option<f64>,
    /// Requests after which a process is replaced.
    pub maximum_requests: u64,
    /// Time for the first script to load.
    pub startup_timeout: u64,
    /// Time for running requests when a process has to stop; 0 is without limit.
    pub shutdown_timeout: u64,
    /// Time that the GIL may be unobtainable.
    pub deadlock_timeout: u64,
    /// Idle time after which a process ends.
    pub inactivity_timeout: u64,
    /// Base of the time for a request.
    pub request_timeout: u64,
    /// Time that an interrupted request has.
    pub interrupt_timeout: u64,
    /// Time for running requests when a process is replaced.
    pub graceful_timeout: u64,
    /// The same after SIGUSR1; 0 is `graceful_timeout`.
    pub eviction_timeout: u64,
    /// Age at which a process is replaced.
    pub restart_interval: u64,
    /// Whether a new process must load the preloaded scripts before an old one goes.
    pub deploy_check: bool,
    /// RLIMIT_CPU.
    pub cpu_time_limit: u64,
    /// RLIMIT_DATA.
    pub memory_limit: u64,
    /// RLIMIT_AS.
    pub virtual_memory_limit: u64,
}

impl Default for DaemonOptions {
    fn default() -> DaemonOptions {
        DaemonOptions {
            processes: 1,
            processes_given: false,
            threads: 15,
            user: None,
            group: None,
            supplementary_groups: None,
            umask: None,
            chroot: None,
            home: None,
            lang: None,
            locale: None,
            display_name: None,
            cpu_priority: 0,
            stack_size: None,
            listen_backlog: 100,
            send_buffer_size: 0,
            receive_buffer_size: 0,
            header_buffer_size: 32768,
            response_buffer_size: 8 << 20,
            response_flush_delay: 5,
            request_spool: 64 << 10,
            response_spool: 1 << 20,
            response_spool_max: 1 << 30,
            socket_user: None,
            connect_timeout: 15,
            socket_timeout: 0,
            response_socket_timeout: 0,
            queue_timeout: 0,
            script_user: None,
            script_group: None,
            server_metrics: false,
            python_home: None,
            python_version: None,
            python_path: Vec::new(),
            python_eggs: None,
            switch_interval: None,
            maximum_requests: 0,
            startup_timeout: 0,
            shutdown_timeout: 5,
            deadlock_timeout: 300,
            inactivity_timeout: 0,
            request_timeout: 0,
            interrupt_timeout: 0,
            graceful_timeout: 15,
            eviction_timeout: 0,
            restart_interval: 0,
            deploy_check: true,
            cpu_time_limit: 0,
            memory_limit: 0,
            virtual_memory_limit: 0,
        }
    }
}
