//! Real servers for tests, benchmarks and `make try`: a Kubernetes control plane, mail servers, a token server, and the
//! operator itself as a process.
//!
//! Everything listens on loopback only, keeps its state in a temporary folder, and ends with whoever started it, even
//! when that one is killed. This crate knows nothing of the operator's code.

pub mod aiosmtpd;
mod api_server;
mod cache;
pub mod certificates;
pub mod client_keys;
pub mod command;
pub mod control_plane;
pub mod delay;
mod debian;
pub mod dovecot;
pub mod error;
pub mod exim;
pub mod faulty_api;
pub mod haraka;
mod http;
pub mod mailpit;
pub mod node;
pub mod nu_checker;
pub mod oidc;
pub mod operator;
mod ports;
pub mod postfix;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod scratch;
pub mod scripted_token;
pub mod scripted_smtp;
pub mod sink;
pub mod spamassassin;
pub mod tools;

pub use aiosmtpd::Aiosmtpd;
pub use control_plane::ControlPlane;
pub use dovecot::Dovecot;
pub use error::{Error, Result};
pub use exim::Exim;
pub use haraka::Haraka;
pub use mailpit::Mailpit;
pub use node::Node;
pub use oidc::Oidc;
pub use operator::Operator;
pub use ports::free_port;
pub use postfix::Postfix;
pub use process::Process;
