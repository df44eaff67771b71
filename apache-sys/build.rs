//! Makes the bindings: asks `apxs` where the host's httpd and APR have their headers, runs bindgen over `wrapper.h` for the
//! names that the module uses, and compiles `shim.c`.
//!
//! Nothing is linked: the module is loaded by httpd, which has every symbol.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Functions of httpd and APR that the module calls.
const FUNCTIONS: &[&str] = &[
    // configuration
    "ap_check_cmd_context",
    "ap_walk_config",
    "ap_server_root_relative",
    "ap_exists_config_define",
    // hooks
    "ap_hook_(check_config|test_config|post_config|pre_mpm|child_init|child_status|translate_name|map_to_storage|type_checker|fixups|check_access|handler)",
    "ap_register_auth_provider",
    // log
    "ap_log_error_",
    "ap_log_rerror_",
    "ap_run_generate_log_id",
    // process
    "ap_add_version_component",
    "ap_get_server_banner",
    "ap_get_server_built",
    "ap_show_mpm",
    "ap_mpm_query",
    "ap_unixd_mpm_get_retained_data",
    "ap_state_query",
    // scoreboard
    "ap_exists_scoreboard_image",
    "ap_get_scoreboard_global",
    "ap_calc_scoreboard_size",
    // request
    "ap_allow_options",
    "ap_discard_request_body",
    "ap_escape_html2",
    "ap_get_limit_req_body",
    "ap_get_server_name",
    "ap_get_server_name_for_url",
    "ap_get_server_port",
    "ap_internal_redirect",
    "ap_set_content_type",
    "ap_set_content_length",
    "ap_set_last_modified",
    "ap_update_mtime",
    "ap_get_useragent_host",
    "ap_psignature",
    "ap_satisfies",
    "ap_some_auth_required",
    "apr_date_parse_http",
    // filters, brigades, buckets
    // CGI variables
    "ap_get_server_name_for_url",
    "ap_escape_html2",
    "ap_document_root",
    "ap_context_prefix",
    "ap_context_document_root",
    "ap_run_http_scheme",
    "ap_find_path_info",
    "ap_get_brigade",
    "ap_pass_brigade",
    "ap_remove_output_filter_byhandle",
    "ap_bucket_error_create",
    "ap_map_http_request_error",
    "ap_get_conn_socket",
    "apr_brigade_create",
    "apr_brigade_cleanup",
    "apr_brigade_insert_file",
    "apr_bucket_(eos|flush|heap|transient)_create",
    "apr_bucket_file_enable_mmap",
    // regular expressions
    "ap_regcomp",
    "ap_regexec_len",
    "ap_regfree",
    "ap_regerror",
    // APR
    "ap_getword_conf",
    "apr_pool_create_ex",
    "apr_pool_destroy",
    "apr_bcrypt_encode",
    "apr_file_open",
    "apr_generate_random_bytes",
    "apr_os_file_get",
    "apr_os_sock_get",
    "apr_palloc",
    "apr_pool_cleanup_register",
    "apr_pool_cleanup_null",
    "apr_pool_pre_cleanup_register",
    "apr_pstrmemdup",
    "apr_proc_other_child_register",
    "apr_proc_other_child_unregister",
    "apr_socket_timeout_(get|set)",
    "apr_strerror",
    "apr_temp_dir_get",
    "apr_table_(addn|elts|get|mergen|setn|unset)",
    "wsgi_shim_.*",
];

/// Types that no function above leads to.
const TYPES: &[&str] = &[
    "module",
    "command_rec",
    "command_struct",
    "cmd_parms",
    "request_rec",
    "conn_rec",
    "server_rec",
    "core_dir_config",
    "core_server_config",
    "authn_provider",
    "authz_provider",
    "unixd_config_rec",
    "apr_table_entry_t",
];

/// Variables and constants.
const VALUES: &[&str] = &[
    "ap_unixd_config",
    "ap_server_conf",
    "ap_conftree",
    "MODULE_MAGIC_.*",
    "AP_SERVER_(MAJORVERSION|MINORVERSION|PATCHLEVEL)_NUMBER",
    "APLOG_.*",
    "AP_MPMQ_.*",
    "AP_SQ_.*",
    "AP_REQ_.*_PATH_INFO",
    "AP_AUTHN?_.*",
    "AUTHN_.*",
    "AUTHZ_.*",
    "OPT_EXECCGI",
    "RSRC_CONF",
    "ACCESS_CONF",
    "OR_.*",
    "EXEC_ON_READ",
    "NOT_IN_.*",
    "GLOBAL_ONLY",
    "OK",
    "DECLINED",
    "DONE",
    "SUSPENDED",
    "HTTP_[A-Z_]+",
    "M_GET",
    "AP_FILTER_ERROR",
    "AP_NOBODY_.*",
    "AP_CONN_.*",
    "APR_HOOK_.*",
    "APR_E[A-Z]+",
    "APR_TIMEUP",
    "APR_FINFO_[A-Z]+",
    "APR_FOPEN_.*",
    "APR_OC_REASON_.*",
    "APR_OVERLAP_.*",
    "AP_REGEX?_.*",
    "AP_REG_.*",
    "PROXYREQ_.*",
    "REMOTE_HOST",
    "SATISFY_ANY",
];

fn main() {
    println!("cargo:rerun-if-env-changed=APXS");
    for file in ["build.rs", "wrapper.h", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed={file}");
    }

    let apxs = find_apxs();
    let includes = include_arguments(&apxs);
    println!("cargo:apxs={}", apxs.display());
    println!("cargo:libexecdir={}", query(&apxs, "LIBEXECDIR"));

    let mut compiler = cc::Build::new();
    compiler.file("shim.c").warnings(true);
    for argument in &includes {
        compiler.flag(argument);
    }
    compiler.compile("wsgi_shim");

    make_bindings(&includes);
}

/// Path of apxs: `APXS`, or `apxs` or `apxs2` on the search path.
fn find_apxs() -> PathBuf {
    if let Some(named) = env::var_os("APXS") {
        let path = PathBuf::from(named);
        if runs(&path) {
            return path;
        }
        fail(&format!(
            "APXS names {}, which cannot be run",
            path.display()
        ));
    }
    for name in ["apxs", "apxs2"] {
        let path = PathBuf::from(name);
        if runs(&path) {
            return path;
        }
    }
    fail(
        "apxs was not found, which tells where the headers of Apache httpd are.\n\
         Debian and Ubuntu: apt-get install apache2-dev. Fedora and RHEL: dnf install httpd-devel.\n\
         If it is elsewhere, set APXS to its path.",
    );
}

fn runs(apxs: &Path) -> bool {
    Command::new(apxs)
        .args(["-q", "INCLUDEDIR"])
        .output()
        .is_ok_and(|done| done.status.success())
}

/// A value that apxs knows, expanded.
fn query(apxs: &Path, name: &str) -> String {
    let done = Command::new(apxs).args(["-q", name]).output();
    match done {
        Ok(done) if done.status.success() => {
            String::from_utf8_lossy(&done.stdout).trim().to_owned()
        }
        _ => fail(&format!("`{} -q {name}` failed", apxs.display())),
    }
}

/// `-I` and `-D` arguments for httpd, APR and APR-util.
fn include_arguments(apxs: &Path) -> Vec<String> {
    let httpd = query(apxs, "INCLUDEDIR");
    if !Path::new(&httpd).join("httpd.h").exists() {
        fail(&format!(
            "{httpd}/httpd.h does not exist. Debian and Ubuntu: apt-get install apache2-dev. \
             Fedora and RHEL: dnf install httpd-devel."
        ));
    }
    let mut arguments = vec![format!("-I{httpd}")];
    for (variable, fallback, flags) in [
        (
            "APR_CONFIG",
            "apr-1-config",
            &["--includes", "--cppflags"][..],
        ),
        ("APU_CONFIG", "apu-1-config", &["--includes"][..]),
    ] {
        let program = match query(apxs, variable) {
            found if found.is_empty() => fallback.to_owned(),
            found => found,
        };
        match Command::new(&program).args(flags).output() {
            Ok(done) if done.status.success() => arguments.extend(
                String::from_utf8_lossy(&done.stdout)
                    .split_whitespace()
                    .map(str::to_owned),
            ),
            _ => fail(&format!(
                "`{program} {}` failed. Debian and Ubuntu: apt-get install apache2-dev.",
                flags.join(" ")
            )),
        }
    }
    arguments
}

fn make_bindings(includes: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(includes)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .rust_target(bindgen::RustTarget::stable(85, 0).expect("1.85 is known to bindgen"))
        .layout_tests(false)
        .generate_comments(false)
        .derive_debug(false)
        .prepend_enum_name(false)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        // As NULL-able pointers from C, never as Rust enums: httpd may hand out values that these headers do not name.
        .default_enum_style(bindgen::EnumVariation::Consts);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VALUES {
        builder = builder.allowlist_var(name);
    }
    let bindings = builder.generate().unwrap_or_else(|error| {
        fail(&format!(
            "the headers of httpd could not be read: {error}\n\
             Debian and Ubuntu: apt-get install libclang-dev. Fedora and RHEL: dnf install clang-devel."
        ))
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}

fn fail(text: &str) -> ! {
    for line in text.lines() {
        println!("cargo:warning={}", line.trim());
    }
    eprintln!("apache-sys: {text}");
    exit(1);
}
