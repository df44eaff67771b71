//! The rules of a request on its way to an application: which script an URL means ([`alias`]), what the
//! application sees ([`environ`], [`path`], [`head_mapping`], [`proxies`]), whether it may run at all
//! ([`precheck`]) and in which process and interpreter ([`expand`], [`routing`]).
//!
//! Pure: httpd's facts come in as arguments, decisions go out. Called on the thread of an Apache child that
//! serves the request; nothing here is kept between requests.

pub mod alias;
pub mod environ;
pub mod expand;
pub mod head_mapping;
pub mod ownership;
pub mod path;
pub mod precheck;
pub mod proxies;
pub mod routing;

mod refused;

pub use refused::Refused;
