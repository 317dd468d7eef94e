//! What each command does: asks, and hands the answer to be rendered.

pub(crate) mod confirm;
pub(crate) mod hint;
