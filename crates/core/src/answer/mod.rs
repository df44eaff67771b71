//! The rules of an answer: what an application may say in its head ([`head`]), how many bytes of body it may send
//! ([`length`]), and what a child makes of the head that a daemon sent ([`daemon`]).
//!
//! Pure; used in the thread that runs or forwards the request, in a daemon as well as in an Apache child.

pub mod daemon;
pub mod head;
pub mod length;
