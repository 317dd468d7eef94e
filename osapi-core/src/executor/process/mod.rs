//! Real commands.
