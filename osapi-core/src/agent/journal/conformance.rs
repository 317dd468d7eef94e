//! What every journal does, and what only the file does.
