//! What people read: outcomes of commands, tables, and the escaping of what others wrote. Pure, but for [`screen`].

pub(crate) mod escape;
pub(crate) mod facts;
pub(crate) mod outcome;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

pub(crate) use screen::{Screen, Side};
