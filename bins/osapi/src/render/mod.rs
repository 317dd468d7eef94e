//! What people read: outcomes of commands, tables. Pure, but for [`screen`]. What others wrote is shown through `escape`.

pub(crate) mod excerpt;
pub(crate) mod facts;
pub(crate) mod health;
pub(crate) mod outcome;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

pub(crate) use osapi_service::escape;
pub(crate) use screen::{Screen, Side};
