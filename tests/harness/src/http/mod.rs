//! A small HTTP/1.1 client that does what it is told: it sends any bytes in any order and tells a whole answer from one that
//! was cut short, which polite clients hide. Blocking, in the thread of the test.

mod answer;
mod connection;
mod request;

pub use answer::{Answer, Framing};
pub use connection::{Connection, ReadFailure};
pub use request::Request;
