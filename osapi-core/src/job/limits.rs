//! Every bound of the system, in one place, and the error that names the one that was broken.

use std::time::Duration;

/// Default, shortest and longest timeout of a command.
pub const TIMEOUT_DEFAULT_S: u32 = 30;
/// Shortest timeout of a command, in seconds.
pub const TIMEOUT_MIN_S: u32 = 1;
/// Longest timeout of a command, in seconds.
pub const TIMEOUT_MAX_S: u32 = 300;
/// Between SIGTERM and SIGKILL.
pub const KILL_GRACE: Duration = Duration::from_secs(5);
/// From the first arrival of a request to the moment after which its job no longer starts.
pub const START_DEADLINE: Duration = Duration::from_secs(30);
/// Shortest `queue_for`.
pub const QUEUE_FOR_MIN: Duration = Duration::from_secs(1);
/// Longest `queue_for`, which replaces the start deadline.
pub const QUEUE_FOR_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest single argument in bytes, without its terminating NUL (`MAX_ARG_STRLEN`, execve(2)).
pub const ARGUMENT_MAX: usize = 128 * 1024 - 1;
/// Program, arguments, environment and script together, in bytes.
pub const COMMAND_MAX: usize = 256 * 1024;
/// Standard input of a command, in bytes before base64.
pub const STDIN_MAX: usize = 256 * 1024;
/// Longest name of a custom operation, in bytes.
pub const CUSTOM_NAME_MAX: usize = 64;
/// HTTP request body, in bytes.
pub const HTTP_BODY_MAX: usize = 2 * 1024 * 1024;
/// Signed body of an order before encoding, in bytes.
pub const ORDER_MAX: usize = 640 * 1024;
/// A report with its inline output, in bytes.
pub const REPORT_MAX: usize = 256 * 1024;
/// Output of both streams that a report carries inline, in bytes before base64.
pub const INLINE_OUTPUT_MAX: usize = 160 * 1024;
/// One chunk of output, in bytes before encoding: with the hash before it, it stays below 128 KiB, to which stores round up.
pub const CHUNK_MAX: usize = 120 * 1024;
/// Target expression, in bytes.
pub const TARGET_MAX: usize = 4 * 1024;
/// Hosts of one job.
pub const HOSTS_MAX: usize = 20_000;
/// One part of a job's host list in the store, in bytes.
pub const HOSTS_PART_MAX: usize = 512 * 1024;
/// Candidates of an `_any` job.
pub const CANDIDATES_MAX: usize = 8;
/// Full host name of a host, in bytes (`HOST_NAME_MAX` is 64 on Linux; a full domain name has at most 253, RFC 1035 §2.3.4).
pub const HOSTNAME_MAX: usize = 253;
/// Labels of one host.
pub const LABELS_MAX: usize = 16;
/// Key of a label, in bytes.
pub const LABEL_KEY_MAX: usize = 63;
/// Value of a label, in bytes.
pub const LABEL_VALUE_MAX: usize = 128;
/// Output kept per stream by default, half from its head and half from its tail, in bytes.
pub const OUTPUT_KEPT_DEFAULT: usize = 10 * 1024 * 1024;
/// Answers carry all output inline while their body stays under this, in bytes.
pub const ANSWER_INLINE_MAX: usize = 4 * 1024 * 1024;
/// What an answer shows of each stream once it no longer carries all, in bytes.
pub const ANSWER_EXCERPT: usize = 8 * 1024;
/// Executions at once per agent by default.
pub const SLOTS_DEFAULT: usize = 10;
/// Accepted executions that wait for a slot; one more is answered `busy`.
pub const QUEUE_MAX: usize = 1_000;
/// First pause before an order is sent again; it doubles up to [`RESEND_MAX`].
pub const RESEND_MIN: Duration = Duration::from_millis(300);
/// Longest pause before an order is sent again.
pub const RESEND_MAX: Duration = Duration::from_secs(5);
/// Time between two hellos.
pub const HELLO_EVERY: Duration = Duration::from_secs(10);
/// An agent that was not heard for this long is silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);
/// After this time without a receipt, controllers that did not make a job begin to send it too.
pub const JOIN_AFTER: Duration = Duration::from_secs(2);
/// How long a candidate of an `_any` job is waited for before the next one is offered it.
pub const OFFER_EVERY: Duration = Duration::from_secs(1);
/// Time that agents have to answer the ping of a controller that has just connected.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Largest difference of clocks that is tolerated.
pub const SKEW_MAX: Duration = Duration::from_secs(30);
/// Past the last moment at which a word was due, before an execution settles as `no_answer`.
pub const ANSWER_GRACE: Duration = Duration::from_secs(10);
/// A controller says `no_answer` only after it has been connected for this long.
pub const CONNECTED_MIN: Duration = Duration::from_secs(15);
/// How long a settled job is kept by default.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A value outside its bound: which field, what it may be, what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {bound}, not {value}")]
pub struct Invalid {
    /// The field as the API names it, e.g. `args[3]`.
    pub field: String,
    /// What it may be, as a phrase after "must be", e.g. `1 to 300 seconds`.
    pub bound: String,
    /// What it was, cut and escaped so that it can be shown.
    pub value: String,
}

impl Invalid {
    /// A violation of `bound` by `field`.
    pub fn new(
        field: impl Into<String>,
        bound: impl Into<String>,
        value: impl std::fmt::Display,
    ) -> Self {
        let mut shown = String::new();
        for c in value.to_string().chars().take(80) {
            if c.is_control() {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        Self { field: field.into(), bound: bound.into(), value: shown }
    }
}
