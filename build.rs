//! Link arguments of the module.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // httpd unloads modules at each restart. Rust's thread locals and panic hook must not be unmapped under running threads,
    // and loading again is cheaper this way (docs/architecture.md). Statics therefore survive a restart.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
